"""Patients drawn as a whole: width, coverage, and what has no interval."""

import numpy as np
import pytest
from scipy import stats

from diascope.errors import InputError
from diascope.evaluation.bootstrap import (
    Estimate,
    any_estimate,
    interval,
    mean_estimate,
    median_estimate,
    ratio_estimate,
    resample,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_the_interval_of_a_mean_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)

    found = mean_estimate(values, resample(range(400), rng(), 4000), nothing="")

    half = 1.96 * values.std(ddof=1) / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert found.n == 400


def test_many_rows_of_a_patient_do_not_make_the_interval_narrower() -> None:
    per_patient = np.random.default_rng(2).normal(size=60)

    once = mean_estimate(per_patient, resample(range(60), rng(), 2000), nothing="")
    tenfold = mean_estimate(
        np.repeat(per_patient, 10), resample(np.repeat(range(60), 10).tolist(), rng(), 2000), nothing=""
    )

    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))
    assert tenfold.n == 600


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(200):
        chance = np.random.default_rng(seed)
        values = np.repeat(chance.normal(size=40), 3) + chance.normal(size=120)
        found = mean_estimate(values, resample(np.repeat(range(40), 3).tolist(), chance, 400), nothing="")
        hits += found.low <= 0.0 <= found.high  # type: ignore[operator]

    assert stats.binomtest(hits, 200, 0.95).pvalue > 0.001


def test_a_ratio_divides_the_sums_of_each_draw() -> None:
    missed, there = np.array([1.0, 0, 0, 1, 0, 0, 0, 0]), np.array([1.0, 1, 1, 1, 0, 1, 1, 1])
    drawn = resample(range(8), rng(), 500)

    found = ratio_estimate(missed, there, drawn, nothing="none there")

    by_hand = [missed[drawn.rows_of(at)].sum() / there[drawn.rows_of(at)].sum() for at in range(500)]
    assert found.value == pytest.approx(2 / 7)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(by_hand, [0.025, 0.975])))
    assert found.n == 7


def test_the_fast_median_is_the_slow_one() -> None:
    values = np.random.default_rng(3).exponential(size=31)
    patients = (np.arange(31) // 2).tolist()
    drawn = resample(patients, rng(), 300)

    fast = median_estimate(values, drawn, nothing="")
    slow = any_estimate(lambda rows: float(np.median(values[rows])), drawn, n=31, nothing="", rounds=300)

    assert fast.value == slow.value
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high))


def test_nothing_to_average_gives_a_reason_and_never_zero() -> None:
    found = mean_estimate([None, None], resample(["a", "b"], rng()), nothing="absent everywhere")

    assert (found.value, found.n, found.reason) == (None, 0, "absent everywhere")
    assert str(found) == "not defined (absent everywhere)"


def test_few_patients_have_a_value_but_no_interval() -> None:
    found = mean_estimate([0.5] * 40, resample(["a", "b"] * 20, rng()), nothing="")

    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert found.reason == "2 patients are too few for an interval"


def test_no_rows_at_all_are_no_error() -> None:
    found = mean_estimate([], resample([], rng()), nothing="no images")

    assert found.reason == "no images"


def test_a_statistic_that_most_draws_cannot_give_has_no_interval() -> None:
    assert interval(np.array([0.1, np.nan, np.nan])) == (None, None)
    assert interval(np.array([0.1, 0.1, np.nan])) == (0.1, 0.1)


def test_an_estimate_without_value_or_with_nan_is_refused() -> None:
    with pytest.raises(InputError, match="needs a reason"):
        Estimate(None)
    with pytest.raises(InputError, match="NaN"):
        Estimate(float("nan"))


def test_the_same_seed_gives_the_same_draws() -> None:
    one, other = (resample(list("aabbccddee"), rng(), 20) for _ in range(2))

    assert np.array_equal(one.weights, other.weights)
    assert one.patients == 5
    assert (one.weights.sum(axis=1) == 5).all()
