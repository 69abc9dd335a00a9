"""Areas under curves against scikit-learn, brute force and each other."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from diascope.evaluation.bootstrap import any_estimate, resample
from diascope.evaluation.curves import auc_estimate, average_precision, average_precision_estimate, delong


def cohort(seed: int, n: int = 120, step: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    return positive, np.round((rng.normal(size=n) + positive) / step) * step


@pytest.mark.parametrize("seed", range(5))
def test_auc_and_average_precision_are_those_of_scikit_learn_with_many_ties(seed: int) -> None:
    positive, score = cohort(seed, step=0.5)

    assert delong(positive, score, np.arange(120)).value == pytest.approx(roc_auc_score(positive, score))
    assert average_precision(positive, score) == pytest.approx(average_precision_score(positive, score))


def test_the_variance_is_delong_s_written_out() -> None:
    positive, score = cohort(1)
    pairs = np.sign(score[positive][:, None] - score[~positive][None]) / 2 + 0.5

    expected = pairs.mean(axis=1).var(ddof=1) / len(pairs) + pairs.mean(axis=0).var(ddof=1) / pairs.shape[1]
    # Obuchowski's form: each patient has one row, so positives and negatives share none.
    assert delong(positive, score, np.arange(120)).standard_error == pytest.approx(np.sqrt(expected))


def test_rows_that_are_repeated_keep_the_standard_error() -> None:
    positive, score = cohort(2)

    once = delong(positive, score, np.arange(120))
    tenfold = delong(np.repeat(positive, 10), np.repeat(score, 10), np.repeat(np.arange(120), 10))

    assert tenfold.value == pytest.approx(once.value)
    assert tenfold.standard_error == pytest.approx(once.standard_error)


def test_clustered_standard_errors_agree_with_the_bootstrap_of_patients() -> None:
    rng = np.random.default_rng(5)
    patient = np.repeat(np.arange(150), 4)
    positive = rng.random(600) < 0.4
    score = rng.normal(size=150)[patient] + rng.normal(size=600) + positive

    found = auc_estimate(positive, score, patient)
    drawn = resample(patient.tolist(), rng, 200)
    slow = any_estimate(
        lambda rows: delong(positive[rows], score[rows], np.arange(len(rows))).value, drawn, n=600, nothing=""
    )

    assert (found.low, found.high) == pytest.approx((slow.low, slow.high), abs=0.015)


def test_a_perfect_score_of_few_cases_is_not_certain() -> None:
    positive = np.array([True] * 10 + [False] * 10)

    found = auc_estimate(positive, np.linspace(1, 0, 20), np.arange(20))
    reverse = auc_estimate(positive, np.linspace(0, 1, 20), np.arange(20))

    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.75 < found.low < 0.9
    assert (reverse.low, reverse.high) == pytest.approx((0.0, 1 - found.low))


def test_equal_scores_are_worth_a_coin() -> None:
    positive = np.array([True] * 10 + [False] * 10)

    found = auc_estimate(positive, np.full(20, 0.5), np.arange(20))

    assert found.value == 0.5
    assert found.low < 0.4
    assert found.high > 0.6


def test_the_interval_of_the_auc_holds_the_truth_as_often_as_it_says() -> None:
    truth = float(stats.norm.cdf(1 / np.sqrt(2)))
    hits = 0
    for seed in range(400):
        positive, score = cohort(seed, n=80, step=1e-9)
        found = auc_estimate(positive, score, np.arange(80))
        hits += found.low <= truth <= found.high  # type: ignore[operator]

    assert stats.binomtest(hits, 400, 0.95).pvalue > 0.001


def test_average_precision_without_positives_is_not_defined() -> None:
    assert average_precision(np.zeros(4, dtype=bool), np.arange(4.0)) is None
    drawn = resample(range(4), np.random.default_rng(0), 10)
    assert average_precision_estimate(np.zeros(4, dtype=bool), np.arange(4.0), drawn).reason == "no positives"


def test_the_interval_of_average_precision_is_that_of_drawing_rows() -> None:
    positive, score = cohort(4, step=0.3)
    drawn = resample((np.arange(120) // 3).tolist(), np.random.default_rng(1), 300)

    fast = average_precision_estimate(positive, score, drawn)
    slow = any_estimate(
        lambda rows: average_precision_score(positive[rows], score[rows]), drawn, n=120, nothing="", rounds=300
    )

    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high))
