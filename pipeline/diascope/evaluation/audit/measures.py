"""What is measured of each row, so that every group's figure is one sum over another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.errors import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """A metric as a ratio of two sums over rows.

    Attributes:
        name: As in docs/metrics.md.
        top: (rows,) what is summed above the line.
        bottom: (rows,) what is summed below it; 0 where a row has no part in it.
        kind: A `share` lies in 0..1 and counts trials; a `mean` averages.
        higher_is_better: Else more is worse (misses, distances).
        nothing: Why a group has no value, if its sum below is 0.
        words: The metric in plain words, with its unit.
        most: What a row can reach at most.
    """

    name: str
    top: Floats
    bottom: Floats
    kind: Literal["share", "mean"]
    higher_is_better: bool
    nothing: str
    words: str
    most: float = float("inf")

    @property
    def value(self) -> float | None:
        """Over all rows."""
        below = float(self.bottom.sum())
        return float(self.top.sum()) / below if below else None


def classification_measures(positive: Bools, score: Floats, threshold: float) -> tuple[Measure, ...]:
    """Measure calls at an operating point.

    Args:
        positive: (rows,) the truth.
        score: (rows,) in 0..1.
        threshold: A score of this or more is called positive.
    """
    called = score >= threshold
    everyone = np.ones_like(called)
    return (
        _share("sensitivity", called, positive, "no positives", "ill people who were called ill"),
        _share("specificity", ~called, ~positive, "no negatives", "healthy people who were called healthy"),
        _share("ppv", positive, called, "nothing was called positive", "people called ill who are ill"),
        _share("npv", ~positive, ~called, "nothing was called negative", "people called healthy who are healthy"),
        _share("selection_rate", called, everyone, "no rows", "people who were called ill"),
        _share("prevalence", positive, everyone, "no rows", "people who are ill"),
        Measure(
            "brier",
            (score - positive) ** 2,
            everyone.astype(np.float64),
            "mean",
            higher_is_better=False,
            nothing="no rows",
            words="squared distance of score and truth",
            most=1.0,
        ),
    )


def segmentation_measures(frame: pd.DataFrame) -> tuple[Measure, ...]:
    """Measure what the columns of a table of label scores hold (segmentation.csv).

    Raises:
        InputError: It has no column `dice`.
    """
    if "dice" not in frame:
        raise InputError("a table of segmentations needs the column dice", code="missing_column")
    found = [
        _average(frame, name, higher_is_better=True, words=words)
        for name, words in (
            ("dice", "overlap with the experts' outline"),
            ("nsd", "share of the outline that lies where the experts' does"),
        )
        if name in frame
    ]
    units = sorted(set(frame["distance_unit"].astype(str))) if "distance_unit" in frame else ["mm"]
    if "hd95" in frame and len(units) == 1:  # millimetres and voxels are never averaged
        words = f"distance of the outlines at their worst 5 %, in {units[0]}"
        found.append(_average(frame, "hd95", higher_is_better=False, words=words))
    if "missed_share" in frame:
        found.append(
            _average(
                frame,
                "missed_share",
                higher_is_better=False,
                words="share of a structure's volume that was missed",
                most=1.0,
            )
        )
    if "outcome" in frame:
        outcome = frame["outcome"].astype(str).to_numpy()
        missed, invented = outcome == "missed", outcome == "false_alarm"
        is_there = missed | (outcome == "found")
        found.append(
            _share(
                "miss_rate", missed, is_there, "nothing to find", "structures of which nothing was found", better=False
            )
        )
        found.append(
            _share(
                "false_alarm_rate",
                invented,
                ~is_there,
                "it is there everywhere",
                "images in which it was invented",
                better=False,
            )
        )
    if {"lesions", "lesions_missed"} <= set(frame.columns):
        of, missed_lesions = (_numbers(frame, column) for column in ("lesions", "lesions_missed"))
        found.append(
            Measure(
                "lesion_miss_rate",
                missed_lesions,
                of,
                "share",
                higher_is_better=False,
                nothing="nothing to find",
                words="lesions of which nothing was found",
            )
        )
    return tuple(found)


def detection_measures(found: Floats, lesions: Floats, false: Floats) -> tuple[Measure, ...]:
    """Measure marks at an operating point.

    Args:
        found: (scans,) lesions that were found.
        lesions: (scans,) lesions that are there.
        false: (scans,) marks that hit nothing.
    """
    scans = np.ones(len(lesions))
    return (
        Measure(
            "sensitivity",
            found,
            lesions,
            "share",
            higher_is_better=True,
            nothing="no lesions",
            words="lesions that were found",
        ),
        Measure(
            "false_positives_per_scan",
            false,
            scans,
            "mean",
            higher_is_better=False,
            nothing="no scans",
            words="false marks per scan",
        ),
    )


def checked_measures(frame: pd.DataFrame) -> tuple[Measure, ...]:
    """Measure what other checks left in the table: whether a heatmap hit, whether a set held the truth.

    Columns `heatmap_hit` and `covered`, 0 or 1, empty where it was not asked.
    """
    asked = {"heatmap_hit": "heatmaps whose peak lies on the lesion", "covered": "sets that hold the true class"}
    found = []
    for name, words in asked.items():
        if name not in frame:
            continue
        values = _numbers(frame, name)
        known = np.isfinite(values)
        if bad := int((known & ~np.isin(values, [0.0, 1.0])).sum()):
            raise InputError(f"{bad} of {len(values)} values of {name} are neither 0 nor 1", code="bad_check")
        found.append(_share(f"{name}_rate", values == 1, known, "not asked of this group", words))
    return tuple(found)


def pick(measures: Sequence[Measure], names: Sequence[str]) -> tuple[Measure, ...]:
    """Choose measures by name.

    Raises:
        InputError: The table does not give one of them.
    """
    by_name = {measure.name: measure for measure in measures}
    if absent := [name for name in names if name not in by_name]:
        raise InputError(f"the table does not give {absent}; it gives {sorted(by_name)}", code="missing_column")
    return tuple(by_name[name] for name in names)


def _share(name: str, hit: Bools, of: Bools, nothing: str, words: str, *, better: bool = True) -> Measure:
    top, bottom = (hit & of).astype(np.float64), of.astype(np.float64)
    return Measure(name, top, bottom, "share", higher_is_better=better, nothing=nothing, words=words)


def _average(
    frame: pd.DataFrame, name: str, *, higher_is_better: bool, words: str, most: float | None = None
) -> Measure:
    values = _numbers(frame, name)
    known = np.isfinite(values)
    return Measure(
        name,
        np.where(known, values, 0.0),
        known.astype(np.float64),
        "mean",
        higher_is_better=higher_is_better,
        nothing="absent everywhere",
        words=words,
        most=most if most is not None else (1.0 if higher_is_better else float("inf")),
    )


def _numbers(frame: pd.DataFrame, column: str) -> Floats:
    return pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
