"""A temperature and conformal limits, worth what other patients say."""

import numpy as np
import pytest
from scipy.special import expit

from diascope.evaluation.recalibrate import recalibrate, recalibrate_outlines


def too_sure(seed: int, patients: int = 800, per_patient: int = 1) -> tuple[np.ndarray, np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.normal(size=patients), per_patient)
    return rng.random(len(x)) < expit(x), expit(3 * x), np.repeat(np.arange(patients), per_patient).tolist()


def test_a_score_that_is_too_sure_is_mended_on_patients_it_was_not_fitted_on() -> None:
    found = recalibrate(*too_sure(0), 0.9, np.random.default_rng(0))

    assert found.learnt.temperature == pytest.approx(3.0, rel=0.2)
    assert found.after["ece"].value < found.before["ece"].value / 2
    assert found.after["brier"].value < found.before["brier"].value
    assert found.before["brier"].n == pytest.approx(400, abs=1)


def test_the_promised_coverage_is_kept_on_patients_that_only_check() -> None:
    coverage = [
        recalibrate(*too_sure(seed, 400), 0.9, np.random.default_rng(seed)).coverage.value for seed in range(20)
    ]

    assert np.mean(coverage) == pytest.approx(0.9, abs=0.02)


def test_images_of_a_patient_stay_in_one_half() -> None:
    positive, score, patients = too_sure(1, 200, per_patient=3)

    found = recalibrate(positive, score, patients, 0.9, np.random.default_rng(0))

    assert (found.patients, found.learnt.sets.cases) == (200, 200)
    assert found.before["brier"].n == pytest.approx(300, abs=3)
    assert found.before["brier"].n % 3 == 0


def test_with_too_few_of_a_class_the_score_stays_raw_and_says_why() -> None:
    positive = np.arange(100) < 8

    found = recalibrate(positive, np.full(100, 0.3), range(100), 0.9, np.random.default_rng(0))

    assert (found.learnt, found.coverage) == (None, None)
    assert found.reason == "8 positive and 92 negative patients, 40 of each are needed"


def outlines(seed: int, patients: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """A network that expects far too high a Dice, but knows which of its outlines are worse."""
    rng = np.random.default_rng(seed)
    dice = rng.beta(6, 2, patients)
    return np.clip(0.8 + 0.2 * dice + rng.normal(0, 0.01, patients), 0, 1), dice, list(range(patients))


def test_a_confidence_in_outlines_comes_nearer_to_dice_on_patients_that_only_check() -> None:
    found = recalibrate_outlines(*outlines(0, 200), np.random.default_rng(0))

    assert found.learnt is not None
    assert (found.patients, found.learnt.cases) == (200, 200)
    assert found.after.value < found.before.value / 2
    assert found.after.high < found.before.low


def test_few_outlines_leave_the_confidence_raw() -> None:
    found = recalibrate_outlines(*outlines(0, 59), np.random.default_rng(0))

    assert (found.learnt, found.reason) == (None, "59 patients, 60 are needed")
