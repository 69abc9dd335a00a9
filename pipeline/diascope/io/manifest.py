"""Manifests: which files there are, whose they are, and who may see them when.

A manifest is a csv with a row per image file. Its paths are relative to a data root,
so that it can be handed on; its digests prove that two people used the same bytes.
`diascope train`, `evaluate` and `audit` read it, and so does `diascope run` as an input.
"""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from diascope.errors import ConfigError, InputError
from diascope.findings import Failure
from diascope.io.reader import FoundFile, Origin
from diascope.io.splits import SplitSettings, split_patients, strata_of
from diascope.io.tables import identifying_columns, read_table, write_rows

COLUMNS = ("case", "patient", "split", "image", "label", "image_sha256", "label_sha256", "size_bytes")
"""Every other column is a group: a fact that results are compared by."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One image file.

    Attributes:
        case: The study or subject; several files may be of one case.
        patient: Whose it is.
        image: Path below the data root; empty where images are synthesised from labels.
        label: Path of its truth below the data root, if there is one.
        split: `train`, `calibration` or `test`; empty before it was dealt out.
        image_sha256: 64 hexadecimal digits; empty where not known.
        label_sha256: 64 hexadecimal digits; empty where not known.
        size_bytes: Of the image.
        groups: Facts by column.
    """

    case: str
    patient: str
    image: str
    label: str = ""
    split: str = ""
    image_sha256: str = ""
    label_sha256: str = ""
    size_bytes: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Differences:
    """What is not as the manifest says.

    Attributes:
        changed: Files with other bytes.
        vanished: Files that are not there.
        came: Images that the manifest does not name.
    """

    changed: tuple[str, ...]
    vanished: tuple[str, ...]
    came: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.changed or self.vanished or self.came)


def read_rows(path: Path) -> tuple[ManifestRow, ...]:
    """Read a manifest as `write_manifest` wrote it; columns that it lacks are empty.

    Raises:
        ConfigError: It has neither a column `image` nor `label`, or no `case`.
        InputError: It is no table.
    """
    table = read_table(path, f"the manifest {path.name}")
    if "case" not in table.columns or not {"image", "label"} & set(table.columns):
        raise ConfigError(f"the manifest {path.name} needs the columns case, and image or label")
    return tuple(_row(values) for values in table.rows)


def manifest_text(rows: Sequence[ManifestRow]) -> str:
    """Spell a manifest as csv: known columns first, then the groups, rows by case and file."""
    groups = sorted({name for row in rows for name, value in row.groups.items() if value})
    ordered = sorted(rows, key=lambda row: (row.case, row.image, row.label))
    plain = (
        {**{name: getattr(row, name) for name in COLUMNS}, **{g: row.groups.get(g, "") for g in groups}}
        for row in ordered
    )
    return write_rows((*COLUMNS, *groups), plain)


def with_split(rows: Sequence[ManifestRow], settings: SplitSettings) -> tuple[ManifestRow, ...]:
    """Deal the patients out; all files of one are in the same part.

    Raises:
        ConfigError: It is to be stratified by a column that no row has.
    """
    groups: dict[str, Mapping[str, str]] = {}
    for row in sorted(rows, key=lambda row: (row.patient, row.case, row.image, row.label)):
        groups.setdefault(row.patient, row.groups)
    known = {name for values in groups.values() for name in values}
    if missing := sorted(set(settings.stratify) - known):
        raise ConfigError(
            f"split.stratify: no file has a value for {', '.join(missing)}",
            hint=f"there are: {', '.join(sorted(known))}",
        )
    dealt = split_patients(strata_of(groups, settings.stratify), settings)
    return tuple(dataclasses.replace(row, split=dealt[row.patient]) for row in rows)


def with_digests(rows: Sequence[ManifestRow], root: Path) -> tuple[ManifestRow, ...]:
    """Fill in size and digests, reading every file once.

    Raises:
        InputError: A file cannot be read; it is named by its row.
    """
    paths = sorted({path for row in rows for path in (row.image, row.label) if path})
    found = dict(zip(paths, _digests([root / path for path in paths]), strict=True))
    if missing := [number for number, path in enumerate(paths, start=1) if found[path] is None]:
        raise InputError(f"{len(missing)} of {len(paths)} files cannot be read", code="cannot_read")
    return tuple(
        dataclasses.replace(
            row,
            image_sha256=found.get(row.image) or "",
            label_sha256=found.get(row.label) or "",
            size_bytes=(root / row.image).stat().st_size if row.image else 0,
        )
        for row in rows
    )


