"""Anybody's predictions, checked: a table, its patients, its groups and what is measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.evaluation.audit.groups import Attribute, attribute_of, intersection_of
from diascope.evaluation.audit.measures import (
    Measure,
    checked_measures,
    classification_measures,
    detection_measures,
    segmentation_measures,
)
from diascope.evaluation.audit.scans import ScanTable, scans_of
from diascope.evaluation.audit.settings import AuditSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


FEATURE_PREFIX = "feature_"
"""Columns that begin so are the network's features: probed for the attributes."""


@dataclass(frozen=True, slots=True, eq=False)
class AuditTable:
    """What is audited.

    Attributes:
        rows: How many.
        patient: (rows,) whose row it is, 0..patients-1.
        patients: How many.
        attributes: The single divisions.
        intersections: Their pairs.
        measures: What is measured of each row.
        positive: (rows,) the truth of a classification, else None.
        score: (rows,) its score, else None.
        scans: Of a detection, else None.
        features: (rows, d) vectors of the network, else None.
        notes: What a reader should know about the table.
        cases: (rows,) name of each row's case; empty where the table names none.
    """

    rows: int
    patient: Ints
    patients: int
    attributes: tuple[Attribute, ...]
    intersections: tuple[Attribute, ...]
    measures: tuple[Measure, ...]
    positive: Bools | None
    score: Floats | None
    scans: ScanTable | None
    features: Floats | None
    notes: tuple[str, ...]
    cases: tuple[str, ...] = ()


