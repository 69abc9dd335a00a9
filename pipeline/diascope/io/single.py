"""Formats in which one file is one image, and nothing in it says whose: NRRD, MetaImage, pictures."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diascope.errors import InputError, UnsupportedInput
from diascope.findings import ImageFacts
from diascope.geometry import Space
from diascope.io.facts import plane_of, with_origin
from diascope.io.reader import Context, FoundFile, Grouped, failure_of
from diascope.io.series import CaseIdentity, FileFate, FileRecord, RefusedImage, Series


@dataclasses.dataclass(frozen=True, slots=True)
class SingleImage:
    """What a reader found in the header of one file.

    Attributes:
        space: Where it lies.
        facts: What the header knows of it.
        partners: Files with the voxels, if they are not in the same.
        volumes: How many volumes.
        axis: What the fourth axis is.
        notes: What a reader should know.
    """

    space: Space
    facts: ImageFacts = dataclasses.field(default_factory=ImageFacts)
    partners: tuple[FoundFile, ...] = ()
    volumes: int = 1
    axis: str | None = None
    notes: tuple[str, ...] = ()


class NoImage(InputError):
    """The file is of this format, but it is no image by rule (a mask): skipped, not refused."""

    default_code = "no_image"


Look = Callable[[FoundFile, Mapping[Path, FoundFile]], SingleImage]


def group_singles(
    reader: str, files: Sequence[FoundFile], context: Context, look: Look, is_header: Callable[[FoundFile], bool]
) -> Grouped:
    """Make one image of each file that is a header.

    Args:
        reader: Name of the reader.
        files: All that it claimed.
        context: Of the scan.
        look: Reads one header; gets the claimed files by path, to find the voxels.
        is_header: Whether a file is a header, and not the voxels of another.
    """
    by_path = {file.path: file for file in files}
    series: list[Series] = []
    refused: list[RefusedImage] = []
    identities: list[CaseIdentity] = []
    records: dict[str, FileRecord] = {}
    for file in files:
        if not is_header(file):
            continue
        identity, image_id = _identity(file, context), context.key.image_id(file.shown)
        try:
            found = look(file, by_path)
        except NoImage as error:
            records[file.shown] = context.record(file, "skipped", failure_of(error))
            continue
        except InputError as error:
            fate: FileFate = "refused" if isinstance(error, UnsupportedInput) else "failed"
            made = {file.shown: context.record(file, fate, failure_of(error))}
            refused.append(RefusedImage(identity.case_id, image_id, 1, failure_of(error)))
        else:
            series.append(_series(reader, file, found, identity, image_id, context))
            made = {part.shown: context.record(part) for part in (file, *found.partners)}
        identities.append(identity)
        for shown, record in made.items():
            records[shown] = dataclasses.replace(record, case_id=identity.case_id, image_id=image_id)
    for file in files:
        if file.shown not in records:
            lone = InputError("voxels that no header names", code="header_missing")
            records[file.shown] = context.record(file, "not_an_image", failure_of(lone))
    return Grouped(tuple(series), tuple(refused), tuple(records.values()), tuple(identities))


def _identity(file: FoundFile, context: Context) -> CaseIdentity:
    study = file.origin.case if file.origin else file.shown
    patient = file.origin.patient if file.origin else ""
    return CaseIdentity(
        case_id=context.key.case_id(study),
        patient_key=context.key.patient_key(patient) if patient else "",
        patient_id=patient,
        study_uid=study,
    )


def _series(
    reader: str, file: FoundFile, found: SingleImage, identity: CaseIdentity, image_id: str, context: Context
) -> Series:
    facts = with_origin(found.facts, file.origin, context.key)
    return Series(
        case_id=identity.case_id,
        image_id=image_id,
        reader=reader,
        files=(file.path, *(part.path for part in found.partners)),
        facts=dataclasses.replace(facts, plane=plane_of(found.space)),
        space=found.space,
        volumes=found.volumes,
        axis=found.axis,
        selection={**dict(file.origin.selection if file.origin else ()), "file_name": Path(file.shown).name},
        notes=found.notes,
    )
