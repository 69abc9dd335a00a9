"""Many label scores as few numbers: nothing dropped, patients as a whole."""

import numpy as np
import pytest

from diascope.errors import InputError
from diascope.evaluation.segmentation import LabelScore, compare_objects
from diascope.evaluation.segmentation_summary import summarise_labels
from diascope.geometry import Grid, IndexGrid, Space

SHAPE = (6, 7, 5)
GRID = Grid(SHAPE, np.diag([2.0, 1.0, 0.5, 1.0]))


def score(predicted: int, truth: int, space: Space = GRID) -> LabelScore:
    """Two rods that begin together, of so many voxels."""
    maps = []
    for length in (predicted, truth):
        inside = np.zeros(SHAPE, dtype=bool)
        inside[2, :length, 2] = True
        maps.append(inside)
    return compare_objects(maps[0], maps[1], space, label="rod")


def summary_of(scores: list[LabelScore]):
    return summarise_labels(scores, list(range(len(scores))), np.random.default_rng(0), rounds=200)["rod"]


def test_missed_and_invented_cases_count_as_zero_and_absent_ones_are_only_counted() -> None:
    found = summary_of([score(4, 4), score(0, 4), score(3, 0), score(0, 0), score(2, 6), score(5, 5)])

    assert found.counts == {"found": 3, "missed": 1, "false_alarm": 1, "absent": 1}
    assert found.metrics["dice_mean"].value == pytest.approx((1 + 0 + 0 + 0.5 + 1) / 5)
    assert found.metrics["dice_mean"].n == 5
    assert found.metrics["miss_rate"].value == pytest.approx(1 / 4)
    assert found.metrics["false_alarm_rate"].value == pytest.approx(1 / 2)
    assert found.metrics["volume_error_mean"].value == pytest.approx((0 - 4 + 3 + 0 - 4 + 0) / 6)
    assert found.metrics["relative_volume_error_median"].value == pytest.approx((0 + -4 / 6) / 2)


def test_a_distance_where_most_were_missed_is_the_diagonal_not_the_best_case() -> None:
    found = summary_of([score(4, 4)] + [score(0, 4)] * 6)

    assert found.metrics["hd95_median"].value == pytest.approx(np.sqrt(12**2 + 7**2 + 2.5**2))


def test_where_nothing_is_to_be_found_the_miss_rate_has_a_reason_not_a_number() -> None:
    found = summary_of([score(0, 0), score(2, 0)])

    assert found.metrics["miss_rate"].value is None
    assert found.metrics["miss_rate"].reason == "nothing to find in any image"


def test_millimetres_and_voxels_are_never_averaged() -> None:
    found = summary_of([score(3, 4), score(3, 4, IndexGrid(SHAPE))])

    assert found.distance_unit == "mixed"
    assert found.metrics["hd95_median"].value is None
    assert "mm and in voxels" in found.metrics["hd95_median"].reason
    assert found.metrics["dice_mean"].value == pytest.approx(6 / 7)


def test_labels_have_a_summary_each_and_images_of_a_patient_stay_together() -> None:
    scores = [score(4, 4), score(2, 4)] * 5
    patients = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "i"]

    found = summarise_labels(scores, patients, np.random.default_rng(0), rounds=200)

    assert list(found) == ["rod"]
    assert found["rod"].metrics["dice_mean"].low is not None


def test_scores_and_patients_must_be_as_many() -> None:
    with pytest.raises(InputError, match="1 scores for 2 patients"):
        summarise_labels([score(1, 1)], ["a", "b"], np.random.default_rng(0))
