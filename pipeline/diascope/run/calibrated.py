"""Scores that mean what they say, where something was learnt about them; the rest stays raw.

What was learnt is the bundle's own calibration.json, or one that `diascope evaluate`
made for somebody else's bundle and that the config names beside it. It was learnt on
one plain answer per image: the average of several (an ensemble, mirrors, dropout) is less
sure by itself, and stays raw.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from diascope.bundles.find import BundleInfo
from diascope.evaluation.calibration_file import (
    CALIBRATION,
    EVERY_CLASS,
    BundleCalibration,
    TargetCalibration,
    read_calibration,
)
from diascope.findings import ConfidenceKind, Finding, Prediction
from diascope.imaging.resample import GridOfLogits
from diascope.io.outfolder import file_digest
from diascope.tasks.uncertainty import (
    classification_confidence,
    detection_confidence,
    favour,
    segmentation_confidence,
)

Confidence = tuple[float | None, ConfidenceKind]

NONE_OF_THEM = "none"
"""Class 0 of a network whose classes exclude each other."""

# Scores of float32 that add up to 1.
SUM_ROUNDING = 1e-3


def calibration_of(bundle: BundleInfo) -> BundleCalibration | None:
    """Find what was learnt about such scores of a bundle; None if nothing was, and for averaged answers."""
    return None if bundle.is_averaged else _learnt(bundle)


def calibration_path(bundle: BundleInfo) -> Path:
    """Say where it lies, if there is any."""
    return bundle.calibration or bundle.folder / CALIBRATION


def not_applied(bundle: BundleInfo, *, controls_misses: bool) -> tuple[str, ...]:
    """Say in words what was learnt about a bundle and is not applied in this run, and why.

    Args:
        bundle: As the run asks it.
        controls_misses: Whether the run wants the promise about missed volume.
    """
    learnt = _learnt(bundle)
    if learnt is None:
        return ()
    if bundle.is_averaged:
        return (
            f"the calibration of {bundle.name} was learnt on one plain answer, and this run averages several:"
            " its scores stay raw, and nothing is promised",
        )
    ruled = [bundle.block.labels[value] for value in _miss_rules(bundle, learnt)]
    if controls_misses and len(ruled) > 1:
        return (
            f"{bundle.name} has a threshold of missed volume for each of {', '.join(ruled)},"
            " learnt one by one: together they do not hold, so none is applied and nothing is promised of misses",
        )
    return ()


def calibrate_predictions(bundle: BundleInfo, predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """Give the scores of classes their meaning, and name the classes that stay open.

    What was learnt about images is no word about slices, and the other way round: each keeps raw scores
    where nothing was learnt about it.
    """
    learnt = calibration_of(bundle)
    predictions = _calibrated_slices(predictions, learnt)
    of_image = {one.target: one.score for one in predictions if one.slice_k is None}
    scores = learnt.calibrated(_complete(of_image, learnt)) if learnt is not None else {}
    if learnt is None or not scores:
        return tuple(predictions)
    kept_open = learnt.open_classes(scores)

    def calibrated(one: Prediction) -> Prediction:
        if one.slice_k is not None or one.target not in scores:
            return one
        about = learnt.targets[EVERY_CLASS if learnt.exclusive else one.target]
        return _with_meaning(one, scores[one.target], kept_open.get(one.target), about)

    return tuple(calibrated(one) for one in predictions)


def _calibrated_slices(predictions: Sequence[Prediction], learnt: BundleCalibration | None) -> tuple[Prediction, ...]:
    if learnt is None or not learnt.slices:
        return tuple(predictions)
    about_slices = learnt.model_copy(update={"targets": learnt.slices, "exclusive": False})

    def calibrated(one: Prediction) -> Prediction:
        if one.slice_k is None or one.target not in learnt.slices:
            return one
        scores = about_slices.calibrated({one.target: one.score})
        kept_open = about_slices.open_classes(scores)
        return _with_meaning(one, scores[one.target], kept_open.get(one.target), learnt.slices[one.target])

    return tuple(calibrated(one) for one in predictions)


def _with_meaning(
    one: Prediction, score: float, kept_open: tuple[str, ...] | None, about: TargetCalibration
) -> Prediction:
    return replace(
        one,
        score=score,
        score_kind="calibrated",
        conformal_set=kept_open,
        operating_point=about.operating_point,
        promised_coverage=about.sets.coverage if about.sets is not None else None,
    )


def calibrate_findings(bundle: BundleInfo, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Give the scores of lesions their meaning: the share of such marks that are true."""
    learnt = calibration_of(bundle)
    if learnt is None or learnt.exclusive:
        return tuple(findings)
    found = []
    for one in findings:
        score = learnt.calibrated({one.label: one.score}).get(one.label)
        found.append(one if score is None else replace(one, score=score, score_kind="calibrated"))
    return tuple(found)


