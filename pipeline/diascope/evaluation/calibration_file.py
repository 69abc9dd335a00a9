"""What a network's scores are worth, learnt once and kept beside it: calibration.json.

A bundle has it in `configs/`, made by `diascope train` on the calibration split; for
somebody else's bundle `diascope evaluate` writes one from a run and its truth. A run
reads it: scores become probabilities, classes that stay open are named, and the volume
of a lesion that is missed is held below a bound. What a file does not hold stays raw.

The file holds numbers only: no patient, no case. Everything in it was learnt on
calibrated scores, in this order: temperature, then operating point and conformal limits.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator
from scipy.special import expit, logit

from diascope.config import Settings
from diascope.errors import BundleError
from diascope.evaluation.calibration import SURE
from diascope.evaluation.conformal import EVERYBODY, ConformalSets
from diascope.io.outfolder import write_atomic

CALIBRATION = Path("configs") / "calibration.json"
"""Where a bundle keeps it."""

EVERY_CLASS = ""
"""The target of a network whose classes exclude each other: all of them together."""

Unit = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Floats = NDArray[np.float64]


class SetRule(Settings):
    """Which classes stay open: those whose calibrated score is at least 1 - limit."""

    coverage: Share
    """Promised share of cases whose true class is in the set."""

    limit: float | None
    """None where the calibration cases do not suffice for the promise: then every class stays open."""

    cases: PositiveInt
    """Patients it rests on."""

    def is_open(self, score: float) -> bool:
        """Say whether a class of this calibrated score stays open."""
        return self.limit is None or 1 - score <= self.limit


class TargetCalibration(Settings):
    """What was learnt for one class, or for all classes of a network whose classes exclude each other."""

    temperature: PositiveFloat
    """Divide the logit by it; above 1 the score was too sure."""

    temperature_interval: tuple[PositiveFloat, PositiveFloat] | None = None
    """Where it lies at 95 %, learnt by leaving out each patient in turn; None where that was not asked."""

    operating_point: Unit | None = None
    """Calibrated score from which on the class is called; None for classes that exclude each other."""

    operating_rule: str = ""
    """How the operating point was chosen, in words."""

    sets: SetRule | None = None
    """The conformal rule; None if there is none."""


class MissRule(Settings):
    """From which probability on a voxel is drawn, so that little of a lesion is missed on average."""

    bound: Share
    """Promised mean share of a lesion's volume that is missed."""

    threshold: Unit | None
    """None where the calibration cases do not suffice at any threshold."""

    cases: PositiveInt
    """Patients it rests on."""


class ConfidenceCurve(Settings):
    """From a raw confidence of a segmentation to the Dice that such cases had."""

    raw: tuple[Unit, ...]
    """Ascending."""

    seen: tuple[Unit, ...]
    """Mean Dice at each of them, never falling."""

    cases: PositiveInt
    """Patients it rests on."""

    @model_validator(mode="after")
    def _is_a_curve(self) -> "ConfidenceCurve":
        ascends = all(a < b for a, b in zip(self.raw, self.raw[1:], strict=False))
        rises = all(a <= b for a, b in zip(self.seen, self.seen[1:], strict=False))
        if not (self.raw and len(self.raw) == len(self.seen) and ascends and rises):
            raise ValueError(f"{len(self.raw)} raw and {len(self.seen)} seen values are no rising curve")
        return self

    def calibrated(self, raw: float) -> float:
        """Read the curve; beyond its ends it stays level."""
        return float(np.interp(raw, self.raw, self.seen))


