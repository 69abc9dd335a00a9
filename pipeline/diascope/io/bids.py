"""BIDS folders: subject and session make the case, participants.tsv gives the groups, json files the acquisition.

A folder counts as BIDS by its `dataset_description.json` (BIDS 1.10, "Agnostic files").
Its derivatives and source data are not read along with it: they show the same patients
a second time, and its masks are no images.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diascope.errors import InputError
from diascope.findings import Failure
from diascope.io.reader import FoundFile, Origin
from diascope.io.series import FileFate
from diascope.io.sidecars import Sidecars, Told, is_sidecar_name
from diascope.io.tables import identifying_columns, read_table

_SUBJECT = re.compile(r"sub-[0-9A-Za-z]+")
_SESSION = re.compile(r"ses-[0-9A-Za-z]+")
_SUFFIX = re.compile(r"_([0-9A-Za-z]+)\.[^/]+$")
_IMAGE = (".nii", ".nii.gz")
_MASKS = {"dseg", "probseg", "mask", "roi", "lesion"}
_MODALITIES = {
    "anat": "MR", "func": "MR", "dwi": "MR", "fmap": "MR", "perf": "MR", "pet": "PT", "ct": "CT",
}  # fmt: skip

_DERIVATIVE = Failure("bids_derivative", "a derivative of other images of the folder", "give that folder by itself")
_SOURCE = Failure("bids_source", "the source of other images of the folder", "give that folder by itself")
_PARTICIPANTS = "participants.tsv"
_BROKEN_TABLE = Failure(
    "bad_table", "participants.tsv is no table with a column participant_id: no groups are known", "correct the table"
)
_SIDECAR = Failure("sidecar", "acquisition facts of images; they were taken from it", "")
_BROKEN_SIDECAR = Failure("bad_sidecar", "no json object: its facts of images are not known", "correct it")
_MASK = Failure("mask", "a label map, not an image", "")


@dataclass(frozen=True, slots=True)
class BidsFiles:
    """Files with what the tables of their BIDS folder say of them.

    Attributes:
        files: Those that may be images, in the order given.
        decided: Those whose fate the folder decides.
    """

    files: tuple[FoundFile, ...]
    decided: tuple[tuple[FoundFile, FileFate, Failure], ...] = ()


def with_bids_origins(files: Sequence[FoundFile]) -> BidsFiles:
    """Fill in the origin of files in BIDS folders; others pass unchanged."""
    roots, sidecars = _Roots(), Sidecars()
    kept: list[FoundFile] = []
    decided: list[tuple[FoundFile, FileFate, Failure]] = []
    for file in files:
        place = None if file.origin else roots.place_of(file)
        fate = place.decides(file, sidecars) if place else None
        if fate is not None:
            decided.append((file, *fate))
        elif place and place.subject:
            kept.append(dataclasses.replace(file, origin=place.origin(file, sidecars)))
        elif place is None and file.origin is None and (told := _told_beside(file, sidecars)) is not None:
            kept.append(dataclasses.replace(file, origin=_lone_origin(file, told)))
        else:
            kept.append(file)
    return BidsFiles(tuple(kept), tuple(decided))


@dataclass(frozen=True, slots=True)
class _Dataset:
    """A folder with a dataset_description.json.

    Attributes:
        root: Where it is.
        name: As it calls itself.
        participants: What is said of each subject, by column; None if the table cannot be read.
    """

    root: Path
    name: str
    participants: Mapping[str, Mapping[str, str]] | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a dataset a file lies, by the words of its path below the root."""

    dataset: _Dataset
    parts: tuple[str, ...]

    @property
    def subject(self) -> str:
        return next((part for part in self.parts[:-1] if _SUBJECT.fullmatch(part)), "")

    @property
    def session(self) -> str:
        return next((part for part in self.parts[:-1] if _SESSION.fullmatch(part)), "")

    @property
    def suffix(self) -> str:
        found = _SUFFIX.search(self.parts[-1])
        return found[1] if found else ""

    def decides(self, file: FoundFile, sidecars: Sidecars) -> tuple[FileFate, Failure] | None:
        """Say what becomes of a file without opening it as an image; None leaves that to the readers."""
        if self.dataset.participants is None and self.parts == (_PARTICIPANTS,):
            return "failed", _BROKEN_TABLE
        if "sourcedata" in self.parts:
            return "skipped", _SOURCE
        is_derived = "derivatives" in self.parts
        if is_sidecar_name(file.path.name) and not is_derived:
            return ("failed", _BROKEN_SIDECAR) if sidecars.read(file.path) is None else ("skipped", _SIDECAR)
        if not file.path.name.lower().endswith(_IMAGE):
            return None
        if is_derived:
            return "skipped", _DERIVATIVE
        return ("skipped", _MASK) if self.suffix.lower() in _MASKS else None

    def origin(self, file: FoundFile, sidecars: Sidecars) -> Origin:
        told = sidecars.in_dataset(self.dataset.root, file.path)
        facts = {**(self.dataset.participants or {}).get(self.subject, {}), **told.facts}
        modality = next((_MODALITIES[part] for part in self.parts if part in _MODALITIES), "")
        facts |= {"bids_suffix": self.suffix} | ({"modality": modality} if modality else {})
        # An archive is unpacked in another place every time: its own name counts.
        root = file.shown.removesuffix("/".join(self.parts)).rstrip("/")
        # The same subject label is another person in another dataset.
        return Origin(
            case="/".join(part for part in (root, self.subject, self.session) if part),
            patient=f"{self.dataset.name}/{self.subject}",
            facts=tuple(sorted(facts.items())),
            selection=tuple(sorted(told.selection.items())),
        )


@dataclass(slots=True)
class _Roots:
    """Remembers which folders are datasets, so that each is asked once."""

    known: dict[Path, _Dataset | None] = field(default_factory=dict)

    def place_of(self, file: FoundFile) -> _Place | None:
        # The outermost dataset owns the file: derivatives describe themselves, too.
        found = None
        for folder in file.path.parents:
            if folder not in self.known:
                self.known[folder] = _dataset(folder)
            found = self.known[folder] or found
        return _Place(found, file.path.relative_to(found.root).parts) if found else None


def _told_beside(file: FoundFile, sidecars: Sidecars) -> Told | None:
    return sidecars.beside(file.path) if file.path.name.lower().endswith(_IMAGE) else None


def _lone_origin(file: FoundFile, told: Told) -> Origin:
    """Say what the json file of dcm2niix says; the case stays the file itself."""
    return Origin(file.shown, facts=tuple(sorted(told.facts.items())), selection=tuple(sorted(told.selection.items())))


def _dataset(folder: Path) -> _Dataset | None:
    description = folder / "dataset_description.json"
    if not description.is_file():
        return None
    try:
        content = json.loads(description.read_bytes())
    except (ValueError, OSError, RecursionError):
        return None
    if not isinstance(content, dict) or "BIDSVersion" not in content:
        return None
    return _Dataset(folder, str(content.get("Name") or folder.name), _participants(folder / _PARTICIPANTS))


def _participants(path: Path) -> dict[str, Mapping[str, str]] | None:
    if not path.is_file():
        return {}
    try:
        table = read_table(path, _PARTICIPANTS)
    except InputError:
        return None
    if "participant_id" not in table.columns:
        return None
    dropped = {"participant_id", *identifying_columns(table.columns)}
    return {row["participant_id"]: _without(row, dropped) for row in table.rows}


def _without(row: Mapping[str, str], dropped: Iterable[str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if name not in dropped}
