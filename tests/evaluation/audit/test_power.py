"""What an audit could have found: the promised power is the power."""

import numpy as np
import pytest
from scipy import stats

from diascope.evaluation.audit.power import patients_needed, patients_needed_together, resolution
from diascope.evaluation.audit.significance import Blocks, deviation

RULES = {"alpha": 0.05, "power": 0.8, "tests": 1}


def blocks(rng: np.random.Generator, sizes: tuple[int, int], shares: tuple[float, float]) -> Blocks:
    group = np.repeat([0, 1], sizes)
    return Blocks(group, (rng.random(sum(sizes)) < np.array(shares)[group]).astype(float), np.ones(sum(sizes)), 2)


def test_the_smallest_gap_is_found_about_as_often_as_the_power_says() -> None:
    rng = np.random.default_rng(0)
    gap = resolution(blocks(rng, (150, 400), (0.8, 0.8)), 0, **RULES).smallest_gap
    found = sum(deviation(blocks(rng, (150, 400), (0.8 - gap, 0.8)), rng, 199).p < 0.05 for _ in range(200))

    assert 0.65 < found / 200 < 0.92


def test_the_smallest_gap_is_the_textbook_s() -> None:
    made = Blocks(np.repeat([0, 1], [100, 300]), np.tile([1.0, 1.0, 1.0, 0.0], 100), np.ones(400), 2)

    expected = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * np.sqrt(0.75 * 0.25 * (1 / 100 + 1 / 300))
    assert resolution(made, 0, **RULES).smallest_gap == pytest.approx(expected, rel=0.005)


def test_with_the_patients_that_are_needed_the_gap_is_the_smallest() -> None:
    rng = np.random.default_rng(1)
    few = blocks(rng, (30, 2000), (0.8, 0.8))

    needed = patients_needed(few, 0, 0.1, **RULES)

    assert needed is not None
    enough = blocks(rng, (needed, 2000), (0.8, 0.8))
    assert resolution(enough, 0, **RULES).smallest_gap == pytest.approx(0.1, rel=0.08)


def test_where_the_rest_is_too_small_no_number_of_patients_will_do() -> None:
    assert patients_needed(blocks(np.random.default_rng(2), (500, 20), (0.5, 0.5)), 0, 0.05, **RULES) is None


def test_if_all_groups_grow_alike_the_gap_is_reached_with_the_number_that_is_said() -> None:
    rng = np.random.default_rng(4)
    few = blocks(rng, (30, 60), (0.5, 0.5))

    needed = patients_needed_together(few, 0, 0.1, **RULES)

    assert patients_needed(few, 0, 0.1, **RULES) is None
    assert needed is not None
    grown = blocks(rng, (needed, 2 * needed), (0.5, 0.5))
    assert resolution(grown, 0, **RULES).smallest_gap == pytest.approx(0.1, rel=0.05)


def test_a_group_of_one_could_show_nothing() -> None:
    made = blocks(np.random.default_rng(0), (1, 50), (1.0, 0.5))

    assert resolution(made, 0, **RULES).smallest_gap == np.inf


def test_more_tests_need_a_wider_gap() -> None:
    made = blocks(np.random.default_rng(0), (100, 100), (0.5, 0.5))

    one, many = (resolution(made, 0, alpha=0.05, power=0.8, tests=n).smallest_gap for n in (1, 20))

    assert many > 1.2 * one
