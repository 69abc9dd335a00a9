import numpy as np
import pytest

from diascope.errors import GridMismatch, InputError
from diascope.evaluation.localisation import localisation


def truth() -> np.ndarray:
    lesion = np.zeros((6, 8, 5), dtype=bool)
    lesion[1:3, 2:6, 1:3] = True  # 16 of 240 voxels
    return lesion


def test_a_map_that_is_the_truth_gets_everything_right() -> None:
    found = localisation(truth().astype(np.float32), truth())

    assert found.hit
    assert found.iou_at_otsu == 1
    assert found.energy_inside == 1
    assert found.auprc == 1
    assert found.prevalence == pytest.approx(16 / 240)


def test_a_map_that_overlaps_by_half_is_half_inside() -> None:
    heat = np.zeros((6, 8, 5), dtype=np.float32)
    heat[1:3, 4:8, 1:3] = 2  # 8 voxels inside, 8 outside
    heat[1, 4, 1] = 3

    found = localisation(heat, truth())

    assert found.hit
    assert found.iou_at_otsu == pytest.approx(8 / 24)
    assert found.energy_inside == pytest.approx(17 / 33)


def test_a_level_top_is_as_high_in_its_middle() -> None:
    heat = np.zeros((6, 8, 5), dtype=np.float32)
    heat[1, 1:6, 1] = 2  # its first voxel lies outside of the truth, its middle inside

    assert localisation(heat, truth()).hit


def test_a_map_beside_the_lesion_misses() -> None:
    heat = np.zeros((6, 8, 5), dtype=np.float32)
    heat[5, 7, 4] = 1

    found = localisation(heat, truth())

    assert not found.hit
    assert found.iou_at_otsu == 0
    assert found.energy_inside == 0
    assert found.auprc < 0.1


def test_a_map_without_positive_evidence_hits_nothing() -> None:
    heat = np.full((6, 8, 5), -1.0, dtype=np.float32)
    heat[1, 2, 1] = -0.5

    found = localisation(heat, truth())

    assert not found.hit
    assert found.iou_at_otsu == 0
    assert found.energy_inside == 0


def test_a_healthy_case_has_nothing_to_hit() -> None:
    with pytest.raises(InputError, match="truth is empty"):
        localisation(np.ones((6, 8, 5), dtype=np.float32), np.zeros((6, 8, 5), dtype=bool))


def test_a_truth_on_other_voxels_is_refused() -> None:
    with pytest.raises(GridMismatch, match=r"\(6, 8, 4\) voxels, the truth \(6, 8, 5\)"):
        localisation(np.ones((6, 8, 4), dtype=np.float32), truth())
