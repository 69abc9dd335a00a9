"""What was planted in a demo cohort, and what a run has to make of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from diascope.findings import Triple
from diascope.io.outfolder import write_atomic

Outcome = Literal["done", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Truth:
    """Where the lesion is, drawn on the voxels of one image.

    Attributes:
        label_file: NIfTI, 1 = lesion; all 0 where there is none.
        side: Of the patient.
        volume_mm3: Of the lesion's voxels.
        centre_ras_mm: Mean of its voxels' centres; None where there is none.
    """

    label_file: Path
    side: Literal["left", "right", "none"]
    volume_mm3: float
    centre_ras_mm: Triple | None


@dataclass(frozen=True, slots=True)
class PlantedSeries:
    """One series that was written.

    Attributes:
        description: SeriesDescription.
        contrast: `t1`, `t2` or `flair`.
        files: By position of the slice; what got lost is not among them.
        uid: SeriesInstanceUID; empty for NIfTI.
        is_localizer: Meant to be left out by rule.
        truth: Of a FLAIR image; None elsewhere.
    """

    description: str
    contrast: str
    files: tuple[Path, ...]
    uid: str
    is_localizer: bool = False
    truth: Truth | None = None


@dataclass(frozen=True, slots=True)
class PlantedCase:
    """One study, and what a run has to make of it.

    Attributes:
        name: What it shows; no identifier.
        key: What its case id is made from: StudyInstanceUID, or the absolute path of a NIfTI.
        record_number: Of the patient.
        series: Its images.
        uids: Every UID in its files.
        other_files: Its objects that are no images (a text report).
        expected: What becomes of it: `refused` says that its only image is.
        expected_code: Reject code of its files; empty where it is done.
    """

    name: str
    key: str
    record_number: str
    series: tuple[PlantedSeries, ...]
    uids: tuple[str, ...] = ()
    other_files: tuple[Path, ...] = ()
    expected: Outcome = "done"
    expected_code: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of it."""
        return (*(file for series in self.series for file in series.files), *self.other_files)


@dataclass(frozen=True, slots=True)
class Cohort:
    """Everything that was written, and what it should lead to.

    Attributes:
        scans: The folder to run on.
        truth_csv: A row per image with a truth; it and the label files lie outside `scans`.
        cases: The studies.
        not_images: Files that belong to no case.
        identifiers: Names, numbers, UIDs, dates, places and paths: none may be seen
            outside private/.
    """

    scans: Path
    truth_csv: Path
    cases: tuple[PlantedCase, ...]
    not_images: tuple[Path, ...]
    identifiers: tuple[str, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file below `scans`."""
        return tuple(sorted([*self.not_images, *(file for case in self.cases for file in case.files)]))


def write_cohort(file: Path, cohort: Cohort) -> None:
    """Keep what was planted, so that a second run of the demo need not plant it again."""
    write_atomic(file, _COHORT.dump_json(cohort, indent=1))


def read_cohort(file: Path) -> Cohort:
    """Read what `write_cohort` kept."""
    return _COHORT.validate_json(file.read_bytes())


_COHORT: TypeAdapter[Cohort] = TypeAdapter(Cohort)
