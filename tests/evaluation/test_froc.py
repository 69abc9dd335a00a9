"""FROC against the challenge's own arithmetic and by hand, with its traps."""

import numpy as np
import pytest
from monai.metrics import compute_froc_curve_data, compute_froc_score
from sklearn.metrics import roc_curve

from diascope.evaluation.bootstrap import resample
from diascope.evaluation.detection import Lesion, Mark, Scan, ScanHits, match, sphere
from diascope.evaluation.froc import (
    FP_PER_SCAN,
    DetectionRules,
    DetectionSummary,
    froc_curve,
    sensitivity_at,
    summarise_detection,
)

RADIUS = DetectionRules(rule="radius")


def nodule(x: float, size: float = 6.0) -> Lesion:
    return sphere((x, 0.0, 0.0), size)


def hit(x: float, score: float) -> Mark:
    return Mark((x, 0.0, 0.0), (x, 0.0, 0.0), score)


def summarised(*scans: Scan, rules: DetectionRules = RADIUS, rounds: int = 100) -> DetectionSummary:
    return summarise_detection(scans, rules, np.random.default_rng(0), rounds)


def cohort(seed: int, scans: int = 25, decimals: int = 1) -> list[Scan]:
    """Scans with and without nodules; scores of few values, so many are equal."""
    rng = np.random.default_rng(seed)
    found = []
    for at in range(scans):
        lesions = tuple(nodule(20.0 * n, float(rng.uniform(4, 14))) for n in range(rng.integers(0, 4)))
        marks = [
            hit(20.0 * n, float(np.round(rng.beta(4, 2), decimals))) for n in range(len(lesions)) if rng.random() < 0.8
        ]
        marks += [hit(-50.0 - n, float(np.round(rng.beta(2, 4), decimals))) for n in range(rng.integers(0, 9))]
        found.append(Scan(f"s{at}", f"p{at // 2}", lesions, tuple(marks)))
    return found


def by_the_challenge(hits: list[ScanHits]) -> list[float]:
    """The arithmetic of the challenge: a ROC curve, scaled to lesions and scans."""
    truth, score, missed = [], [], 0
    for scan in hits:
        missed += int(np.isneginf(scan.lesion_scores).sum())
        seen = scan.lesion_scores[np.isfinite(scan.lesion_scores)]
        truth += [1] * len(seen) + [0] * len(scan.false_scores)
        score += [*seen, *scan.false_scores]
    fpr, tpr, _ = roc_curve(truth, score, drop_intermediate=False)
    found = sum(truth)
    return np.interp(FP_PER_SCAN, fpr * (len(truth) - found) / len(hits), tpr * found / (found + missed)).tolist()


@pytest.mark.parametrize("decimals", [1, 6])
@pytest.mark.parametrize("seed", range(6))
def test_the_curve_is_that_of_the_challenge_s_arithmetic(seed: int, decimals: int) -> None:
    scans = cohort(seed, decimals=decimals)
    hits = [match(scan, "radius") for scan in scans]

    found = summarised(*scans, rounds=5).metrics

    expected = by_the_challenge(hits)
    assert [found[f"sensitivity_at_{rate:g}_fp"].value for rate in FP_PER_SCAN] == pytest.approx(expected)
    assert found["cpm"].value == pytest.approx(np.mean(expected))
    assert [sensitivity_at(froc_curve(hits), rate) for rate in FP_PER_SCAN] == pytest.approx(expected)


def test_a_perfect_detector_scores_one_however_equal_its_scores_where_monai_says_zero() -> None:
    scans = [Scan(f"s{at}", f"p{at}", (nodule(0), nodule(40)), (hit(0, 0.9), hit(40, 0.9))) for at in range(8)]

    found = summarised(*scans).metrics

    per_scan, sensitivity = compute_froc_curve_data(np.array([]), np.full(16, 0.9), 16, 8)
    assert compute_froc_score(per_scan, sensitivity, FP_PER_SCAN) == 0.0
    assert found["cpm"].value == 1.0
    assert found["average_precision"].value == 1.0
    assert all(found[f"sensitivity_at_{rate:g}_fp"].value == 1.0 for rate in FP_PER_SCAN)


def test_the_least_sure_hit_is_not_lost() -> None:
    scans = [Scan("a", "a", (nodule(0),), (hit(0, 0.9),)), Scan("b", "b", (nodule(0),), (hit(0, 0.1),))]

    assert summarised(*scans).metrics["cpm"].value == 1.0


