"""Two output folders side by side: a planted shift is named, and two draws of the same are not."""

from pathlib import Path

import numpy as np
import pytest

from diascope.errors import InputError
from diascope.evaluation.drift_tables import compare_folders, drift_table
from tests.evaluation.batches import write_batch


def test_what_was_planted_has_moved_and_nothing_else(tmp_path: Path) -> None:
    found = compare_folders(
        write_batch(tmp_path / "a", 0), write_batch(tmp_path / "b", 1, shifted=True), np.random.default_rng(0)
    )

    moved = {one.name for one in found if one.has_moved}
    assert moved == {
        "manufacturer",
        "net: features of bottleneck",
        *(f"net: grey value {name}" for name in ("mean", "sd", "p01", "p05", "p25", "p50", "p75", "p95", "p99")),
    }
    assert found[0].has_moved
    assert not found[-1].has_moved
    words = {one.name: one.words for one in found}
    assert words["manufacturer"].startswith("manufacturer: ")
    assert "is 0 %" not in words["manufacturer"]


def test_two_batches_of_the_same_have_not_moved(tmp_path: Path) -> None:
    alarms = 0
    for seed in range(12):
        one, other = (write_batch(tmp_path / f"{seed}{side}", 2 * seed + side, 40) for side in (0, 1))
        alarms += any(column.has_moved for column in compare_folders(one, other, np.random.default_rng(seed)))

    assert alarms <= 2  # of twelve at a level of 5 %


def test_what_is_the_same_everywhere_is_no_column(tmp_path: Path) -> None:
    out = write_batch(tmp_path / "a", 0, 12)

    names = {one.name for one in compare_folders(out, out, np.random.default_rng(0))}

    assert "modality" not in names
    assert "spacing_i_mm" not in names
    assert {"age_years", "confidence", "net: volume of tumour"} <= names


def test_a_patient_who_came_twice_counts_once(tmp_path: Path) -> None:
    table = drift_table(write_batch(tmp_path / "a", 0, 20, twice=20))
    (vectors, people) = table.features["net: features of bottleneck"]

    assert (len(table.columns), len(set(table.patients))) == (40, 20)
    assert (len(vectors), len(set(people))) == (40, 20)


def test_a_folder_of_few_patients_is_refused_with_their_number(tmp_path: Path) -> None:
    one, other = write_batch(tmp_path / "a", 0, 30), write_batch(tmp_path / "b", 1, 9, twice=9)

    with pytest.raises(InputError, match="9 patients with results are too few"):
        compare_folders(one, other, np.random.default_rng(0))
