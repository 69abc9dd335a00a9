"""A column of a table as groups: one spelling, bands of numbers, and missing as a group of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.io.facts import age_of, manufacturer_of, sex_of

Ints = NDArray[np.int64]

MISSING = "missing"
CONFLICTING = "conflicting"

# What tables write where they know nothing.
_NOTHING = {"", "na", "n/a", "nan", "none", "null", "unknown", "unk", "?", "-", "missing", "not available"}

_SEX_COLUMNS = {"sex", "gender", "patient_sex"}
_AGE_COLUMNS = {"age", "age_years", "patient_age"}
_MANUFACTURER_COLUMNS = {"manufacturer", "vendor"}

# Who a person is does not change from scan to scan; scanner, age and view do.
_CONSTANT_COLUMNS = {*_SEX_COLUMNS, "ethnic_group", "ethnicity", "race"}


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """A division of the rows.

    Attributes:
        name: Column, or `one x other` for an intersection.
        levels: Names of the groups, in their order.
        code: (rows,) which group a row is in.
        parts: The columns it was made of.
    """

    name: str
    levels: tuple[str, ...]
    code: Ints
    parts: tuple[str, ...]

    @property
    def is_intersection(self) -> bool:
        """Whether it pairs two attributes."""
        return len(self.parts) > 1


def attribute_of(
    column: pd.Series, patient: Ints, bands: Sequence[float] | None, largest: int
) -> tuple[Attribute, tuple[str, ...]]:
    """Make groups of a column.

    Args:
        column: The values, one per row, named as the attribute.
        patient: (rows,) whose row it is.
        bands: Limits of the bands of a numeric column; each limit begins a band.
        largest: More groups than this are refused.

    Returns:
        The groups, and what a reader should know about how they were made.

    Raises:
        InputError: The column looks like an identifier, or needs bands.
    """
    name = str(column.name)
    notes: list[str] = []
    text = _each(column, _text)
    if reader := _reader(name):
        read = _each(text, reader)
        if lost := int((read.isna() & text.notna()).sum()):
            notes.append(f"{name}: {lost} values could not be read and count as missing")
        text = read
    if bands:
        text = _each(text, lambda value: _band(value, bands))
    if name.lower() in _CONSTANT_COLUMNS:
        text, conflicts = _without_conflicts(text, patient)
        if conflicts:
            notes.append(f"{name}: {conflicts} patients have more than one value and are a group of their own")
    filled = text.fillna(MISSING).astype(str)
    levels = sorted(filled.unique(), key=_order)
    _check_levels(name, levels, filled, largest)
    code = filled.map({level: at for at, level in enumerate(levels)}).to_numpy(dtype=np.int64)
    return Attribute(name, tuple(levels), code, (name,)), tuple(notes)


def intersection_of(one: Attribute, other: Attribute) -> Attribute:
    """Pair two attributes; pairs that no row has are left out."""
    both = one.code * len(other.levels) + other.code
    present, code = np.unique(both, return_inverse=True)
    levels = tuple(
        f"{one.levels[value // len(other.levels)]}, {other.levels[value % len(other.levels)]}" for value in present
    )
    name = f"{one.name} x {other.name}"
    return Attribute(name, levels, code.astype(np.int64), (*one.parts, *other.parts))


def _each(column: pd.Series, read: Callable[[Any], str | None]) -> pd.Series:
    # Distinct values only: a table of 100,000 rows has a handful of them.
    codes, distinct = pd.factorize(column)
    values = np.array([*(read(value) for value in distinct), None], dtype=object)
    return pd.Series(values[codes], name=column.name, dtype=object)


def _text(value: object) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column with holes becomes float on reading: 3.0 T is 3 T
    text = " ".join(str(value).split())
    if text.endswith(".0") and text[:-2].isdigit():
        text = text[:-2]
    return None if text.lower() in _NOTHING else text


def _reader(name: str) -> Callable[[str], str | None] | None:
    if name.lower() in _SEX_COLUMNS:
        return sex_of
    if name.lower() in _AGE_COLUMNS:
        return age_of
    return manufacturer_of if name.lower() in _MANUFACTURER_COLUMNS else None


def _band(value: str, limits: Sequence[float]) -> str | None:
    try:
        number = float(value.rstrip("+"))
    except ValueError:
        return None
    edges = sorted(limits)
    at = int(np.searchsorted(edges, number, side="right"))
    if at == 0:
        return f"below {edges[0]:g}"
    return f"{edges[-1]:g} and over" if at == len(edges) else f"{edges[at - 1]:g} to below {edges[at]:g}"


def _without_conflicts(text: pd.Series, patient: Ints) -> tuple[pd.Series, int]:
    known = text.notna()
    values = text[known].groupby(patient[known.to_numpy()]).nunique()
    conflicting = set(values.index[values > 1].tolist())
    if not conflicting:
        return text, 0
    rows = np.isin(patient, list(conflicting))
    return text.mask(rows, CONFLICTING), len(conflicting)


def _order(level: str) -> tuple[int, float, str]:
    # Bands and numbers in their order, words by alphabet, what is missing last.
    if level in {MISSING, CONFLICTING}:
        return 2, 0.0, level
    first = level.split(maxsplit=1)[0]
    if first == "below":
        return 0, -np.inf, level
    try:
        return 0, float(first.rstrip("+")), level
    except ValueError:
        return 1, 0.0, level


def _check_levels(name: str, levels: Sequence[str], filled: pd.Series, largest: int) -> None:
    if len(levels) <= largest:
        return
    if len(levels) > len(filled) / 2:
        raise InputError(
            f"the group column {name} has {len(levels)} values in {len(filled)} rows: it looks like an identifier",
            hint="name a column that many rows share",
            code="identifier_column",
        )
    raise InputError(
        f"the group column {name} has {len(levels)} values, allowed are {largest}",
        hint=f"give limits in bands.{name}, or raise largest_number_of_groups",
        code="too_many_groups",
    )