def confidence_in_classes(predictions: Sequence[Prediction]) -> Confidence:
    """Say how sure a classifier is of its least sure call; calibrated if every score is.

    Where what was learnt is about slices, its calls are those: the image's score is the highest of many, which
    is no probability however well each of them is calibrated.
    """
    of_slices = [one for one in predictions if one.slice_k is not None]
    if of_slices and all(one.score_kind == "calibrated" for one in of_slices):
        return _kind(classification_confidence([one.score for one in of_slices], exclusive=False), is_calibrated=True)
    of_image = [one for one in predictions if one.slice_k is None]
    # Not all classes are named (class 0 is none of the labels): each named one is a call of its own.
    value = classification_confidence([one.score for one in of_image], exclusive=False)
    return _kind(value, is_calibrated=all(one.score_kind == "calibrated" for one in of_image))


def confidence_in_findings(findings: Sequence[Finding], candidates: Sequence[float] = ()) -> Confidence:
    """Say how sure a detector is of its least sure mark; calibrated if every score is.

    Where it marks nothing, it says that the likeliest of its candidates is none: one less its score. A
    detector that kept no candidate either has said nothing that could be more or less sure.

    Args:
        findings: That are reported.
        candidates: Scores of everything that the network proposed, raw.
    """
    if not findings:
        return _kind(1 - max(candidates) if candidates else None, is_calibrated=False)
    value = detection_confidence([one.score for one in findings])
    return _kind(value, is_calibrated=all(one.score_kind == "calibrated" for one in findings))


def confidence_in_outline(bundle: BundleInfo, seen: GridOfLogits, *, is_empty: bool = False) -> Confidence:
    """Say which Dice is to be expected: as the network says, or as such cases had where that was learnt.

    Args:
        bundle: The network.
        seen: Its output.
        is_empty: Nothing was drawn on the source's voxels.
    """
    learnt = calibration_of(bundle)
    raw = segmentation_confidence(seen.logits, is_empty=is_empty)
    if learnt is None or learnt.confidence is None:
        return _kind(raw, is_calibrated=False)
    return _kind(learnt.confidence.calibrated(raw), is_calibrated=True)


def with_promised_misses(bundle: BundleInfo, seen: GridOfLogits) -> tuple[GridOfLogits, dict[str, float]]:
    """Draw labels from the probability at which the promise about missed volume holds.

    Returns:
        The output to draw, and the promised mean missed share by label: labels about
        which nothing was learnt are drawn as ever, and promise nothing. Nor do several
        labels with a threshold each: what one label gains another loses, and each was
        learnt with the others left as they are.
    """
    learnt = calibration_of(bundle)
    rules = _miss_rules(bundle, learnt) if learnt is not None else {}
    if len(rules) != 1:
        return seen, {}
    ((value, (threshold, bound)),) = rules.items()
    return favour(seen, value, threshold), {bundle.block.labels[value]: bound}


def least_sure(confidences: Sequence[Confidence]) -> Confidence:
    """Put the networks of a case together: the least sure one counts, calibrated if all are."""
    known = [(value, kind) for value, kind in confidences if value is not None]
    if not known:
        return None, "none"
    return _kind(min(value for value, _ in known), is_calibrated=all(kind == "calibrated" for _, kind in known))


def _miss_rules(bundle: BundleInfo, learnt: BundleCalibration) -> dict[int, tuple[float, float]]:
    # Threshold and bound by value of a label; where no threshold suffices there is no rule.
    known = {value: learnt.missed_volume.get(name) for value, name in bundle.block.labels.items()}
    return {
        value: (rule.threshold, rule.bound)
        for value, rule in known.items()
        if rule is not None and rule.threshold is not None
    }


def _complete(scores: dict[str, float], learnt: BundleCalibration) -> dict[str, float]:
    # Of classes that exclude each other the one that is none of the labels has no prediction of its own.
    rest = 1 - sum(scores.values())
    if not learnt.exclusive:
        return scores
    if rest < -SUM_ROUNDING:  # the highest of many slices each: they do not exclude each other
        return {}
    return scores if rest < SUM_ROUNDING else {NONE_OF_THEM: rest, **scores}


def _kind(value: float | None, *, is_calibrated: bool) -> Confidence:
    if value is None:
        return None, "none"
    return value, "calibrated" if is_calibrated else "raw"


def _learnt(bundle: BundleInfo) -> BundleCalibration | None:
    path = calibration_path(bundle)
    return _read(path, file_digest(path)) if path.is_file() else None


@functools.lru_cache(maxsize=16)
def _read(path: Path, digest: str) -> BundleCalibration | None:
    del digest  # part of the cache's key only
    return read_calibration(path)
