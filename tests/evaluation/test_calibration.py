"""Calibration: bins and their edges, slope against scikit-learn, temperature."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from diascope.errors import InputError
from diascope.evaluation.bootstrap import resample
from diascope.evaluation.calibration import (
    apply_temperature,
    bin_of,
    brier_estimate,
    ece,
    ece_estimate,
    reliability,
    slope_and_intercept,
    temperature,
)


def calibrated(seed: int, n: int = 3000, sharpness: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return rng.random(n) < expit(x), expit(sharpness * x + shift)


def test_every_edge_belongs_to_the_bin_above_it_and_one_to_the_last() -> None:
    edges = np.array([k / 15 for k in range(16)])

    assert bin_of(edges).tolist() == [*range(15), 14]
    assert bin_of(np.nextafter(edges[1:], 0)).tolist() == list(range(15))


def test_the_error_is_that_of_counting_with_exact_fractions() -> None:
    rng = np.random.default_rng(0)
    step = rng.integers(0, 16, 200)
    positive = rng.random(200) < step / 15
    total = Fraction(0)
    for at in range(15):
        inside = [row for row in range(200) if min(step[row], 14) == at]
        total += abs(sum((Fraction(int(step[row]), 15) - int(positive[row]) for row in inside), Fraction(0)))

    assert ece(positive, step / 15) == pytest.approx(float(total / 200))


def test_away_from_the_edges_the_bins_are_scikit_learn_s() -> None:
    positive, score = calibrated(1)

    found = reliability(positive, score)

    share, promised = calibration_curve(positive, score, n_bins=15)
    filled = found.n > 0
    assert found.share_positive[filled] == pytest.approx(share)
    assert found.mean_score[filled] == pytest.approx(promised)
    assert found.n.sum() == 3000


def test_the_error_of_the_positive_class_is_not_that_of_the_larger_probability() -> None:
    # A network that is sure of the negatives and right: nothing is wrong on either scale...
    positive = np.array([False] * 9 + [True])
    assert ece(positive, np.full(10, 0.1)) == pytest.approx(0.0)
    # ...and one that says 0.9 where it should say 0.1 is 0.8 off, not 0.8 on the other side.
    assert ece(positive, np.full(10, 0.9)) == pytest.approx(0.8)


def test_slope_and_intercept_are_those_of_an_unpenalised_logistic_fit() -> None:
    positive, score = calibrated(2, sharpness=2.0, shift=0.5)

    slope, intercept = slope_and_intercept(positive, score, np.arange(3000))

    fit = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(score)[:, None], positive)
    assert slope.value == pytest.approx(fit.coef_[0, 0], abs=1e-4)
    assert slope.low < 0.5 < slope.high
    # With the slope held at 1 the sum of the moved probabilities is the number of positives.
    assert expit(logit(score) + intercept.value).sum() == pytest.approx(positive.sum())


def test_a_calibrated_score_has_slope_one_and_intercept_zero_within_the_interval() -> None:
    positive, score = calibrated(3)

    slope, intercept = slope_and_intercept(positive, score, np.arange(3000))

    assert slope.low < 1.0 < slope.high
    assert intercept.low < 0.0 < intercept.high


def test_repeated_rows_do_not_make_the_slope_surer() -> None:
    positive, score = calibrated(4, n=400)

    once, _ = slope_and_intercept(positive, score, np.arange(400))
    tenfold, _ = slope_and_intercept(np.repeat(positive, 10), np.repeat(score, 10), np.repeat(np.arange(400), 10))

    assert (tenfold.value, tenfold.low, tenfold.high) == pytest.approx((once.value, once.low, once.high), abs=1e-6)


def test_degenerate_scores_give_reasons() -> None:
    one_class, _ = slope_and_intercept(np.ones(9, dtype=bool), np.linspace(0, 1, 9), np.arange(9))
    constant, shift = slope_and_intercept(np.arange(10) < 4, np.full(10, 0.5), np.arange(10))
    separated, _ = slope_and_intercept(np.arange(10) < 5, np.linspace(0.9, 0.1, 10), np.arange(10))

    assert one_class.reason == "only one class is present"
    assert constant.reason == "all scores are equal"
    assert shift.value == pytest.approx(logit(0.4))
    assert (separated.value, separated.reason) == (None, "the scores separate the classes: no finite fit")


def test_scores_of_exactly_zero_and_one_have_a_finite_slope() -> None:
    positive = np.array([True, False] * 10)

    slope, _ = slope_and_intercept(positive, np.tile([1.0, 0.0, 0.0, 1.0, 0.5], 4), np.arange(20))

    assert np.isfinite(slope.value)


def test_brier_and_ece_have_intervals_of_patients() -> None:
    positive, score = calibrated(5, n=300, sharpness=3.0)
    drawn = resample(range(300), np.random.default_rng(0), 400)

    for found in (brier_estimate(positive, score, drawn), ece_estimate(positive, score, drawn)):
        assert found.low < found.value < found.high
    assert brier_estimate(positive, score, drawn).value == pytest.approx(((score - positive) ** 2).mean())


def test_temperature_recovers_what_made_the_score_too_sure() -> None:
    positive, score = calibrated(6, n=20000, sharpness=2.5)

    found = temperature(positive, score)

    assert found == pytest.approx(2.5, rel=0.05)
    assert ece(positive, apply_temperature(score, found)) < ece(positive, score) / 4


def test_temperature_keeps_the_order_of_the_scores() -> None:
    score = np.array([0.0, 0.2, 0.5, 0.7, 1.0])

    moved = apply_temperature(score, 3.0)

    assert (np.diff(moved) > 0).all()
    assert moved[2] == pytest.approx(0.5)


def test_temperature_of_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="both classes, got 3 positives of 3"):
        temperature(np.ones(3, dtype=bool), np.full(3, 0.5))