def test_a_scan_without_lesions_is_a_scan() -> None:
    ill = Scan("ill", "a", (nodule(0),), (hit(0, 0.4), hit(99, 0.8)))
    healthy = [Scan(f"healthy{at}", f"h{at}") for at in range(3)]

    alone, among = summarised(ill).metrics, summarised(ill, *healthy).metrics

    # One false positive stands before the hit: 1 per scan alone, 1/4 among four scans.
    assert alone["sensitivity_at_0.5_fp"].value == 0.0
    assert alone["sensitivity_at_1_fp"].value == 1.0
    assert among["sensitivity_at_0.125_fp"].value == 0.0
    assert among["sensitivity_at_0.25_fp"].value == 1.0
    assert among["false_positives_per_scan"].value == 0.25
    assert among["false_positives_per_scan_without_lesions"].value == 0.0


def test_a_curve_that_ends_early_stays_where_it_is() -> None:
    found = summarised(Scan("a", "a", (nodule(0), nodule(40)), (hit(0, 0.9), hit(99, 0.1)))).metrics

    assert found["sensitivity_at_8_fp"].value == 0.5


def test_with_equal_scores_everywhere_the_curve_is_a_straight_line() -> None:
    scan = Scan("a", "a", (nodule(0),), (hit(0, 0.5), hit(90, 0.5), hit(91, 0.5)))

    found = summarised(scan).metrics

    assert found["sensitivity_at_1_fp"].value == pytest.approx(0.5)
    assert found["sensitivity_at_2_fp"].value == 1.0


def test_no_lesions_at_all_leave_reasons_and_the_false_positives() -> None:
    found = summarised(Scan("a", "a", (), (hit(0, 0.9),)), Scan("b", "b"))

    assert (found.lesions, found.scans_without_lesions, found.curve) == (0, 2, None)
    assert (found.metrics["cpm"].value, found.metrics["cpm"].reason) == (None, "no lesions")
    assert found.metrics["sensitivity"].reason == "no lesions"
    assert found.metrics["false_positives_per_scan"].value == 0.5


def test_no_marks_at_all_find_nothing() -> None:
    found = summarised(*[Scan(f"s{at}", f"p{at}", (nodule(0),)) for at in range(6)]).metrics

    assert (found["cpm"].value, found["average_precision"].value, found["sensitivity"].value) == (0.0, 0.0, 0.0)


def test_small_and_large_lesions_are_read_at_the_same_false_positives() -> None:
    # Two scans, one false positive in each; the small ones are found after it, the large before.
    scans = [
        Scan(f"s{at}", f"p{at}", (nodule(0, 4.0), nodule(40, 20.0)), (hit(40, 0.9), hit(99, 0.5), hit(0, 0.3)))
        for at in range(6)
    ]

    found = summarised(*scans, rules=DetectionRules("radius", size_edges=(10.0,))).by_size

    assert list(found) == ["below 10", "10 and over"]
    assert found["below 10"]["sensitivity_at_0.5_fp"].value == 0.0
    assert found["below 10"]["sensitivity_at_1_fp"].value == 1.0
    assert found["10 and over"]["sensitivity_at_0.125_fp"].value == 1.0
    assert found["below 10"]["cpm"].n == 6


def test_intervals_are_those_of_drawing_patients_with_all_their_scans() -> None:
    scans = cohort(3, scans=40)
    drawn = resample([scan.patient for scan in scans], np.random.default_rng(0), 100)
    hits = [match(scan, "radius") for scan in scans]

    found = summarised(*scans).metrics

    slow = [by_the_challenge([hits[row] for row in drawn.rows_of(at)]) for at in range(100)]
    low, high = np.quantile(np.mean(slow, axis=1), [0.025, 0.975])
    assert (found["cpm"].low, found["cpm"].high) == pytest.approx((low, high))


def test_average_precision_counts_missed_lesions_against_the_detector() -> None:
    # Surest first: hit (precision 1), false, hit (2/3); one of four lesions is never marked.
    scan = Scan("a", "a", (nodule(0), nodule(40), nodule(80), nodule(120)), (hit(0, 0.9), hit(-50, 0.8), hit(40, 0.7)))

    assert summarised(scan).metrics["average_precision"].value == pytest.approx((1 + 2 / 3) / 4)
