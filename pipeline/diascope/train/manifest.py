"""Manifests: which files belong to which patient, and who may see them when.

A manifest is a csv. Files are relative to the dataset root, so that it can be
shared; hashes prove that two people trained on the same bytes.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from diascope.errors import ConfigError, InputError
from diascope.io.outfolder import file_digest
from diascope.io.splits import Split

COLUMNS = ("case", "patient", "split", "image", "label", "image_sha256", "label_sha256")


@dataclass(frozen=True, slots=True)
class ManifestCase:
    """One row of a manifest.

    Attributes:
        case: Name of the case, unique in the manifest.
        patient: Whose it is; all of a patient's cases are in one split.
        split: What the case may be used for.
        image: Image file, None where images are synthesised.
        label: Label file, None where there is none.
        sha256: Hex digest by column name (`image`, `label`), as far as stated.
        groups: Every further column, for subgroups.
    """

    case: str
    patient: str
    split: Split
    image: Path | None
    label: Path | None
    sha256: Mapping[str, str]
    groups: Mapping[str, str]


def read_manifest(source: Path, data_root: Path) -> tuple[ManifestCase, ...]:
    """Read a manifest and check what can be checked without opening an image.

    Raises:
        ConfigError: The table is not a manifest, a split is unknown, a case is
            named twice, or a patient is in two splits.
        InputError: A file is missing.
    """
    try:
        with source.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(lines)
            missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise ConfigError(f"the manifest {source.name} has no column {', '.join(missing)}")
            cases = tuple(_case(row, data_root) for row in table)
    except OSError as error:
        raise ConfigError(f"cannot read the manifest {source.name}: {error.strerror}") from None
    _check_unique(cases)
    _check_patients(cases)
    for case in cases:
        _check_files(case)
    return cases


def cases_of(cases: Sequence[ManifestCase], split: Split) -> tuple[ManifestCase, ...]:
    """Pick the cases of a split.

    Raises:
        ConfigError: There is none.
    """
    found = tuple(case for case in cases if case.split == split)
    if not found:
        raise ConfigError(
            f"the split {split} is empty: none of {len(cases)} cases is in it",
            hint="give some patients of the manifest this split",
        )
    return found


def check_digests(cases: Sequence[ManifestCase]) -> None:
    """Compare every file with the digest the manifest states for it.

    Raises:
        InputError: A file differs; the message names the case.
    """
    for case in cases:
        for column, path in (("image", case.image), ("label", case.label)):
            stated = case.sha256.get(column)
            if path is None or not stated:
                continue
            seen = file_digest(path)
            if seen != stated:
                raise InputError(
                    f"case {case.case}: its {column} file has digest {seen[:12]}…, the manifest states {stated[:12]}…",
                    hint="the file was changed or is another version: download it again, or make a new manifest",
                )


def _case(row: Mapping[str, str], data_root: Path) -> ManifestCase:
    split = row["split"]
    if split not in get_args(Split):
        raise ConfigError(f"case {row['case']}: split is {split!r}, expected one of {', '.join(get_args(Split))}")
    return ManifestCase(
        case=row["case"],
        patient=row["patient"],
        split=split,  # type: ignore[arg-type]  # checked two lines above
        image=data_root / row["image"] if row["image"] else None,
        label=data_root / row["label"] if row["label"] else None,
        sha256={name: row[f"{name}_sha256"] for name in ("image", "label") if row[f"{name}_sha256"]},
        groups={name: value for name, value in row.items() if name not in COLUMNS},
    )


def _check_unique(cases: Sequence[ManifestCase]) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.case in seen:
            raise ConfigError(f"the manifest names case {case.case} twice")
        seen.add(case.case)


def _check_patients(cases: Sequence[ManifestCase]) -> None:
    split_of: dict[str, str] = {}
    for case in cases:
        other = split_of.setdefault(case.patient, case.split)
        if other != case.split:
            raise ConfigError(
                f"case {case.case}: its patient is in the splits {other} and {case.split}",
                hint="put all images of a patient into one split",
            )


def _check_files(case: ManifestCase) -> None:
    for column, path in (("image", case.image), ("label", case.label)):
        if path is not None and not path.is_file():
            raise InputError(
                f"case {case.case}: its {column} file is missing below the data root",
                hint="check data_root in the config",
                code="missing_file",
            )