class BundleCalibration(Settings):
    """calibration.json."""

    format: Literal[1] = 1
    """Version of this file."""

    split: str
    """What it was learnt on, in words without names: `calibration split`, `evaluation of a run`."""

    patients: PositiveInt
    """Of that split."""

    exclusive: bool = False
    """The classes exclude each other (softmax); then targets has the one key ''."""

    targets: dict[str, TargetCalibration] = Field(default_factory=dict)
    """By class. A class that is not named stays raw."""

    slices: dict[str, TargetCalibration] = Field(default_factory=dict)
    """By class, of a network that judges slices: of a slice's score. The image's, which is the highest, is another."""

    missed_volume: dict[str, MissRule] = Field(default_factory=dict)
    """By label of a segmentation."""

    confidence: ConfidenceCurve | None = None
    """Of a segmentation's case confidence."""

    @model_validator(mode="after")
    def _exclusive_classes_share_a_key(self) -> "BundleCalibration":
        if self.exclusive and set(self.targets) - {EVERY_CLASS}:
            raise ValueError(f"classes exclude each other, so targets has the one key '', not {sorted(self.targets)}")
        return self

    def calibrated(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Calibrate the scores of one image; those of which nothing was learnt are left out.

        Args:
            scores: Raw, by class; of a network whose classes exclude each other all of
                them, adding up to 1.
        """
        if not self.exclusive:
            known = {name: one for name, one in self.targets.items() if name in scores}
            return {name: float(_cooled(scores[name], one.temperature)) for name, one in known.items()}
        every = self.targets.get(EVERY_CLASS)
        if every is None or not scores:
            return {}
        cooled = cooled_classes(np.array([list(scores.values())], dtype=np.float64), every.temperature)[0]
        return dict(zip(scores, cooled.tolist(), strict=True))

    def open_classes(self, calibrated: Mapping[str, float]) -> dict[str, tuple[str, ...]]:
        """Name the classes that stay open, for each class that has a conformal rule.

        Args:
            calibrated: What `calibrated` gave.

        Returns:
            By class: of one that is there or not `name`, `no_name`, both or neither; of
            classes that exclude each other the same set for each.
        """
        if self.exclusive:
            rule = self.targets[EVERY_CLASS].sets if EVERY_CLASS in self.targets else None
            if rule is None:
                return {}
            kept = tuple(name for name, score in calibrated.items() if rule.is_open(score))
            return dict.fromkeys(calibrated, kept)
        found = {}
        for name, score in calibrated.items():
            if (rule := self.targets[name].sets) is not None:
                sides = ((name, score), (absence_of(name), 1 - score))
                found[name] = tuple(side for side, of in sides if rule.is_open(of))
        return found


def absence_of(target: str) -> str:
    """Name the class that a target is not there."""
    return f"no_{target}"


def cooled_classes(scores: Floats, value: float) -> Floats:
    """Divide the logits of classes that exclude each other by a temperature.

    Args:
        scores: (n, classes), each row adds up to 1.
        value: The temperature.
    """
    logs = np.log(np.clip(scores, SURE, 1.0)) / value
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    cooled: Floats = raised / raised.sum(axis=1, keepdims=True)
    return cooled


def set_rule(sets: ConformalSets) -> SetRule:
    """Write a conformal rule for everybody as the file holds it."""
    limit = sets.limits[EVERYBODY]
    return SetRule(coverage=sets.coverage, limit=None if np.isinf(limit) else limit, cases=sets.cases[EVERYBODY])


def write_calibration(path: Path, calibration: BundleCalibration) -> None:
    """Write a calibration.json."""
    write_atomic(path, calibration.model_dump_json(indent=1) + "\n")


def read_calibration(path: Path) -> BundleCalibration | None:
    """Read a calibration.json; None where there is none.

    Raises:
        BundleError: The file is no calibration.
    """
    if not path.is_file():
        return None
    try:
        return BundleCalibration.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        problems = error.errors() if isinstance(error, ValidationError) else []
        detail = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems[:3])
        raise BundleError(
            f"{path.name} is no calibration that can be used: {detail or type(error).__name__}",
            hint="make it again: diascope train, or diascope evaluate --set calibrate=true",
            code="bad_calibration",
        ) from None


def _cooled(score: float, value: float) -> float:
    return float(expit(logit(np.clip(score, SURE, 1 - SURE)) / value))
