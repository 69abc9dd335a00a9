"""Chance or not: against exact enumeration, scipy, and by how often a null is called one."""

from math import comb

import numpy as np
import pytest
from scipy import stats

from diascope.evaluation.audit.measures import Measure
from diascope.evaluation.audit.significance import (
    Blocks,
    _dealt,
    _standardised,
    blocks_of,
    deviation,
)


def blocks(group: list[int], top: list[float]) -> Blocks:
    return Blocks(np.array(group), np.array(top, dtype=float), np.ones(len(top)), max(group) + 1)


def measure(top: list[float], bottom: list[float]) -> Measure:
    return Measure("m", np.array(top), np.array(bottom), "share", higher_is_better=True, nothing="", words="")


def test_two_groups_of_hits_have_the_p_value_of_counting_every_deal() -> None:
    # 3 hits of 12 in one group, 12 of 15 in the other.
    hits = [1.0] * 3 + [0.0] * 9 + [1.0] * 12 + [0.0] * 3
    found = deviation(blocks([0] * 12 + [1] * 15, hits), np.random.default_rng(0), 20000)

    ways = {k: comb(15, k) * comb(12, 12 - k) for k in range(13)}
    off = abs(3 - 12 * 15 / 27)
    expected = sum(n for k, n in ways.items() if abs(k - 12 * 15 / 27) >= off - 1e-9) / comb(27, 12)
    assert found.p == pytest.approx(expected, rel=0.25)
    assert found.z[0] < 0 < found.z[1]


def test_a_real_number_per_patient_has_the_p_value_of_scipy() -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(0, 1, 25), rng.normal(0.7, 1, 35)])
    found = deviation(blocks([0] * 25 + [1] * 35, values.tolist()), rng, 2000)

    theirs = stats.permutation_test(
        (values[:25], values[25:]),
        lambda a, b: abs(a.mean() - b.mean()),
        alternative="greater",
        n_resamples=4000,
        rng=1,
    )
    assert found.p == pytest.approx(theirs.pvalue, abs=0.015)


def test_of_three_groups_the_one_that_differs_is_named() -> None:
    rng = np.random.default_rng(0)
    hits = [float(rng.random() < share) for share in [0.9] * 100 + [0.9] * 100 + [0.6] * 100]

    found = deviation(blocks([0] * 100 + [1] * 100 + [2] * 100, hits), rng, 2000)

    assert int(np.argmin(found.z)) == 2
    assert found.p_group[2] < 0.01


@pytest.mark.parametrize("few_values", [True, False])
def test_dealing_counts_and_dealing_blocks_are_the_same_deal(few_values: bool) -> None:
    rng = np.random.default_rng(1)
    residual = rng.integers(0, 4, 60) / 3.0 if few_values else rng.normal(size=300)
    sizes = np.array([20, 25, 15]) if few_values else np.array([100, 150, 50])

    fast = _dealt(residual, sizes, 3000, rng)

    slow = []
    for _ in range(3000):
        sums = np.add.reduceat(rng.permutation(residual), np.cumsum(sizes) - sizes)
        slow.append(np.abs(_standardised(sums, sizes, residual)).max())
    assert stats.ks_2samp(fast, slow).pvalue > 0.001


def test_a_null_is_called_a_difference_as_often_as_alpha_says() -> None:
    alarms = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        group = rng.integers(0, 4, 120).tolist()
        alarms += deviation(blocks(group, (rng.random(120) < 0.7).astype(float).tolist()), rng, 199).p < 0.05

    assert stats.binomtest(alarms, 400, 0.05, alternative="greater").pvalue > 0.001


def test_patients_are_dealt_not_rows() -> None:
    # Five rows of each patient are all alike: rows would call this a difference.
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(200):
        hit = np.repeat((rng.random(40) < 0.5).astype(float), 5)
        patient, code = np.repeat(np.arange(40), 5), np.repeat(rng.integers(0, 2, 40), 5)
        made = blocks_of(measure(hit.tolist(), [1.0] * 200), code, patient, [0, 1])
        alarms += deviation(made, rng, 199).p < 0.05

    assert stats.binomtest(alarms, 200, 0.05, alternative="greater").pvalue > 0.001


def test_rows_without_a_part_in_the_measure_and_groups_not_judged_are_left_out() -> None:
    found = blocks_of(
        measure([1, 0, 1, 1, 0], [1, 1, 0, 1, 1]), np.array([0, 0, 0, 2, 1]), np.array([7, 7, 8, 9, 9]), [0, 2]
    )

    assert found.groups == 2
    assert (found.group.tolist(), found.top.tolist(), found.bottom.tolist()) == ([0, 1], [1.0, 1.0], [2.0, 1.0])


def test_where_everybody_is_alike_there_is_no_difference() -> None:
    found = deviation(blocks([0, 0, 1, 1], [1.0, 1.0, 1.0, 1.0]), np.random.default_rng(0), 50)

    assert (found.p, found.z.tolist()) == (1.0, [0.0, 0.0])
