"""How the figures of an audit moved since earlier ones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from scipy.stats import norm

from diascope.errors import InputError
from diascope.evaluation.bootstrap import Estimate
from diascope.evaluation.proportions import Z


@dataclass(frozen=True, slots=True)
class WorstGroup:
    """The group that was worst off in one audit.

    Attributes:
        attribute: The division.
        metric: In what.
        group: Its name.
        value: Its figure.
        gap: How much worse than all the others together.
    """

    attribute: str
    metric: str
    group: str
    value: float
    gap: float | None


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One audit among others.

    Attributes:
        name: As the plan calls it.
        verdict: What its gate said.
        patients: Whose predictions it saw.
        same_plan: Whether it asked what this audit asks.
        overall: Figures over everybody, by metric.
        worst: Groups that were worst off.
        p: By metric, how often chance alone would move the figure as far from the audit before.
    """

    name: str
    verdict: str
    patients: int
    same_plan: bool
    overall: Mapping[str, Estimate]
    worst: tuple[WorstGroup, ...]
    p: Mapping[str, float]


def read_point(path: Path, name: str, metrics: Sequence[str], plan_sha256: str) -> TrendPoint:
    """Read an earlier audit.

    Args:
        path: Its audit.json, its folder, or the output folder that holds it.
        name: As the plan calls it.
        metrics: Which figures to read.
        plan_sha256: Of this audit's plan.

    Raises:
        InputError: There is no audit.
    """
    file = next((one for one in (path, path / "audit.json", path / "audit" / "audit.json") if one.is_file()), None)
    if file is None:
        raise InputError(f"earlier.{name}: there is no audit", hint="give an audit.json or its folder", code="no_audit")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return TrendPoint(
            name,
            str(content["verdict"]),
            int(content["patients"]),
            content["settings_sha256"] == plan_sha256,
            {metric: Estimate(**found) for metric, found in content["overall"].items() if metric in metrics},
            tuple(_worst(content, metrics)),
            {},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"earlier.{name} is no audit.json of diascope: {type(error).__name__}", code="no_audit"
        ) from None


def with_changes(points: Sequence[TrendPoint]) -> tuple[TrendPoint, ...]:
    """Say for each audit how far its figures lie from those of the one before.

    Patients of two audits are taken to be others; the normal distribution serves for
    the difference of two figures with intervals.
    """
    found = list(points[:1])
    for before, after in pairwise(points):
        p = {}
        for metric, now in after.overall.items():
            value = _p_of_change(before.overall.get(metric), now)
            if value is not None:
                p[metric] = value
        found.append(
            TrendPoint(after.name, after.verdict, after.patients, after.same_plan, after.overall, after.worst, p)
        )
    return tuple(found)


def _p_of_change(before: Estimate | None, after: Estimate) -> float | None:
    values, squared_error = [], 0.0
    for one in (before, after):
        if one is None or one.value is None or one.low is None or one.high is None:
            return None
        values.append(one.value)
        squared_error += ((one.high - one.low) / (2 * Z)) ** 2
    moved = abs(values[1] - values[0])
    if squared_error == 0:
        return 1.0 if moved == 0 else 0.0
    return float(2 * norm.sf(moved / squared_error**0.5))


def _worst(content: Mapping[str, Any], metrics: Sequence[str]) -> list[WorstGroup]:
    return [
        WorstGroup(one["attribute"], one["metric"], gap["group"], gap["value"], gap["gap"])
        for one in content["comparisons"]
        if not one["is_exploratory"] and one["metric"] in metrics
        for gap in one["groups"]
        if gap["group"] == one["worst"] and gap["value"] is not None
    ]
