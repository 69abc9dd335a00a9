"""What an evaluated run teaches about its networks: temperatures, limits, thresholds and curves.

It is learnt of plain answers only. The average of several answers is less sure by
itself, so what is learnt of it would mean something else for the run it is used in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from diascope.errors import InputError
from diascope.evaluation.calibration_file import BundleCalibration, TargetCalibration
from diascope.evaluation.kept_probabilities import THRESHOLDS
from diascope.evaluation.recalibrate import (
    MissRecalibration,
    OutlineRecalibration,
    Recalibration,
    recalibrate,
    recalibrate_misses,
    recalibrate_outlines,
)
from diascope.evaluation.rows import ClassRow, Compared, LabelRow
from diascope.evaluation.settings import EvaluationSettings

Key = tuple[str, str]

AVERAGED = "the run averaged several answers of each image: learn from a run that asks once"


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was learnt, or why not.

    Attributes:
        images: Of a class of an image, by bundle and class.
        slices: Of a class of a slice.
        outlines: Of the confidence in outlines, by bundle.
        misses: Of the volume that is missed, by bundle and label.
    """

    images: Mapping[Key, Recalibration] = field(default_factory=dict)
    slices: Mapping[Key, Recalibration] = field(default_factory=dict)
    outlines: Mapping[str, OutlineRecalibration] = field(default_factory=dict)
    misses: Mapping[Key, MissRecalibration] = field(default_factory=dict)


def learn(compared: Compared, settings: EvaluationSettings, rng: np.random.Generator) -> Learnt:
    """Learn of every network what its truth allows.

    Raises:
        InputError: The scores were calibrated already.
    """
    rows = (*compared.classes, *compared.slices)
    if cooled := sorted({row.origin.bundle for row in rows if row.score_kind == "calibrated"}):
        raise InputError(
            f"the scores of {cooled[0]} are calibrated already, and what is learnt of them would be applied twice",
            hint="evaluate a run with raw scores, or leave calibrate out: the evaluation checks what was promised",
            code="calibrated_twice",
        )
    return Learnt(
        _classes(compared.classes, settings, rng),
        _classes(compared.slices, settings, rng),
        _outlines(compared.labels, rng),
        _misses(compared.labels, settings, rng),
    )


def calibrations_of(learnt: Learnt) -> dict[str, BundleCalibration]:
    """Put what was learnt of each network into the form that a run reads (`bundles: [{calibration: ...}]`)."""
    every: list[tuple[str, Recalibration | OutlineRecalibration | MissRecalibration]] = [
        *((bundle, one) for (bundle, _), one in (*learnt.images.items(), *learnt.slices.items())),
        *learnt.outlines.items(),
        *((bundle, one) for (bundle, _), one in learnt.misses.items()),
    ]
    patients: dict[str, int] = {}
    for bundle, one in every:
        if one.learnt is not None:
            patients[bundle] = max(one.patients, patients.get(bundle, 0))
    return {
        bundle: BundleCalibration(
            split="an evaluated run",
            patients=people,
            targets=_targets(bundle, learnt.images),
            slices=_targets(bundle, learnt.slices),
            missed_volume={
                label: one.learnt for (name, label), one in learnt.misses.items() if name == bundle and one.learnt
            },
            confidence=learnt.outlines[bundle].learnt if bundle in learnt.outlines else None,
        )
        for bundle, people in patients.items()
    }


def _targets(bundle: str, found: Mapping[Key, Recalibration]) -> dict[str, TargetCalibration]:
    return {target: one.learnt for (name, target), one in found.items() if name == bundle and one.learnt is not None}


def _classes(
    rows: Sequence[ClassRow], settings: EvaluationSettings, rng: np.random.Generator
) -> dict[Key, Recalibration]:
    found = {}
    for bundle, target in dict.fromkeys((row.origin.bundle, row.target) for row in rows):
        group = [row for row in rows if (row.origin.bundle, row.target) == (bundle, target)]
        patients = [row.origin.patient for row in group]
        if any(row.origin.is_averaged for row in group):
            found[bundle, target] = Recalibration(len(set(patients)), None, {}, {}, None, AVERAGED)
            continue
        positive, score = np.array([row.is_positive for row in group]), np.array([row.score for row in group])
        found[bundle, target] = recalibrate(positive, score, patients, settings.coverage, rng)
    return found


def _outlines(rows: Sequence[LabelRow], rng: np.random.Generator) -> dict[str, OutlineRecalibration]:
    images: dict[tuple[str, str], list[LabelRow]] = {}
    for row in rows:
        if row.confidence is not None and row.score.dice is not None:
            images.setdefault((row.origin.bundle, row.origin.image_id), []).append(row)
    found = {}
    for bundle in dict.fromkeys(bundle for bundle, _ in images):
        mine = [of for (name, _), of in images.items() if name == bundle]
        patients = [of[0].origin.patient for of in mine]
        if any(of[0].origin.is_averaged for of in mine):
            found[bundle] = OutlineRecalibration(len(set(patients)), None, None, None, AVERAGED)
            continue
        raw = np.array([of[0].confidence for of in mine], dtype=np.float64)
        dice = np.array([np.mean([row.score.dice for row in of]) for of in mine])
        found[bundle] = recalibrate_outlines(raw, dice, patients, rng)
    return found


def _misses(
    rows: Sequence[LabelRow], settings: EvaluationSettings, rng: np.random.Generator
) -> dict[Key, MissRecalibration]:
    kept = [(row, row.missed) for row in rows if row.missed is not None]
    found = {}
    for bundle, label in dict.fromkeys((row.origin.bundle, one.label) for row, one in kept):
        group = [(row, one) for row, one in kept if (row.origin.bundle, one.label) == (bundle, label)]
        patients = [row.origin.patient for row, _ in group]
        if any(row.origin.is_averaged for row, _ in group):
            found[bundle, label] = MissRecalibration(len(set(patients)), None, None, None, AVERAGED)
            continue
        shares = np.stack([one.shares for _, one in group])
        drawn = np.array([row.score.missed_share or 0.0 for row, _ in group])
        found[bundle, label] = recalibrate_misses(shares, THRESHOLDS, drawn, patients, settings.missed_bound, rng)
    return found
