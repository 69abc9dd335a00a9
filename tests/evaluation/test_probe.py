"""The probe: an encoded attribute is read, an absent one is not, and patients are not learnt by heart."""

import numpy as np
import pytest

from diascope.errors import InputError
from diascope.evaluation.probe import probe


def vectors(seed: int, encoded: float, n: int = 120) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    sex = rng.integers(0, 2, n)
    features = rng.normal(size=(n, 30))
    features[:, 4] += encoded * sex
    return features, np.where(sex == 1, "F", "M").tolist()


def test_an_encoded_attribute_is_read() -> None:
    found = probe(*vectors(0, 2.0), range(120), np.random.default_rng(0), attribute="sex", rounds=30)

    assert found.attribute == "sex"
    assert found.auc > 0.8
    assert found.p < 0.05
    assert found.patients == 120


def test_an_absent_attribute_is_not_read() -> None:
    p = [probe(*vectors(seed, 0.0), range(120), np.random.default_rng(seed), rounds=19).p for seed in range(12)]

    assert sum(one <= 0.05 for one in p) <= 2


def test_images_of_a_patient_never_help_to_recognise_the_same_patient() -> None:
    # Each patient has a look of its own that says nothing about the others.
    rng = np.random.default_rng(1)
    look = np.repeat(rng.normal(size=(40, 30)), 6, axis=0) * 3
    sex = np.repeat(rng.choice(["F", "M"], 40), 6)

    found = probe(
        look + rng.normal(size=look.shape) * 0.1, sex.tolist(), np.repeat(np.arange(40), 6).tolist(), rng, rounds=30
    )

    assert found.auc < 0.75
    assert found.p > 0.05


def test_several_values_are_each_told_from_the_others() -> None:
    rng = np.random.default_rng(2)
    site = rng.integers(0, 3, 150)
    features = rng.normal(size=(150, 10)) + 3 * np.eye(10)[site]

    found = probe(features, [f"site {n}" for n in site], range(150), rng, rounds=10)

    assert found.auc > 0.9


def test_unknown_values_and_rare_ones_are_left_out_with_a_reason() -> None:
    features, sex = vectors(3, 1.0, n=30)
    values = [None if at < 5 else ("F" if at < 12 else "M") for at in range(30)]

    found = probe(features, values, range(30), np.random.default_rng(0), rounds=5)

    assert (found.auc, found.p) == (None, None)
    assert found.reason == "fewer than two values with 10 patients"
    with pytest.raises(InputError, match="30 features, 29 values and 30 patients"):
        probe(features, sex[:29], range(30), np.random.default_rng(0))
