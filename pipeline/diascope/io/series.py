"""What the readers find before any pixel is read: series, and a fate for every file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from diascope.findings import Failure, ImageFacts
from diascope.geometry import Space
from diascope.image_facts import SliceNaming

FRAME = "frame_of_reference"
"""Where `Series.selection` names the frame that an image lies in."""

FileFate = Literal["used", "not_selected", "not_an_image", "skipped", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Series:
    """One image of a case whose pixels have not been read.

    Attributes:
        case_id: The study it belongs to.
        image_id: Keyed id of the image.
        reader: Name of the reader that decodes it.
        files: Its files in the order the reader wants them (DICOM: along the normal).
        facts: What is known of it without identity.
        space: Where it lies, as far as the headers alone tell; the decoded
            volume is the proof.
        volumes: How many volumes it holds: more than one for 4-D.
        axis: What the fourth axis is (`time`, `b_value`, `echo`, `channel`), else None.
        selection: Header facts that rules may use and no result may show
            (series description, protocol name), by lower-case name.
        notes: What a reader should know about how it was put together.
        interpolated_slices: Slices of each volume that no file holds: computed from their neighbours.
        series_number: SeriesNumber; None where the source has none.
        slices_named_by: What `slice_numbers` are; None where the source numbers no slices.
        slice_numbers: Of the first volume, along k: by which a workstation finds the slice; None where no file
            holds it.
        details: What the reader needs besides, by name; plain and picklable.
    """

    case_id: str
    image_id: str
    reader: str
    files: tuple[Path, ...]
    facts: ImageFacts
    space: Space | None = None
    volumes: int = 1
    axis: str | None = None
    selection: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    interpolated_slices: int = 0
    series_number: int | None = None
    slices_named_by: SliceNaming | None = None
    slice_numbers: tuple[int | None, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefusedImage:
    """Files that are an image, but not one that we read: named, with the reason.

    Attributes:
        case_id: The study it belongs to.
        image_id: Keyed id it would have had.
        files: How many files.
        failure: Why.
    """

    case_id: str
    image_id: str
    files: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What became of one input file: a row of private/inputs.csv.

    Attributes:
        path: As found; `archive.zip!member` inside an archive. Private.
        file_id: Keyed id of the path.
        fate: `used`, `not_selected` by a rule, or a kind of reject.
        code: The rule, or the reject code; empty when used, `released` when let out of quarantine.
        reason: In words, without identifiers.
        cure: What to do; may be empty.
        case_id: Of its case, if it has one.
        image_id: Of its image, if it has one.
        size_bytes: On disk.
        sha256: Of its bytes; empty until somebody needed to read them all.
    """

    path: str
    file_id: str
    fate: FileFate
    code: str = ""
    reason: str = ""
    cure: str = ""
    case_id: str = ""
    image_id: str = ""
    size_bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class CaseIdentity:
    """Whose case it is: a row of private/identity.csv, and nowhere else.

    Attributes:
        case_id: Keyed id of the study.
        patient_key: Keyed id of the patient.
        patient_id: Record number.
        patient_name: As in the header.
        study_uid: StudyInstanceUID, or the path where there is none.
        accession_number: Of the order.
        study_date: As in the header.
        birth_date: As in the header.
    """

    case_id: str
    patient_key: str = ""
    patient_id: str = ""
    patient_name: str = ""
    study_uid: str = ""
    accession_number: str = ""
    study_date: str = ""
    birth_date: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that was found in the inputs; every file is in `files` exactly once.

    Attributes:
        series: Images that can be decoded, by case_id, then image_id.
        refused: Images that were refused.
        files: The fate of each input file.
        identities: Whose the cases are.
    """

    series: tuple[Series, ...]
    refused: tuple[RefusedImage, ...]
    files: tuple[FileRecord, ...]
    identities: tuple[CaseIdentity, ...]

    def cases(self) -> dict[str, tuple[Series, ...]]:
        """Group the series by case; a case whose images were all refused is there, empty."""
        found: dict[str, list[Series]] = {refused.case_id: [] for refused in self.refused}
        for series in self.series:
            found.setdefault(series.case_id, []).append(series)
        return {case_id: tuple(found[case_id]) for case_id in sorted(found)}
