"""Many label scores as a few numbers with intervals, patients drawn as a whole."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diascope.errors import InputError
from diascope.evaluation.bootstrap import (
    ROUNDS,
    Estimate,
    Resampling,
    mean_estimate,
    median_estimate,
    resample,
)
from diascope.evaluation.proportions import share_estimate
from diascope.evaluation.segmentation import LabelScore, Outcome


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """How well one label fits over many images.

    Attributes:
        label: Its name.
        counts: How many images were found, missed, false_alarm and absent; their
            sum is the number of images.
        metrics: By name, as in docs/metrics.md.
        distance_unit: Of `hd95_median`; `mm`, `voxel`, or `mixed` where it has none.
        volume_unit: Of `volume_error_mean`.
    """

    label: str
    counts: Mapping[Outcome, int]
    metrics: Mapping[str, Estimate]
    distance_unit: str
    volume_unit: str


def summarise_labels(
    scores: Sequence[LabelScore], patients: Sequence[Hashable], rng: np.random.Generator, rounds: int = ROUNDS
) -> dict[str, LabelSummary]:
    """Summarise label scores over images.

    Args:
        scores: One per image and label.
        patients: Whose image it is, one per score.
        rng: Where chance comes from.
        rounds: How many draws of patients.

    Returns:
        A summary per label, by name, in the order of their first score.
    """
    if len(scores) != len(patients):
        raise InputError(f"{len(scores)} scores for {len(patients)} patients")
    found = {}
    for label in dict.fromkeys(score.label for score in scores):
        at = [row for row, score in enumerate(scores) if score.label == label]
        drawn = resample([patients[row] for row in at], rng, rounds)
        found[label] = _summary(label, [scores[row] for row in at], drawn)
    return found


def _summary(label: str, scores: list[LabelScore], drawn: Resampling) -> LabelSummary:
    outcomes: tuple[Outcome, ...] = ("found", "missed", "false_alarm", "absent")
    counts = {outcome: sum(score.outcome == outcome for score in scores) for outcome in outcomes}
    distance_units = {score.distance_unit for score in scores}
    volume_units = {score.volume_unit for score in scores}
    metrics = {
        "dice_mean": mean_estimate([s.dice for s in scores], drawn, nothing="absent everywhere"),
        "nsd_mean": mean_estimate([s.nsd for s in scores], drawn, nothing="absent everywhere"),
        "hd95_median": _of_one_unit([s.hd95 for s in scores], drawn, distance_units),
        "volume_error_mean": mean_estimate([s.volume_error for s in scores], drawn, nothing="no images")
        if len(volume_units) == 1
        else Estimate(None, reason="volumes in mm3 and in voxels cannot be averaged"),
        "relative_volume_error_median": median_estimate(
            [s.relative_volume_error for s in scores], drawn, nothing="nothing to find in any image"
        ),
        **_rates(scores, drawn),
    }
    return LabelSummary(
        label,
        counts,
        metrics,
        distance_unit=distance_units.pop() if len(distance_units) == 1 else "mixed",
        volume_unit=volume_units.pop() if len(volume_units) == 1 else "mixed",
    )


def _of_one_unit(values: list[float | None], drawn: Resampling, units: Collection[str]) -> Estimate:
    if len(units) > 1:
        return Estimate(None, reason="distances in mm and in voxels cannot be taken together")
    return median_estimate(values, drawn, nothing="absent everywhere")


def _rates(scores: list[LabelScore], drawn: Resampling) -> dict[str, Estimate]:
    is_there = np.array([s.outcome in {"found", "missed"} for s in scores], dtype=np.float64)
    missed = np.array([s.outcome == "missed" for s in scores], dtype=np.float64)
    false_alarm = np.array([s.outcome == "false_alarm" for s in scores], dtype=np.float64)
    lesions = np.array([s.lesions for s in scores], dtype=np.float64)
    lesions_missed = np.array([s.lesions_missed for s in scores], dtype=np.float64)
    false_lesions = np.array([s.false_lesions for s in scores], dtype=np.float64)
    return {
        "miss_rate": share_estimate(missed, is_there, drawn.code, nothing="nothing to find in any image"),
        "false_alarm_rate": share_estimate(false_alarm, 1 - is_there, drawn.code, nothing="it is there in every image"),
        "lesion_miss_rate": share_estimate(lesions_missed, lesions, drawn.code, nothing="nothing to find in any image"),
        "false_lesions_per_image": mean_estimate(false_lesions, drawn, nothing="no images"),
    }
