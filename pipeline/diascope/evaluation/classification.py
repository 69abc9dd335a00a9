"""How well a score tells positive from negative, at one stated operating point."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.evaluation.bootstrap import ROUNDS, Estimate, resample
from diascope.evaluation.calibration import brier_estimate, ece_estimate, slope_and_intercept
from diascope.evaluation.curves import auc_estimate, average_precision_estimate
from diascope.evaluation.proportions import share_estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassificationSummary:
    """What a score is worth.

    Attributes:
        n: Rows.
        patients: How many patients they are of.
        positives: Rows that are positive in truth.
        threshold: A score of this or more is called positive.
        metrics: By name, as in docs/metrics.md.
    """

    n: int
    patients: int
    positives: int
    threshold: float
    metrics: Mapping[str, Estimate]


def summarise_classification(
    positive: Sequence[bool] | Bools,
    score: Sequence[float] | Floats,
    patients: Sequence[Hashable],
    threshold: float,
    rng: np.random.Generator,
    rounds: int = ROUNDS,
) -> ClassificationSummary:
    """Compute every classification metric with its interval.

    Args:
        positive: (n,) the truth.
        score: (n,) probability of the positive class, 0..1.
        patients: (n,) whose row it is.
        threshold: The operating point: a score of this or more is positive.
        rng: Where chance comes from.
        rounds: How many draws of patients.

    Raises:
        InputError: A score is NaN or outside 0..1, or the lengths differ.
    """
    truth, scores = np.asarray(positive, dtype=bool), np.asarray(score, dtype=np.float64)
    _check(truth, scores, patients)
    code = pd.factorize(np.asarray(patients, dtype=object))[0].astype(np.int64)
    drawn = resample(patients, rng, rounds)
    slope, intercept = slope_and_intercept(truth, scores, code)
    metrics = {
        "auc": auc_estimate(truth, scores, code),
        "average_precision": average_precision_estimate(truth, scores, drawn),
        **rates(truth, scores >= threshold, code),
        "brier": brier_estimate(truth, scores, drawn),
        "ece": ece_estimate(truth, scores, drawn),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }
    return ClassificationSummary(len(scores), drawn.patients, int(truth.sum()), threshold, metrics)


def rates(positive: Bools, called: Bools, code: Ints) -> dict[str, Estimate]:
    """Compute what counts at an operating point, with Wilson's interval for patients.

    Args:
        positive: (n,) the truth.
        called: (n,) what was called positive.
        code: (n,) whose row it is, 0..patients-1.
    """

    def share(hit: Bools, of: Bools, nothing: str) -> Estimate:
        return share_estimate((hit & of).astype(np.float64), of.astype(np.float64), code, nothing=nothing)

    return {
        "sensitivity": share(called, positive, "no positives"),
        "specificity": share(~called, ~positive, "no negatives"),
        "ppv": share(positive, called, "nothing was called positive"),
        "npv": share(~positive, ~called, "nothing was called negative"),
        "selection_rate": share(called, np.ones_like(called), "no rows"),
        "prevalence": share(positive, np.ones_like(called), "no rows"),
    }


def _check(truth: Bools, scores: Floats, patients: Sequence[Hashable]) -> None:
    if not len(truth) == len(scores) == len(patients):
        raise InputError(f"{len(truth)} truths, {len(scores)} scores and {len(patients)} patients")
    if bad := int(np.isnan(scores).sum()):
        raise InputError(f"{bad} of {len(scores)} scores are not a number", code="bad_score")
    outside = (scores < 0) | (scores > 1)
    if outside.any():
        raise InputError(
            f"{int(outside.sum())} of {len(scores)} scores lie outside 0..1: "
            f"they go from {scores.min():.4g} to {scores.max():.4g}",
            hint="give probabilities; a sigmoid or softmax makes them from logits",
            code="bad_score",
        )