def differences(rows: Sequence[ManifestRow], root: Path, images: Iterable[Path]) -> Differences:
    """Compare a manifest with what is there.

    Args:
        rows: The manifest.
        root: What its paths start from.
        images: The image files that are there now.
    """
    stated = {path: digest for row in rows for path, digest in _stated(row)}
    there = {path: root / path for path in stated if (root / path).is_file()}
    digests = dict(zip(there, _digests(list(there.values())), strict=True))
    changed = (path for path, digest in digests.items() if stated[path] and digest != stated[path])
    came = {relative_to(image, root) for image in images} - set(stated)
    return Differences(tuple(sorted(changed)), tuple(sorted(set(stated) - set(there))), tuple(sorted(came)))


def relative_to(path: Path, root: Path) -> str:
    """Spell a path as it stands in a manifest: from the data root, with forward slashes.

    Raises:
        ConfigError: The file is not below the root.
    """
    full = Path(os.path.abspath(path))  # noqa: PTH100 - links are not followed: the manifest shows what the user sees
    base = Path(os.path.abspath(root))  # noqa: PTH100
    if not full.is_relative_to(base):
        raise ConfigError("a file is not below the data root", hint="give the folder that holds all inputs with --root")
    return full.relative_to(base).as_posix()


@dataclass(frozen=True, slots=True)
class ListedInputs:
    """The image files that a manifest stands for, when it is the input of a run.

    Attributes:
        files: Those that are there, with what the manifest says of them.
        missing: Those that are not.
    """

    files: tuple[FoundFile, ...]
    missing: tuple[tuple[FoundFile, Failure], ...]


def is_manifest(path: Path) -> bool:
    """Say whether a file is a csv with the columns of a manifest."""
    if path.suffix.lower() not in {".csv", ".tsv"} or not path.is_file():
        return False
    try:
        return {"case", "image"} <= set(read_table(path).columns)
    except InputError:
        return False


def listed_inputs(path: Path, root: Path | None = None) -> ListedInputs:
    """Take a manifest as the list of inputs.

    Args:
        path: The manifest.
        root: What its paths start from; its own folder if left out.

    Raises:
        ConfigError: It is no manifest.
    """
    files: list[FoundFile] = []
    missing: list[tuple[FoundFile, Failure]] = []
    seen: set[str] = set()
    for row in read_rows(path):
        image = os.path.abspath((root or path.parent) / row.image)  # noqa: PTH100
        if not row.image or image in seen:
            continue
        seen.add(image)
        facts = {**row.groups, "split": row.split}
        dropped = identifying_columns(facts)
        origin = Origin(
            case=row.case,
            patient=row.patient,
            facts=tuple(sorted((name, value) for name, value in facts.items() if value and name not in dropped)),
        )
        try:
            status = os.stat(image)  # noqa: PTH116
        except OSError:
            missing.append((FoundFile(Path(image), image, 0, 0, origin), _MISSING))
        else:
            files.append(FoundFile(Path(image), image, status.st_size, status.st_mtime_ns, origin))
    return ListedInputs(tuple(files), tuple(missing))


_MISSING = Failure("missing_file", "the manifest names a file that is not there", "check the data root of the manifest")


def _row(values: Mapping[str, str]) -> ManifestRow:
    known = {name: values.get(name, "") for name in COLUMNS if name != "size_bytes"}
    size = values.get("size_bytes", "")
    return ManifestRow(
        **{**known, "patient": known["patient"] or known["case"]},
        size_bytes=int(size) if size.isdecimal() else 0,
        groups={name: value for name, value in values.items() if name not in COLUMNS},
    )


def _stated(row: ManifestRow) -> Iterable[tuple[str, str]]:
    for path, digest in ((row.image, row.image_sha256), (row.label, row.label_sha256)):
        if path:
            yield path, digest


def _digests(paths: Sequence[Path]) -> list[str | None]:
    # hashlib lets go of the interpreter: a few threads keep a disk busy.
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(_digest, paths))


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
