from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from diascope.errors import BundleError, InputError
from diascope.evaluation.out_of_distribution import (
    REFERENCE,
    ReferenceFeatures,
    Yardstick,
    read_reference,
    score_batch,
    write_reference,
)


def usual(n: int, seed: int, d: int = 40) -> NDArray[np.float32]:
    """Features of n patients: ten factors behind d correlated numbers, of very different scale."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(10, d)) * np.logspace(-2, 2, d)
    return (rng.normal(size=(n, 10)) @ mixing).astype(np.float32)


def reference(n: int = 60, seed: int = 0) -> ReferenceFeatures:
    return ReferenceFeatures(usual(n, seed), np.arange(n), "bottleneck")


def test_about_one_in_twenty_usual_patients_lies_beyond_the_border() -> None:
    beyond = []
    for seed in range(10):
        yardstick = Yardstick(reference(seed=seed))
        beyond += [yardstick.score(row) > 1 for row in usual(100, seed=1000 + seed)]

    # 1,000 new patients against ten references of 60: the promise is 5 %, its spread between references about 3.
    assert 0.02 < np.mean(beyond) < 0.08


def test_what_was_never_seen_lies_far_beyond() -> None:
    yardstick = Yardstick(reference())
    shifted = usual(50, seed=7) + 4 * usual(60, seed=0).std(axis=0)

    assert min(yardstick.score(row) for row in shifted) > 1.3


def test_a_feature_that_never_moved_is_seen_when_it_does() -> None:
    known = usual(60, seed=0)
    known[:, 5] = 0.25
    odd = known[3].copy()
    odd[5] += 10 * float(np.median(known.std(axis=0)))

    yardstick = Yardstick(ReferenceFeatures(known, np.arange(60), "bottleneck"))

    assert yardstick.score(known[3]) < 1
    assert yardstick.score(odd) > 2


def test_many_images_of_one_patient_do_not_make_each_other_usual() -> None:
    # Each patient's five images are copies: left out row by row every distance would be 0.
    known = np.repeat(usual(30, seed=0), 5, axis=0)
    yardstick = Yardstick(ReferenceFeatures(known, np.repeat(np.arange(30), 5), "bottleneck"))

    assert np.mean([yardstick.score(row) > 1 for row in usual(60, seed=5)]) < 0.2


def test_features_of_another_layer_are_refused() -> None:
    with pytest.raises(InputError, match="7 features, the reference has 40"):
        Yardstick(reference()).score(np.zeros(7, dtype=np.float32))


@pytest.mark.parametrize(
    ("features", "patient", "message"),
    [
        (usual(9, 0), np.arange(9), "9 patients are too few"),
        (usual(30, 0), np.zeros(30, dtype=np.int64), "1 patients are too few"),
        (np.full((30, 4), np.nan, dtype=np.float32), np.arange(30), "must be finite"),
        (usual(30, 0), np.arange(29), "need as many patients"),
    ],
)
def test_a_reference_that_says_nothing_is_refused(
    features: NDArray[np.float32], patient: NDArray[np.int64], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ReferenceFeatures(features, patient, "bottleneck")


def test_a_reference_comes_back_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    assert read_reference(tmp_path) is None
    was = reference(20)

    write_reference(tmp_path / REFERENCE, was)
    found = read_reference(tmp_path)

    assert found is not None
    assert found.layer == "bottleneck"
    np.testing.assert_array_equal(found.features, was.features)
    np.testing.assert_array_equal(found.patient, was.patient)


def test_a_broken_reference_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / REFERENCE).write_bytes(b"not a tensor")

    with pytest.raises(BundleError, match=r"reference_features\.safetensors cannot be used"):
        read_reference(tmp_path)


def test_the_odd_one_out_of_a_batch_is_found_and_nobody_else() -> None:
    batch = usual(40, seed=2).astype(np.float64)
    batch[17] += 5 * batch.std(axis=0)
    patients = [f"p{n}" for n in range(40)]

    found = score_batch(batch, patients)

    assert found is not None
    assert np.flatnonzero(found > 1).tolist() == [17]


def test_a_batch_without_an_odd_one_has_hardly_any() -> None:
    flagged = [np.mean(score_batch(usual(30, seed=seed).astype(np.float64), list(range(30))) > 1) for seed in range(40)]

    assert np.mean(flagged) < 0.02


def test_a_patient_s_own_images_do_not_hide_that_he_is_odd() -> None:
    batch = np.concatenate([usual(30, seed=2), usual(30, seed=2)[:1].repeat(4, axis=0) + 300.0]).astype(np.float64)
    patients = [*range(30), *[99] * 4]

    found = score_batch(batch, patients)

    assert found is not None
    assert (found[30:] > 1).all()


def test_a_batch_of_few_patients_is_not_scored() -> None:
    assert score_batch(usual(30, seed=0).astype(np.float64), ["one"] * 25 + ["two"] * 5) is None
