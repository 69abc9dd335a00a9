"""Make the rows of a manifest: from headers, or from a pattern of file names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diascope.config import Settings
from diascope.errors import ConfigError
from diascope.findings import ImageFacts
from diascope.image_facts import GROUP_FACTS
from diascope.io.facts import age_of
from diascope.io.manifest import ManifestRow, relative_to
from diascope.io.reader import IngestSettings
from diascope.io.series import Catalogue
from diascope.io.splits import SplitSettings
from diascope.io.tables import identifying_columns, read_table

# Facts that results are compared by; each becomes a column if any image states it.
_GROUP_FACTS = (*GROUP_FACTS, "modality", "body_part", "plane", "sequence")

# An age of 90 and over stands out in any cohort, in a manifest as anywhere.
_AGES = {"age", "age_years"}

_PLACEHOLDER = re.compile(r"\{(case|patient)\}|\*\*|\*|[^{}*]+|.")


class ManifestSettings(Settings):
    """How a manifest is made."""

    image: str | None = None
    """Pattern of the images below the data root, such as `images/{case}.nii.gz`; `*` is any name,
    `**` any path. Without it, headers say what is an image and whose."""

    label: str | None = None
    """Pattern of the truth of an image, with the same `{case}`."""

    table: Path | None = None
    """A csv or tsv with more facts, a row per case or patient."""

    table_key: str = "case"
    """The column of that table that names case or patient."""

    keep: tuple[str, ...] = ()
    """Columns of that table to keep although their names look like identifiers."""

    drop: tuple[str, ...] = ()
    """Further columns of that table to leave out."""

    split: SplitSettings = SplitSettings()
    """How patients are dealt out."""

    ingest: IngestSettings = IngestSettings()
    """How files become images, where headers are asked."""

    key_file: Path | None = None
    """Key of the ids; the user's own where not set."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A table of facts beside the images.

    Attributes:
        by_key: The values of each case or patient.
        dropped: Columns that were left out because they tell who it is.
    """

    by_key: Mapping[str, Mapping[str, str]]
    dropped: tuple[str, ...] = ()


def read_facts(settings: ManifestSettings) -> Facts:
    """Read the table of facts, without what tells who it is.

    Raises:
        ConfigError: It has not the column that names the case, or a case twice.
    """
    if settings.table is None:
        return Facts({})
    table = read_table(settings.table)
    if settings.table_key not in table.columns:
        raise ConfigError(
            f"the table has no column {settings.table_key}", hint="set table_key to the one that names the case"
        )
    telling = {*identifying_columns(table.columns), *settings.drop} - {*settings.keep, settings.table_key}
    dropped = tuple(name for name in table.columns if name in telling)
    by_key: dict[str, Mapping[str, str]] = {}
    for row in table.rows:
        if row[settings.table_key] in by_key:
            raise ConfigError(f"the table has two rows for one {settings.table_key}", hint="keep one of them")
        by_key[row[settings.table_key]] = {
            name: age_of(value) or "" if name.lower() in _AGES else value
            for name, value in row.items()
            if name not in dropped and name != settings.table_key
        }
    return Facts(by_key, dropped)


def rows_by_pattern(
    root: Path, files: Sequence[Path], settings: ManifestSettings, facts: Facts
) -> tuple[ManifestRow, ...]:
    """Make a row of each file whose path fits the pattern of images (or of labels, where there are no images).

    Args:
        root: What the patterns start from.
        files: The files that are there.
        settings: With the patterns.
        facts: What a table says.

    Raises:
        ConfigError: No file fits.
    """
    wanted = settings.image or settings.label
    if wanted is None:
        raise ConfigError("a pattern of images or labels is needed")
    pattern = _compiled(wanted)
    present = {relative_to(file, root) for file in files}
    rows = [
        _pattern_row(path, matched, present, settings, facts)
        for path in sorted(present)
        if (matched := pattern.fullmatch(path))
    ]
    if not rows:
        raise ConfigError(f"none of {len(present)} files fits {wanted}", hint="patterns start from the data root")
    return tuple(rows)


def rows_of_catalogue(found: Catalogue, root: Path, facts: Facts) -> tuple[ManifestRow, ...]:
    """Make a row of each file of an image, with the facts of its header."""
    series = {one.image_id: one for one in found.series}
    rows = []
    for record in found.files:
        if record.fate != "used" or record.image_id not in series:
            continue
        header = series[record.image_id].facts
        patient = header.patient_key or record.case_id
        more = {**facts.by_key.get(patient, {}), **facts.by_key.get(record.case_id, {})}
        rows.append(
            ManifestRow(
                case=record.case_id,
                patient=patient,
                image=relative_to(Path(record.path), root),
                groups={**_groups(header), **more},
            )
        )
    return tuple(rows)


def _pattern_row(
    path: str, matched: re.Match[str], present: set[str], settings: ManifestSettings, facts: Facts
) -> ManifestRow:
    names = matched.groupdict()
    case = names.get("case") or path
    groups = dict(facts.by_key.get(case, {}))
    patient = names.get("patient") or groups.pop("patient", "") or case
    groups.pop("patient", None)
    groups.pop("split", None)
    if settings.image is None:
        return ManifestRow(case=case, patient=patient, image="", label=path, groups=groups)
    label = (settings.label or "").replace("{case}", case).replace("{patient}", patient)
    return ManifestRow(case=case, patient=patient, image=path, label=label if label in present else "", groups=groups)


def _compiled(pattern: str) -> re.Pattern[str]:
    parts, seen = [], set()
    for token in _PLACEHOLDER.finditer(pattern):
        name = token[1]
        if name:
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
            seen.add(name)
        else:
            parts.append({"**": ".*", "*": "[^/]*"}.get(token[0]) or re.escape(token[0]))
    return re.compile("".join(parts))


def _groups(facts: ImageFacts) -> dict[str, str]:
    stated = ((name, getattr(facts, name)) for name in _GROUP_FACTS)
    plain = {name: _spelled(value) for name, value in stated if value is not None}
    return {**plain, **dict(facts.extra)}


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
