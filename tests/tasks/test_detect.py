"""Boxes of slices become findings, with places and sizes known by construction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diascope.bundles.find import BundleInfo, DiascopeBlock
from diascope.geometry import Grid, IndexGrid
from diascope.imaging.resample import GridOfLogits
from diascope.tasks.detect import Detection, detect, join_slices, overlap_of, slice_boxes, without_nested

SHAPE = (40, 50, 9)


def bundle(min_score: float = 0.5) -> BundleInfo:
    block = DiascopeBlock.model_validate(
        {
            "task": "detect",
            "needs": "index",
            "labels": {"1": "tumour", "2": "cyst"},
            "licence": "Apache-2.0",
            "min_score": min_score,
        }
    )
    return BundleInfo("tiny", Path(), "1.0.0", "", block)


def output(*boxes: tuple[int, float, int, tuple[float, ...]], slices: int = SHAPE[2]) -> np.ndarray:
    """An output with the given boxes: slice, score, label, (i0, j0, i1, j1)."""
    made = np.zeros((6, 4, 1, slices), np.float32)
    taken = dict.fromkeys(range(slices), 0)
    for at, score, label, edges in boxes:
        made[:, taken[at], 0, at] = (score, label, *edges)
        taken[at] += 1
    return made


def seen(*boxes: tuple[int, float, int, tuple[float, ...]]) -> GridOfLogits:
    return GridOfLogits(output(*boxes), np.eye(4))


def test_boxes_are_listed_by_slice_and_score_and_padding_is_none() -> None:
    boxes = slice_boxes(output((3, 0.4, 1, (2, 3, 6, 9)), (3, 0.9, 2, (1, 1, 4, 4)), (1, 0.2, 1, (0, 0, 5, 5))))

    assert [(one.slice_at, one.label, round(one.score, 2)) for one in boxes] == [(1, 1, 0.2), (3, 2, 0.9), (3, 1, 0.4)]
    assert boxes[1].low_ij == (1, 1)
    assert boxes[1].high_ij == (4, 4)


def test_boxes_that_overlap_in_neighbouring_slices_are_one_lesion_and_others_are_not() -> None:
    one = Detection(1, 0.9, 2, (10, 10), (20, 20))
    above = replace(one, slice_at=3, low_ij=(12, 10), high_ij=(22, 20))
    elsewhere = replace(one, slice_at=3, low_ij=(30, 30), high_ij=(38, 40))
    of_other_kind = replace(one, slice_at=3, label=2)

    chains = join_slices([one, above, elsewhere, of_other_kind])

    assert sorted(len(chain) for chain in chains) == [1, 1, 2]
    assert (one, above) in chains
    assert overlap_of(one, above) == pytest.approx(80 / 120)


def test_a_box_within_a_larger_one_of_its_slice_is_the_same_lesion_with_the_higher_score() -> None:
    large = Detection(1, 0.6, 2, (10, 10), (30, 30))
    inner = replace(large, score=0.9, low_ij=(12, 12), high_ij=(20, 20))
    beside = replace(large, score=0.8, low_ij=(25, 10), high_ij=(45, 30))
    elsewhere = replace(inner, slice_at=3)
    of_other_kind = replace(inner, label=2)

    kept = without_nested([inner, beside, large, elsewhere, of_other_kind])

    assert set(kept) == {replace(large, score=0.9), beside, elsewhere, of_other_kind}


def test_one_slice_without_a_box_does_not_make_two_lesions_and_two_do() -> None:
    one = Detection(1, 0.9, 2, (10, 10), (20, 20))

    assert len(join_slices([one, replace(one, slice_at=4)])) == 1
    assert len(join_slices([one, replace(one, slice_at=5)])) == 2


def test_a_finding_has_the_highest_score_of_its_slices_and_the_box_of_all() -> None:
    found = detect(
        seen((4, 0.6, 1, (10, 20, 18, 32)), (5, 0.8, 1, (12, 20, 20, 30)), (6, 0.3, 1, (12, 21, 20, 30))),
        IndexGrid(SHAPE),
        bundle(),
        "image",
    )

    (only,) = found
    assert (only.finding_id, only.label, only.image_id) == ("tiny-1", "tumour", "image")
    assert only.score == pytest.approx(0.8)
    assert only.box_ijk == ((10, 20, 4), (20, 32, 7))
    assert only.centre_ras_mm is None
    assert only.longest_diameter_mm is None
    assert only.volume_mm3 is None


def test_weak_lesions_are_left_out_by_the_bundles_own_limit_and_the_strongest_comes_first() -> None:
    boxes = ((2, 0.4, 1, (4, 4, 8, 8)), (2, 0.6, 2, (20, 20, 30, 30)), (6, 0.9, 1, (10, 10, 15, 15)))

    assert [one.label for one in detect(seen(*boxes), IndexGrid(SHAPE), bundle(0.5), "image")] == ["tumour", "cyst"]
    assert len(detect(seen(*boxes), IndexGrid(SHAPE), bundle(0.3), "image")) == 3
    assert detect(seen(*boxes), IndexGrid(SHAPE), bundle(0.95), "image") == ()


def test_diameters_are_those_of_the_ellipse_in_the_box_in_millimetres_of_the_grid() -> None:
    grid = Grid(SHAPE, np.diag([0.7, 0.8, 2.5, 1.0]))
    found = detect(
        GridOfLogits(output((4, 0.9, 1, (10, 12, 22, 42)), (5, 0.9, 1, (10, 12, 22, 42))), grid.affine),
        grid,
        bundle(),
        "image",
    )[0]

    assert found.longest_diameter_mm == pytest.approx(30 * 0.8, rel=0.05)
    assert found.perpendicular_diameter_mm == pytest.approx(12 * 0.7, rel=0.1)
    assert found.volume_mm3 == pytest.approx(np.pi / 4 * (12 * 0.7) * (30 * 0.8) * 5.0, rel=0.05)
    assert found.centre_ras_mm == pytest.approx((15.5 * 0.7, 26.5 * 0.8, 4.5 * 2.5))


def test_boxes_of_a_turned_and_halved_network_grid_come_back_to_the_sources_voxels() -> None:
    # The network saw the image mirrored in i, with voxels of twice the size in the plane.
    to_source = np.array([[-2.0, 0, 0, 38.5], [0, 2.0, 0, 0.5], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])
    grid = Grid(SHAPE, np.diag([0.7, 0.8, 2.5, 1.0]))

    found = detect(GridOfLogits(output((4, 0.9, 1, (5, 10, 9, 16))), grid.affine @ to_source), grid, bundle(), "image")[
        0
    ]

    # Edges 5..9 of mirrored double voxels are 40 - 18 .. 40 - 10 of the source's.
    assert found.box_ijk == ((22, 20, 4), (30, 32, 5))


def test_a_box_thinner_than_a_voxel_still_has_a_voxel() -> None:
    found = detect(seen((4, 0.9, 1, (10.2, 20.2, 10.9, 20.8))), IndexGrid(SHAPE), bundle(), "image")

    assert [one.box_ijk for one in found] == [((10, 20, 4), (11, 21, 5))]


def test_a_box_outside_the_image_is_no_finding() -> None:
    assert detect(seen((4, 0.9, 1, (60, 60, 70, 70))), IndexGrid(SHAPE), bundle(), "image") == ()


def test_a_finding_tells_the_box_of_every_slice_also_on_a_grid_that_runs_the_other_way() -> None:
    boxes = seen((2, 0.9, 1, (10, 10, 20, 22)), (3, 0.8, 1, (12, 10, 30, 22)))
    # The source's slices are its first axis, and run against the network's.
    turned = Grid((SHAPE[2], 50, 40), np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [-1.0, 0, 0, 8], [0, 0, 0, 1]]))

    (straight,) = detect(boxes, IndexGrid(SHAPE), bundle(), "img-1")
    (other,) = detect(boxes, turned, bundle(), "img-1")

    assert straight.slice_boxes_ijk == (((10, 10, 2), (20, 22, 3)), ((12, 10, 3), (30, 22, 4)))
    assert straight.box_ijk == ((10, 10, 2), (30, 22, 4))
    assert other.slice_boxes_ijk == (((5, 10, 12), (6, 22, 30)), ((6, 10, 10), (7, 22, 20)))
