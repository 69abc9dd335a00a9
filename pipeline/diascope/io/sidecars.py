"""What the json files beside NIfTI images say of how they were acquired.

BIDS lets a file lower in the folders add to and overrule what one above it says (the
inheritance principle, BIDS 1.10, "Common principles"): `bold.json` at the root speaks of
every run, `sub-01_task-rest_bold.json` of that one. A file speaks of an image where it
has its suffix and none but its entities. dcm2niix writes the same keys into `x.json`
beside `x.nii.gz` outside of any BIDS folder.

Only acquisition facts are taken; what else stands in a file (names, dates, serial
numbers, comments) is not read on.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MAX_SIDECAR_BYTES = 2**24
"""Slice times of a long series take some hundred kilobytes."""

_ENDING = re.compile(r"\.(nii\.gz|nii|json)\Z", re.IGNORECASE)

# Descriptions of tables, which have the form of a sidecar's name.
_TABLES = frozenset({"participants", "samples", "sessions", "scans"})


@dataclass(frozen=True, slots=True)
class Told:
    """What sidecars say of an image.

    Attributes:
        facts: By the names of `ImageFacts`, in their units.
        selection: Texts that rules may look at and no result may show.
    """

    facts: Mapping[str, str] = field(default_factory=dict)
    selection: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Name:
    """A file name in the manner of BIDS: `sub-01_task-rest_bold`."""

    entities: frozenset[str]
    suffix: str

    def speaks_of(self, other: "_Name") -> bool:
        return self.suffix == other.suffix and self.entities <= other.entities


@dataclass(slots=True)
class Sidecars:
    """Reads every json file, and lists every folder, once."""

    _folders: dict[Path, tuple[tuple[_Name, Path], ...]] = field(default_factory=dict)
    _contents: dict[Path, Told | None] = field(default_factory=dict)

    def in_dataset(self, root: Path, image: Path) -> Told:
        """Collect what is said of an image of a BIDS folder, from its root down: the nearest word counts."""
        name = _name_of(image.name)
        facts: dict[str, str] = {}
        selection: dict[str, str] = {}
        folders = [*image.parents][: len(image.parts) - len(root.parts)]
        for folder in reversed(folders):
            for path in self._speaking(folder, name):
                if (told := self.read(path)) is not None:
                    facts |= told.facts
                    selection |= told.selection
        return Told(facts, selection)

    def beside(self, image: Path) -> Told | None:
        """Read the json file of an image's own name; None where there is none that says anything."""
        stem = _stem(image.name)
        path = image.with_name(f"{stem}.json")
        told = self.read(path) if path.is_file() else None
        return told if told is not None and told.facts else None

    def read(self, path: Path) -> Told | None:
        """Read a sidecar; None where it is none."""
        if path not in self._contents:
            self._contents[path] = _told(path)
        return self._contents[path]

    def _speaking(self, folder: Path, name: _Name) -> list[Path]:
        if folder not in self._folders:
            self._folders[folder] = tuple(_sidecars_in(folder))
        fitting = [(len(found.entities), path) for found, path in self._folders[folder] if found.speaks_of(name)]
        # Of several in one folder, which BIDS forbids, the one that is meant most narrowly comes last.
        return [path for _, path in sorted(fitting)]


def is_sidecar_name(name: str) -> bool:
    """Say whether a file's name is that of a sidecar: entities with a hyphen, then a suffix."""
    if not name.lower().endswith(".json"):
        return False
    *entities, suffix = _stem(name).split("_")
    return all("-" in entity for entity in entities) and "-" not in suffix and suffix.lower() not in _TABLES


def _sidecars_in(folder: Path) -> Iterator[tuple[_Name, Path]]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if is_sidecar_name(entry.name))
    except OSError:
        return
    for name in names:
        yield _name_of(name), folder / name


def _name_of(name: str) -> _Name:
    *entities, suffix = _stem(name).split("_")
    return _Name(frozenset(entities), suffix)


def _stem(name: str) -> str:
    # Only the ending: a name may have dots of its own, as in brain_1.5T.nii.gz.
    return _ENDING.sub("", name)


def _told(path: Path) -> Told | None:
    try:
        if path.stat().st_size > MAX_SIDECAR_BYTES:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    facts = {name: value for name, key, spell in _FACTS if (value := spell(content.get(key)))}
    selection = {name: value for name, key in _SELECTION if (value := _text(content.get(key)))}
    return Told(facts, selection)


def _number(value: object, factor: float = 1.0) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return ""
    return f"{value * factor:.9g}"


def _in_ms(value: object) -> str:
    return _number(value, 1000.0)


def _text(value: object) -> str:
    if isinstance(value, list):
        return "\\".join(part for one in value if (part := _text(one)))
    return " ".join(value.split()) if isinstance(value, str) else ""


def _stated(value: object) -> str:
    return "yes" if _text(value).lower() not in {"", "none", "no"} else ""


# Seconds become milliseconds, as the scanners' headers have them.
_FACTS: tuple[tuple[str, str, Callable[[object], str]], ...] = (
    ("field_strength_t", "MagneticFieldStrength", _number),
    ("manufacturer", "Manufacturer", _text),
    ("scanner_model", "ManufacturersModelName", _text),
    ("echo_time_ms", "EchoTime", _in_ms),
    ("repetition_time_ms", "RepetitionTime", _in_ms),
    ("inversion_time_ms", "InversionTime", _in_ms),
    ("flip_angle_deg", "FlipAngle", _number),
    ("slice_thickness_mm", "SliceThickness", _number),
    ("kvp", "KVP", _number),
    ("kernel", "ConvolutionKernel", _text),
    ("body_part", "BodyPartExamined", _text),
    ("image_type", "ImageType", _text),
    ("contrast", "ContrastBolusIngredient", _stated),
    ("institution", "InstitutionName", _text),
)

_SELECTION = (
    ("series_description", "SeriesDescription"),
    ("protocol_name", "ProtocolName"),
    ("sequence_name", "SequenceName"),
    ("pulse_sequence_name", "PulseSequenceName"),
)
