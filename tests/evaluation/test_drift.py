"""Drift: what was planted is found by its name, and a null is not."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from diascope.errors import InputError
from diascope.evaluation.drift import (
    drift,
    drift_of_vectors,
    mmd,
    one_row_per_patient,
    psi_of_numbers,
    with_holm,
)


def batch(seed: int, n: int = 400, *, brighter: float = 0.0, new_scanner: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    scanner = np.where(rng.random(n) < new_scanner, "NEW", rng.choice(["A", "B"], n))
    return pd.DataFrame(
        {"intensity": rng.normal(brighter, 1, n), "confidence": rng.beta(5, 2, n), "manufacturer": scanner}
    )


def moved(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    return [each.name for each in drift(one, other, np.random.default_rng(0)) if each.has_moved]


def test_a_brighter_batch_is_found_and_nothing_else() -> None:
    assert moved(batch(0), batch(1, brighter=0.8)) == ["intensity"]


def test_a_new_scanner_is_found_and_named() -> None:
    found = {one.name: one for one in drift(batch(0), batch(1, new_scanner=0.4), np.random.default_rng(0))}

    assert found["manufacturer"].has_moved
    assert found["manufacturer"].words.startswith("manufacturer: NEW was 0 % and is 4")
    assert not found["confidence"].has_moved


def test_a_null_is_found_to_have_moved_in_at_most_one_of_20_batches() -> None:
    alarms = sum(bool(moved(batch(seed), batch(seed + 1000))) for seed in range(40))

    assert alarms <= 2


def test_a_tiny_shift_in_a_huge_batch_is_beyond_chance_but_does_not_matter() -> None:
    (found, *_) = drift(batch(0, 40000), batch(1, 40000, brighter=0.05), np.random.default_rng(0))

    assert found.p_holm < 0.001
    assert found.psi < 0.1
    assert not found.has_moved


def test_values_that_vanish_are_drift() -> None:
    other = batch(1)
    other.loc[:200, "intensity"] = np.nan

    found = next(one for one in drift(batch(0), other, np.random.default_rng(0)) if one.name == "intensity")

    assert found.psi > 0.25


def test_the_index_is_the_textbook_s_sum() -> None:
    before = np.repeat(np.arange(10.0), 100)
    after = np.repeat(np.arange(10.0), [200, 0, *[100] * 8])

    p, q = np.full(10, 100.5), np.array([200.5, 0.5, *[100.5] * 8])
    p, q = p / p.sum(), q / q.sum()
    assert psi_of_numbers(before, after) == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
    assert psi_of_numbers(before, before) == 0.0


def test_vectors_that_differ_in_no_single_column_are_found() -> None:
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(200, 2))
    line = np.repeat(rng.normal(size=(200, 1)), 2, axis=1)

    assert drift_of_vectors(cloud, line, rng).has_moved


def test_the_discrepancy_is_that_of_the_double_sum() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(7, 3)), rng.normal(1, 1, size=(5, 3))
    every = np.concatenate([one, other])
    every = (every - every.mean(axis=0)) / every.std(axis=0)
    squared = ((every[:, None] - every[None]) ** 2).sum(axis=2)
    kernel = np.exp(-squared / np.median(squared[np.triu_indices(12, 1)]))
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    expected = sum(kernel[i, j] / 42 for i, j in pairs if i < 7 and j < 7)
    expected += sum(kernel[i, j] / 20 for i, j in pairs if i >= 7 and j >= 7)
    expected -= 2 * sum(kernel[i, j] / 35 for i, j in pairs if i < 7 <= j)

    assert mmd(one, other, rng)[0] == pytest.approx(expected)


def test_a_null_of_vectors_is_called_drift_as_often_as_alpha_says() -> None:
    rng = np.random.default_rng(2)
    alarms = sum(mmd(rng.normal(size=(30, 4)), rng.normal(size=(40, 4)), rng, 100)[1] < 0.05 for _ in range(120))

    assert stats.binomtest(alarms, 120, 0.05, alternative="greater").pvalue > 0.001


def test_vectors_and_columns_are_corrected_together() -> None:
    rng = np.random.default_rng(0)
    vectors = drift_of_vectors(rng.normal(size=(50, 3)), rng.normal(size=(50, 3)), rng)

    found = with_holm([*drift(batch(0), batch(1), rng), vectors])

    assert [one.name for one in found][-1] == "features"
    assert all(one.p_holm >= one.p for one in found)


def test_one_row_of_each_patient_is_kept() -> None:
    kept = one_row_per_patient(pd.DataFrame({"x": [1, 2, 3]}), ["a", "a", "b"], np.random.default_rng(0))

    assert len(kept) == 2
    assert 3 in kept["x"].tolist()


def test_tables_that_share_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="0 shared columns"):
        drift(pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), np.random.default_rng(0))
    with pytest.raises(InputError, match="two rows on each side, got 1 and 5"):
        mmd(np.zeros((1, 2)), np.zeros((5, 2)), np.random.default_rng(0))
