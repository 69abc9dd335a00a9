"""Wilson's interval against scipy, and what patients do to it."""

import numpy as np
import pytest
from scipy import stats

from diascope.evaluation.proportions import average_estimate, effective_trials, share_estimate, wilson


@pytest.mark.parametrize(("hits", "trials"), [(0, 7), (1, 7), (20, 20), (33, 90), (89, 90)])
def test_the_interval_is_wilson_s(hits: int, trials: int) -> None:
    theirs = stats.binomtest(hits, trials).proportion_ci(method="wilson")

    assert wilson(hits / trials, trials) == pytest.approx((theirs.low, theirs.high))


def test_all_found_does_not_mean_that_all_will_be_found() -> None:
    found = share_estimate(np.ones(20), np.ones(20), np.arange(20), nothing="")

    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.839, abs=0.001)


def test_no_trials_give_the_reason() -> None:
    assert share_estimate(np.zeros(3), np.zeros(3), np.arange(3), nothing="no lesions").reason == "no lesions"


def test_rows_that_are_all_alike_within_a_patient_count_once() -> None:
    hits = np.repeat([1.0, 0, 1, 1, 0, 1, 0, 1, 1, 1], 6)

    assert effective_trials(hits, np.ones(60), np.repeat(np.arange(10), 6)) == pytest.approx(10, abs=1.1)


def test_rows_of_different_patients_count_each() -> None:
    assert effective_trials(np.array([1.0, 0, 1, 1]), np.ones(4), np.arange(4)) == 4


def test_where_every_row_is_a_hit_patients_are_counted() -> None:
    assert effective_trials(np.ones(30), np.ones(30), np.repeat(np.arange(3), 10)) == 3


def test_intervals_of_clustered_shares_hold_the_truth_as_often_as_they_say() -> None:
    hits = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        per_patient = rng.beta(2.8, 1.2, 50)
        rows = (rng.random((50, 5)) < per_patient[:, None]).astype(float).ravel()
        found = share_estimate(rows, np.ones(250), np.repeat(np.arange(50), 5), nothing="")
        hits += found.low <= 0.7 <= found.high  # type: ignore[operator]

    assert stats.binomtest(hits, 300, 0.95).pvalue > 0.001


def test_an_average_has_student_s_interval_and_stays_within_what_is_possible() -> None:
    values = np.array([0.9, 0.95, 0.99, 0.2, 0.97, 0.93])

    free = average_estimate(values, np.ones(6), np.arange(6), nothing="")
    bounded = average_estimate(values, np.ones(6), np.arange(6), nothing="", most=1.0)

    theirs = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert (free.low, free.high) == pytest.approx(theirs)
    assert (bounded.low, bounded.high) == (free.low, 1.0)
    assert average_estimate(values[:2], np.ones(2), np.arange(2), nothing="").low is None
    assert average_estimate(np.zeros(3), np.zeros(3), np.arange(3), nothing="absent").reason == "absent"
