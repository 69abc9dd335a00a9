"""Spell facts the same way whatever source they come from."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Literal

import numpy as np

from diascope.findings import ImageFacts
from diascope.geometry import Grid, Space
from diascope.identity import IdentityKey
from diascope.io.reader import Origin

# From this age on a person stands out in any cohort (HIPAA safe harbour, 45 CFR 164.514(b)(2)(i)(C)).
OLDEST_TOLD_YEARS = 90

# The tilt at which a plane is no longer called axial, coronal or sagittal.
OBLIQUE_FROM_DEG = 30.0

# Facts that a table may state by their own names, unit included.
_NUMBERS = (
    "field_strength_t", "kvp", "slice_thickness_mm", "repetition_time_ms", "echo_time_ms", "inversion_time_ms",
    "flip_angle_deg", "b_value_s_per_mm2",
)  # fmt: skip

_YEARS_PER = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_AGE = re.compile(r"\s*(\d{1,4}(?:\.\d+)?)\s*([DWMY]?)", re.IGNORECASE)
_MANUFACTURERS = (
    "SIEMENS",
    "GE",
    "PHILIPS",
    "CANON",
    "TOSHIBA",
    "HITACHI",
    "FUJIFILM",
    "UIH",
    "AGFA",
    "HOLOGIC",
    "BRUKER",
)
_OTHER_SPELLINGS = {
    "GENERAL ELECTRIC": "GE", "G.E.": "GE", "UNITED IMAGING": "UIH", "FUJI": "FUJIFILM", "KODAK": "CARESTREAM",
    "MARCONI": "PHILIPS", "PICKER": "PHILIPS", "LORAD": "HOLOGIC",
}  # fmt: skip


def sex_of(text: str) -> Literal["M", "F", "O"] | None:
    """Read a sex as DICOM, BIDS and most tables spell it."""
    word = text.strip().upper()
    if word in {"M", "MALE"}:
        return "M"
    if word in {"F", "FEMALE"}:
        return "F"
    return "O" if word in {"O", "OTHER"} else None


def age_of(text: str) -> str | None:
    """Read an age (`042Y`, `18M`, `42`, `42.5`) as whole years, 90 and over as `90+`."""
    matched = _AGE.fullmatch(text)
    if matched is None:
        return "90+" if text.strip().replace(" ", "") == "90+" else None
    years = int(float(matched[1]) * _YEARS_PER[matched[2].upper() or "Y"])
    return f"{OLDEST_TOLD_YEARS}+" if years >= OLDEST_TOLD_YEARS else str(years)


def manufacturer_of(text: str) -> str | None:
    """Read a manufacturer: upper case, known spellings made one."""
    word = " ".join(text.upper().split())
    for spelling, name in _OTHER_SPELLINGS.items():
        if word.startswith(spelling):
            return name
    for name in _MANUFACTURERS:
        if re.match(rf"{name}\b", word):
            return name
    return word or None


def number_of(text: str) -> float | None:
    """Read a number that is one: no infinity, nothing behind it."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def plane_of(space: Space | None) -> Literal["axial", "coronal", "sagittal", "oblique"] | None:
    """Name the plane of the slices: along k, or the thickest axis where that stands out."""
    if not isinstance(space, Grid):
        return None
    across = space.affine[:3, 2] if _is_stacked_along_k(space) else _thickest(space)
    normal = np.abs(across) / np.linalg.norm(across)
    largest = int(normal.argmax())
    if normal[largest] < np.cos(np.deg2rad(OBLIQUE_FROM_DEG)):
        return "oblique"
    planes: tuple[Literal["sagittal", "coronal", "axial"], ...] = ("sagittal", "coronal", "axial")
    return planes[largest]


def with_origin(facts: ImageFacts, origin: Origin | None, key: IdentityKey) -> ImageFacts:
    """Add what a table beside the files says; it wins over the header, because somebody wrote it on purpose."""
    if origin is None:
        return facts
    table = {name.strip().lower(): value for name, value in origin.facts if value.strip().lower() not in {"", "n/a"}}
    changes: dict[str, object] = {"patient_key": key.patient_key(origin.patient)} if origin.patient else {}
    readings: tuple[tuple[str, tuple[str, ...], Callable[[str], object]], ...] = (
        ("sex", ("sex", "gender"), sex_of),
        ("age_years", ("age_years", "age"), age_of),
        ("ethnic_group", ("ethnic_group", "ethnicity"), str.lower),
        ("manufacturer", ("manufacturer",), manufacturer_of),
        ("modality", ("modality",), str.upper),
        ("view", ("view",), str.upper),
        ("body_part", ("body_part",), str.upper),
        ("scanner_model", ("scanner_model",), str),
        ("kernel", ("kernel",), str),
        ("contrast", ("contrast",), _yes_or_no),
        ("image_type", ("image_type",), _values),
        ("site_key", ("institution",), key.site_key),
        *((name, (name,), number_of) for name in _NUMBERS),
    )
    for field, names, read in readings:
        for name in names:
            if name in table and (value := read(table.pop(name))) is not None:
                changes.setdefault(field, value)
    changes["extra"] = (*facts.extra, *sorted(table.items()))
    return dataclasses.replace(facts, **changes)  # type: ignore[arg-type]  # the names above are fields


def _yes_or_no(text: str) -> bool | None:
    return {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(text.strip().lower())


def _values(text: str) -> tuple[str, ...] | None:
    return tuple(part.strip().upper() for part in text.split("\\") if part.strip()) or None


def _is_stacked_along_k(space: Grid) -> bool:
    spacing_mm = space.spacing_mm
    return spacing_mm[2] >= 0.99 * max(spacing_mm)


def _thickest(space: Grid) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    column: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = space.affine[:3, int(np.argmax(space.spacing_mm))]
    return column
