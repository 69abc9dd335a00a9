"""How unsure each voxel is, against pencil and paper and SciPy."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import entropy

from diascope.tasks import uncertainty_map
from diascope.tasks.uncertainty_map import disagreement, highest_possible, unsure_voxels


def test_a_coin_flip_is_one_bit_and_certainty_is_none() -> None:
    logits = np.zeros((2, 1, 1, 2), np.float32)
    logits[1, 0, 0, 1] = 50

    assert unsure_voxels(logits, "entropy").round(6).tolist() == [[[1.0, 0.0]]]
    assert unsure_voxels(logits, "least_confidence").tolist() == [[[0.5, 0.0]]]


def test_entropy_and_least_confidence_are_those_of_scipy_slab_by_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty_map, "SLAB_VOXELS", 100)
    logits = np.random.default_rng(0).normal(0, 3, (5, 6, 7, 11)).astype(np.float32)
    shares = softmax(logits.astype(np.float64), axis=0)

    np.testing.assert_allclose(unsure_voxels(logits, "entropy"), entropy(shares, base=2, axis=0), atol=1e-5)
    np.testing.assert_allclose(unsure_voxels(logits, "least_confidence"), 1 - shares.max(0), atol=1e-6)


def test_of_questions_that_stand_alone_the_least_sure_counts() -> None:
    logits = np.random.default_rng(1).normal(0, 3, (3, 2, 3, 4)).astype(np.float32)
    shares = expit(logits.astype(np.float64))
    each = entropy(np.stack([shares, 1 - shares]), base=2, axis=0)

    np.testing.assert_allclose(unsure_voxels(logits, "entropy", "sigmoid"), each.max(0), atol=1e-5)
    found = unsure_voxels(logits, "least_confidence", "sigmoid")
    np.testing.assert_allclose(found, np.minimum(shares, 1 - shares).max(0), atol=1e-6)


def test_answers_that_are_sure_of_different_things_disagree_by_a_bit_and_equal_doubt_is_no_disagreement() -> None:
    # Two sure answers that contradict each other; two answers that both flip a coin.
    mean, each = np.array([[[1.0, 1.0]]], np.float32), np.array([[[0.0, 1.0]]], np.float32)

    assert disagreement(mean, each).tolist() == [[[1.0, 0.0]]]
    # Rounding never makes it negative.
    assert disagreement(mean - 2e-7, mean).min() == 0


def test_the_limit_is_what_equal_shares_have() -> None:
    equal = np.zeros((8, 1, 1, 1), np.float32)

    assert highest_possible("entropy", 8) == pytest.approx(float(unsure_voxels(equal, "entropy").item())) == 3.0
    assert highest_possible("least_confidence", 8) == float(unsure_voxels(equal, "least_confidence").item())