def read_table(path: Path) -> pd.DataFrame:
    """Read a csv as it is spelt: `NA` stays a word, `007` keeps its zeros in text columns.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"the table cannot be read: {type(error).__name__}", code="unreadable") from None


def prepare(frame: pd.DataFrame, settings: AuditSettings, clinical: pd.DataFrame | None = None) -> AuditTable:
    """Check a table and make its groups.

    Args:
        frame: One row per prediction; see docs/audit.md for the columns.
        settings: Of the audit.
        clinical: A table to join by `settings.join.on`.

    Raises:
        InputError: Columns are missing, scores are no probabilities, cases stand
            there twice, or a group column is an identifier.
    """
    kept, notes = _kept(frame, settings)
    if clinical is not None and settings.join is not None:
        kept, joined = _joined(kept, clinical, settings.join.on)
        notes += joined
    scans = None
    if settings.task == "detection":
        scans = scans_of(kept, settings)
        kept = scans.frame
    _check_cases(kept, settings)
    patient, patients, told = _patients(kept, settings)
    positive, score = _truth_and_score(kept, settings) if settings.task == "classification" else (None, None)
    attributes, made = _attributes(kept, patient, settings)
    pairs = _pairs(attributes) if settings.intersections else ()
    return AuditTable(
        len(kept),
        patient,
        patients,
        attributes,
        pairs,
        _measures(kept, settings, positive, score, scans),
        positive,
        score,
        scans,
        _features(kept),
        (*notes, *told, *made),
        tuple(kept[settings.columns.case].astype(str)) if settings.columns.case in kept else (),
    )


def _kept(frame: pd.DataFrame, settings: AuditSettings) -> tuple[pd.DataFrame, list[str]]:
    kept = frame
    for column, value in settings.where.items():
        _need(kept, [column])
        kept = kept[kept[column].astype(str) == value]
    if kept.empty:
        raise InputError(f"no row of {len(frame)} is left to audit", hint="check the setting where", code="empty_table")
    dropped = len(frame) - len(kept)
    return kept.reset_index(drop=True), [f"{dropped} rows are not of {settings.where}"] if dropped else []


def _joined(frame: pd.DataFrame, clinical: pd.DataFrame, on: str) -> tuple[pd.DataFrame, list[str]]:
    for side in (frame, clinical):
        _need(side, [on])
    keys = clinical[on].astype(str)
    if twice := int(keys.duplicated().sum()):
        raise InputError(f"{twice} rows of the clinical table share their {on} with another", code="duplicate_case")
    new = [column for column in clinical.columns if column not in frame.columns]
    asked = frame[on].astype(str)
    indexed = clinical[new].set_index(keys)
    found = frame.assign(**{str(column): asked.map(indexed[column]) for column in new})
    unmatched, unused = int((~asked.isin(keys)).sum()), int((~keys.isin(asked)).sum())
    notes = [f"{unmatched} of {len(frame)} rows have no row in the clinical table: their groups are missing"]
    return found, (notes if unmatched else []) + (
        [f"{unused} rows of the clinical table have no prediction"] if unused else []
    )


def _check_cases(frame: pd.DataFrame, settings: AuditSettings) -> None:
    name = settings.columns.case
    if name not in frame:
        return
    keys = [column for column in (name, "image_id", "label", "target", "bundle", "slice_k") if column in frame]
    if twice := int(frame.duplicated(keys).sum()):
        raise InputError(
            f"{twice} of {len(frame)} rows name a case that stands there already (by {', '.join(keys)})",
            hint="keep one prediction per case, or choose rows with where",
            code="duplicate_case",
        )


def _patients(frame: pd.DataFrame, settings: AuditSettings) -> tuple[Ints, int, tuple[str, ...]]:
    for name in (settings.columns.patient, settings.columns.case):
        if name not in frame:
            continue
        column = frame[name]
        if column.isna().any():
            # Rows without a patient must not become one large patient.
            column = column.astype(object).where(column.notna(), [f"row {at}" for at in range(len(frame))])
        code, distinct = pd.factorize(column)
        told = (
            ()
            if name == settings.columns.patient
            else (f"there is no column {settings.columns.patient}: every case counts as a patient",)
        )
        return code.astype(np.int64), len(distinct), told
    return np.arange(len(frame)), len(frame), ("there is no patient or case column: every row counts as a patient",)


def _truth_and_score(frame: pd.DataFrame, settings: AuditSettings) -> tuple[Bools, Floats]:
    truth_name, score_name = settings.columns.truth, settings.columns.score
    _need(frame, [truth_name, score_name])
    truth = pd.to_numeric(frame[truth_name], errors="coerce").to_numpy(dtype=np.float64)
    if bad := int((~np.isin(truth, [0.0, 1.0])).sum()):
        raise InputError(f"{bad} of {len(truth)} values of {truth_name} are neither 0 nor 1", code="bad_truth")
    score = pd.to_numeric(frame[score_name], errors="coerce").to_numpy(dtype=np.float64)
    if bad := int(np.isnan(score).sum()):
        raise InputError(f"{bad} of {len(score)} values of {score_name} are not a number", code="bad_score")
    if score.min() < 0 or score.max() > 1:
        raise InputError(
            f"{score_name} goes from {score.min():.4g} to {score.max():.4g}, expected 0 to 1",
            hint="give probabilities; a sigmoid or softmax makes them from logits",
            code="bad_score",
        )
    return truth == 1, score


def _attributes(frame: pd.DataFrame, patient: Ints, settings: AuditSettings) -> tuple[tuple[Attribute, ...], list[str]]:
    _need(frame, settings.groups)
    found: list[Attribute] = []
    notes: list[str] = []
    for name in settings.groups:
        one, told = attribute_of(frame[name], patient, settings.bands.get(name), settings.largest_number_of_groups)
        notes += told
        if len(one.levels) == 1:
            notes.append(f"{name}: all rows are {one.levels[0]}, there is nothing to compare")
        found.append(one)
    return tuple(found), notes


def _pairs(attributes: Sequence[Attribute]) -> tuple[Attribute, ...]:
    divided = [one for one in attributes if len(one.levels) > 1]
    return tuple(intersection_of(one, other) for at, one in enumerate(divided) for other in divided[at + 1 :])


def _features(frame: pd.DataFrame) -> Floats | None:
    names = [name for name in frame.columns if str(name).startswith(FEATURE_PREFIX)]
    if not names:
        return None
    vectors: Floats = frame[names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    if bad := int((~np.isfinite(vectors)).any(axis=1).sum()):
        raise InputError(f"{bad} of {len(vectors)} rows have features that are not a number", code="bad_features")
    return vectors


def _measures(
    frame: pd.DataFrame, settings: AuditSettings, positive: Bools | None, score: Floats | None, scans: ScanTable | None
) -> tuple[Measure, ...]:
    checked = checked_measures(frame)
    if positive is not None and score is not None:
        return (*classification_measures(positive, score, settings.threshold), *checked)
    if scans is not None:
        return (*detection_measures(scans.found, scans.lesions, scans.false), *checked)
    return (*segmentation_measures(frame), *checked)


def _need(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    if absent := [column for column in columns if column not in frame.columns]:
        raise InputError(
            f"the table has no column {', '.join(absent)}; it has {', '.join(map(str, frame.columns))}",
            hint="name the columns in the config, or add them",
            code="missing_column",
        )
