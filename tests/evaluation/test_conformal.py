"""Promises: kept on held-out cases, overall and by group, and not bent where cases are few."""

import numpy as np
import pytest
from scipy import stats

from diascope.errors import InputError
from diascope.evaluation.conformal import (
    EVERYBODY,
    calibrate_sets,
    control_misses,
    coverage_of,
    missed_share,
    one_per_patient,
)


def cases(rng: np.random.Generator, n: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    truth = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 3)) + sharpness * np.eye(3)[truth]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), truth


def test_the_true_class_is_in_the_set_as_often_as_promised() -> None:
    covered = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rule = calibrate_sets(*cases(rng, 99), range(99), 0.9, rng)
        scores, truth = cases(rng, 50)
        covered += rule.sets(scores)[np.arange(50), truth].tolist()

    # Exactly 90 of 100 on average for 99 cases; neither less nor needlessly more.
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)


def test_by_group_each_group_has_the_promise_that_the_whole_alone_would_break() -> None:
    rng = np.random.default_rng(0)
    easy, hard = cases(rng, 600, 4.0), cases(rng, 600, 0.5)
    scores, truth = np.concatenate([easy[0], hard[0]]), np.concatenate([easy[1], hard[1]])
    group = ["easy"] * 600 + ["hard"] * 600
    half = np.arange(1200) % 2 == 0
    names = np.array(group)

    for groups, low in ((None, True), (names[half].tolist(), False)):
        rule = calibrate_sets(scores[half], truth[half], range(600), 0.9, rng, groups)
        sets = rule.sets(scores[~half], None if groups is None else names[~half].tolist())
        found = coverage_of(sets[np.arange(600), truth[~half]], range(600), names[~half].tolist())
        assert (found["hard"].high < 0.9) is low
        assert found[EVERYBODY].value == pytest.approx(0.9, abs=0.04)


def test_too_few_cases_leave_every_class_open() -> None:
    rng = np.random.default_rng(0)
    scores, truth = cases(rng, 8)

    rule = calibrate_sets(scores, truth, range(8), 0.9, rng)

    assert rule.limits[EVERYBODY] == np.inf
    assert rule.sets(scores).all()
    assert calibrate_sets(*cases(rng, 9), range(9), 0.9, rng).limits[EVERYBODY] < 1


def test_an_unknown_group_gets_the_rule_for_everybody() -> None:
    rng = np.random.default_rng(0)
    rule = calibrate_sets(*cases(rng, 100), range(100), 0.9, rng, ["a"] * 50 + ["b"] * 50)

    scores, _ = cases(rng, 5)

    assert np.array_equal(rule.sets(scores, ["new"] * 5), rule.sets(scores))
    assert rule.cases == {EVERYBODY: 100, "a": 50, "b": 50}


def test_the_mean_missed_share_is_held_as_often_as_promised() -> None:
    thresholds = np.linspace(0, 1, 101)
    losses = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        missed = np.array([missed_share(rng.beta(5, 2, 80), np.ones(80, dtype=bool), thresholds) for _ in range(41)])
        bound = control_misses(missed[:40], thresholds, range(40), 0.2, rng)
        losses.append(missed[40, round(bound.threshold * 100)])

    assert np.mean(losses) < 0.2
    assert np.mean(losses) > 0.12
    assert stats.ttest_1samp(losses, 0.2, alternative="greater").pvalue > 0.01


def test_the_threshold_is_the_highest_that_holds_one_lost_case_added() -> None:
    thresholds = np.array([0.1, 0.2, 0.3])
    missed = np.tile([0.0, 0.05, 0.5], (19, 1))

    # (19 x 0.05 + 1) / 20 = 0.0975 holds 0.1; (19 x 0.5 + 1) / 20 does not.
    assert control_misses(missed, thresholds, range(19), 0.1, np.random.default_rng(0)).threshold == 0.2


def test_with_too_few_cases_there_is_no_threshold() -> None:
    missed = np.zeros((8, 3))

    assert control_misses(missed, np.array([0.1, 0.2, 0.3]), range(8), 0.1, np.random.default_rng(0)).threshold is None


def test_the_missed_share_counts_voxels_below_the_threshold() -> None:
    score = np.array([[[0.2, 0.5, 0.5, 0.9]]])
    truth = np.array([[[True, True, True, False]]])

    assert missed_share(score, truth, np.array([0.2, 0.5, 0.6])).tolist() == pytest.approx([0.0, 1 / 3, 1.0])
    with pytest.raises(InputError, match="leave such cases out"):
        missed_share(score, np.zeros_like(truth), np.array([0.5]))


def test_one_case_of_each_patient_is_used() -> None:
    patients = ["a", "a", "b", "c", "c", "c"]

    kept = one_per_patient(patients, np.random.default_rng(0))

    assert [patients[row] for row in kept] == ["a", "b", "c"]
    assert calibrate_sets(
        np.full((6, 2), 0.5), np.zeros(6, dtype=int), patients, 0.5, np.random.default_rng(0)
    ).cases == {EVERYBODY: 3}


def test_promises_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match=r"between 0 and 1, got 1\.5"):
        calibrate_sets(np.ones((1, 2)), np.zeros(1, dtype=int), ["a"], 1.5, np.random.default_rng(0))
    with pytest.raises(InputError, match="no calibration case"):
        calibrate_sets(np.ones((0, 2)), np.zeros(0, dtype=int), [], 0.5, np.random.default_rng(0))
    with pytest.raises(InputError, match="can only miss more"):
        control_misses(np.array([[0.5, 0.1]]), np.array([0.1, 0.2]), ["a"], 0.5, np.random.default_rng(0))
