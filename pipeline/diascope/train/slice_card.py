"""The results of a classifier or a detector, in the words of its model card."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from diascope.evaluation.bootstrap import resample
from diascope.evaluation.curves import auc_estimate, average_precision_estimate
from diascope.evaluation.detection import match
from diascope.evaluation.froc import DetectionRules, summarise_detection
from diascope.train.detection_source import SLICE_IOU
from diascope.train.manifest import ManifestCase
from diascope.train.scoring import BOOTSTRAP_SEED
from diascope.train.slice_scoring import JUDGED_VOXELS, BoxScore, ClassScore

# The worst are shown: a mean hides them.
WORST_SHOWN = 3


def classes_text(scores: Sequence[ClassScore], cases: Sequence[ManifestCase], groups: Sequence[str]) -> str:
    """Say how well classes are told apart, overall and by group.

    Args:
        scores: Of the test cases.
        cases: The same cases, with their groups.
        groups: Columns of the manifest.
    """
    unit = "slices" if any(score.slice_k is not None for score in scores) else "images"
    patients = len({score.patient for score in scores})
    lines = [
        f"{len(scores)} {unit} of {patients} patients; area under the ROC curve and, in brackets, its 95 % interval "
        "(DeLong, patients counted as a whole).",
        "",
        f"| | {unit} | of these with it | AUC | average precision |",
        "|---|---|---|---|---|",
    ]
    for target in dict.fromkeys(score.target for score in scores):
        rows = [score for score in scores if score.target == target]
        lines.append(_class_row(f"**{target}**", rows))
        group_of = {case.case: case.groups for case in cases}
        for column in groups:
            for value in sorted({group_of[row.case].get(column, "") for row in rows}):
                within = [row for row in rows if group_of[row.case].get(column, "") == value]
                lines.append(_class_row(f"{column} {value or 'not recorded'}", within))
    seconds = [score.seconds for score in scores]
    missed = sorted((score for score in scores if score.is_shown), key=lambda score: score.score)[:WORST_SHOWN]
    false = sorted((score for score in scores if not score.is_shown), key=lambda score: -score.score)[:WORST_SHOWN]
    return "\n".join(
        [
            *lines,
            "",
            f"One case took {np.median(seconds):.1f} s in the median, at most {max(seconds):.1f} s.",
            "",
            f"The lowest scores where it is there: {'; '.join(map(_class_text, missed))}. "
            f"The highest where it is not: {'; '.join(map(_class_text, false))}.",
        ]
    )


def boxes_text(scores: Sequence[BoxScore], groups: Sequence[str], min_score: float) -> str:
    """Say how well lesions are found, per scan and per slice, at the operating point and along the curve.

    Args:
        scores: Of the test cases.
        groups: Columns of the manifest.
        min_score: From which on findings are reported, as it was set on the calibration split.
    """
    rng, rules = np.random.default_rng(BOOTSTRAP_SEED), DetectionRules(threshold=min_score)
    scans, slices = [one.scan for one in scores], [scan for one in scores for scan in one.slices]
    of_scans = summarise_detection(scans, rules, rng)
    of_slices = summarise_detection(slices, DetectionRules(min_iou=SLICE_IOU, threshold=min_score), rng)
    lines = [
        f"{of_scans.lesions} lesions of at least {JUDGED_VOXELS} voxels in {of_scans.scans} scans of "
        f"{of_scans.patients} patients; in brackets the 95 % interval, patients counted as a whole. A finding hits a "
        "lesion if their boxes "
        f"overlap (intersection over union 0.1 in 3-D; {SLICE_IOU:g} in a slice).",
        "",
        f"| | per scan | per slice ({of_slices.lesions} boxes in {of_slices.scans} slices) |",
        "|---|---|---|",
    ]
    lines += [
        f"| {name.replace('_', ' ')} | {of_scans.metrics[name]} | {of_slices.metrics[name]} |"
        for name in of_scans.metrics
    ]
    lines += ["", f"At the operating point findings of a score from {min_score:.3f} on are reported."]
    for column in groups:
        for value in sorted({one.case.groups.get(column, "") for one in scores}):
            within = [one.scan for one in scores if one.case.groups.get(column, "") == value]
            found = summarise_detection(
                within, DetectionRules(threshold=min_score), np.random.default_rng(BOOTSTRAP_SEED)
            )
            lines.append(
                f"- {column} {value or 'not recorded'}: {found.lesions} lesions in {found.scans} scans, sensitivity "
                f"{found.metrics['sensitivity']}, false positives per scan {found.metrics['false_positives_per_scan']}"
            )
    seconds = [one.seconds for one in scores]
    return "\n".join(
        [
            *lines,
            "",
            f"One case took {np.median(seconds):.1f} s in the median, at most {max(seconds):.1f} s.",
            "",
            _worst_boxes(scores, min_score),
        ]
    )


def _class_row(name: str, rows: Sequence[ClassScore]) -> str:
    positive = np.array([row.is_shown for row in rows], dtype=bool)
    score = np.array([row.score for row in rows], dtype=np.float64)
    patients = [row.patient for row in rows]
    code = np.asarray(pd.factorize(np.asarray(patients, dtype=object))[0], dtype=np.int64)
    drawn = resample(patients, np.random.default_rng(BOOTSTRAP_SEED))
    auc, precision = auc_estimate(positive, score, code), average_precision_estimate(positive, score, drawn)
    return f"| {name} | {len(rows)} | {int(positive.sum())} | {auc} | {precision} |"


def _class_text(score: ClassScore) -> str:
    where = score.case if score.slice_k is None else f"{score.case} slice {score.slice_k}"
    return f"{where} {score.score:.2f}"


def _worst_boxes(scores: Sequence[BoxScore], min_score: float) -> str:
    missed, false = [], []
    for one in scores:
        hits = match(one.scan)
        missed += [
            f"{one.case.case} ({size:.0f} voxels, highest score on it {max(score, 0):.2f})"
            for score, size in zip(hits.lesion_scores, hits.lesion_sizes, strict=True)
            if score < min_score
        ]
        false += [(score, one.case.case) for score in hits.false_scores if score >= min_score]
    worst = ", ".join(f"{case} {score:.2f}" for score, case in sorted(false, reverse=True)[:WORST_SHOWN])
    return f"Missed: {'; '.join(missed) or 'none'}. False findings with the highest scores: {worst or 'none'}."
