"""Rates at an operating point, against scikit-learn and fairlearn, and where they lie."""

import numpy as np
import pytest
from fairlearn.metrics import false_negative_rate
from sklearn import metrics as reference

from diascope.errors import InputError
from diascope.evaluation.classification import rates, summarise_classification


def cohort(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    score = np.round(1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * positive - 0.7))), 2)
    return positive, score, (np.arange(n) // 2).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_every_metric_agrees_with_scikit_learn(seed: int) -> None:
    positive, score, patients = cohort(seed)

    found = summarise_classification(positive, score, patients, 0.4, np.random.default_rng(0), rounds=50).metrics

    called = score >= 0.4
    expected = {
        "auc": reference.roc_auc_score(positive, score),
        "average_precision": reference.average_precision_score(positive, score),
        "sensitivity": reference.recall_score(positive, called),
        "specificity": reference.recall_score(~positive, ~called),
        "ppv": reference.precision_score(positive, called),
        "npv": reference.precision_score(~positive, ~called),
        "brier": reference.brier_score_loss(positive, score),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value), name
        assert found[name].low < value < found[name].high, name


def test_a_score_on_the_operating_point_is_positive() -> None:
    found = summarise_classification([True, False], [0.5, 0.49999], ["a", "b"], 0.5, np.random.default_rng(0), rounds=5)

    assert found.metrics["sensitivity"].value == 1.0
    assert found.metrics["specificity"].value == 1.0
    assert (found.n, found.patients, found.positives, found.threshold) == (2, 2, 1, 0.5)


def test_without_positives_sensitivity_is_not_defined_where_fairlearn_says_zero() -> None:
    # The trap: fairlearn gives 0 missed and 0 found for the same group.
    positive, called = np.zeros(6, dtype=bool), np.array([1, 0, 0, 0, 0, 0], dtype=bool)

    found = rates(positive, called, np.arange(6))

    assert false_negative_rate(positive, called, pos_label=True) == 0.0
    assert (found["sensitivity"].value, found["sensitivity"].reason) == (None, "no positives")
    assert found["specificity"].value == pytest.approx(5 / 6)
    assert found["ppv"].value == 0.0


@pytest.mark.parametrize("truth", [True, False])
def test_one_class_only_leaves_reasons_and_raises_nothing(truth: bool) -> None:
    found = summarise_classification(
        [truth] * 8, np.linspace(0.1, 0.9, 8), range(8), 0.5, np.random.default_rng(0), rounds=20
    ).metrics

    assert found["auc"].value is None
    assert found["auc"].reason == "only one class is present"
    assert found["calibration_slope"].value is None
    assert found["brier"].value is not None


def test_scores_that_are_no_probabilities_are_refused_with_their_range() -> None:
    with pytest.raises(InputError, match=r"1 of 2 scores lie outside 0\.\.1: they go from 0\.2 to 3\.5"):
        summarise_classification([True, False], [3.5, 0.2], ["a", "b"], 0.5, np.random.default_rng(0))
    with pytest.raises(InputError, match="1 of 2 scores are not a number"):
        summarise_classification([True, False], [np.nan, 0.2], ["a", "b"], 0.5, np.random.default_rng(0))
    with pytest.raises(InputError, match="2 truths, 1 scores and 2 patients"):
        summarise_classification([True, False], [0.2], ["a", "b"], 0.5, np.random.default_rng(0))


def test_ten_images_of_a_patient_are_no_ten_patients() -> None:
    positive, score, _ = cohort(3, n=60)
    once = rates(positive, score >= 0.4, np.arange(60))["sensitivity"]

    tenfold = rates(np.repeat(positive, 10), np.repeat(score >= 0.4, 10), np.repeat(np.arange(60), 10))["sensitivity"]

    assert tenfold.value == once.value
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high), abs=0.01)
    assert tenfold.n == 10 * once.n
