"""Label scores: what is there, what was missed, what was invented."""

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric
from numpy.typing import NDArray
from scipy import ndimage

from diascope.errors import GridMismatch, InputError
from diascope.evaluation.segmentation import compare_masks, compare_objects, dice
from diascope.geometry import Grid, IndexGrid, PixelGrid
from diascope.volume import Mask

SHAPE = (9, 11, 7)
GRID = Grid(SHAPE, np.diag([0.7, 0.8, 2.5, 1.0]))
DIAGONAL_MM = float(np.sqrt((9 * 0.7) ** 2 + (11 * 0.8) ** 2 + (7 * 2.5) ** 2))


def empty() -> NDArray[np.bool_]:
    return np.zeros(SHAPE, dtype=bool)


def block(at: tuple[int, int, int], size: tuple[int, int, int]) -> NDArray[np.bool_]:
    inside = empty()
    inside[tuple(slice(a, a + s) for a, s in zip(at, size, strict=True))] = True
    return inside


def label_map(**values: tuple[int, NDArray[np.bool_]]) -> Mask:
    data = np.zeros(SHAPE, dtype=np.uint8)
    for value, inside in values.values():
        data[inside] = value
    return Mask(data, GRID, {value: name for name, (value, _) in values.items()})


def test_a_perfect_map_has_dice_and_surface_dice_one_and_no_distance() -> None:
    truth = block((1, 2, 1), (4, 5, 3))

    score = compare_objects(truth, truth, GRID)

    assert (score.outcome, score.dice, score.nsd, score.hd95) == ("found", 1.0, 1.0, 0.0)
    assert score.truth_volume == pytest.approx(4 * 5 * 3 * 0.7 * 0.8 * 2.5)
    assert (score.volume_error, score.lesions, score.lesions_missed, score.false_lesions) == (0.0, 1, 0, 0)


def test_a_missed_structure_counts_as_nothing_found_and_as_far_as_the_image_is_wide() -> None:
    score = compare_objects(empty(), block((1, 1, 1), (3, 3, 2)), GRID)

    assert (score.outcome, score.dice, score.nsd) == ("missed", 0.0, 0.0)
    assert score.hd95 == pytest.approx(DIAGONAL_MM)
    assert (score.lesions, score.lesions_missed) == (1, 1)


def test_an_invented_structure_is_a_false_alarm_with_dice_zero() -> None:
    score = compare_objects(block((1, 1, 1), (3, 3, 2)), empty(), GRID)

    assert (score.outcome, score.dice, score.nsd, score.false_lesions) == ("false_alarm", 0.0, 0.0, 1)
    assert score.hd95 == pytest.approx(DIAGONAL_MM)
    assert score.relative_volume_error is None


def test_what_is_rightly_absent_has_no_dice_and_is_counted() -> None:
    score = compare_objects(empty(), empty(), GRID)

    assert (score.outcome, score.dice, score.nsd, score.hd95, score.volume_error) == ("absent", None, None, None, 0.0)


def test_a_mark_beside_the_structure_misses_it_but_keeps_its_real_distance() -> None:
    score = compare_objects(block((0, 0, 0), (2, 2, 2)), block((0, 0, 4), (2, 2, 2)), GRID)

    assert (score.outcome, score.dice) == ("missed", 0.0)
    assert score.hd95 == pytest.approx(4 * 2.5)
    assert (score.lesions_missed, score.false_lesions) == (1, 1)


def test_each_lesion_is_found_or_missed_on_its_own_and_corners_touch() -> None:
    # Two voxels that touch at a corner are one lesion; the third block is another.
    truth = block((0, 0, 0), (1, 1, 1)) | block((1, 1, 1), (1, 1, 1)) | block((5, 6, 3), (3, 3, 3))
    predicted = block((1, 1, 1), (1, 1, 1)) | block((0, 9, 6), (2, 2, 1))

    score = compare_objects(predicted, truth, GRID)

    assert score.lesion_volumes == pytest.approx((2 * 1.4, 27 * 1.4))
    assert score.lesion_found == (True, False)
    assert (score.lesions, score.lesions_missed, score.false_lesions) == (2, 1, 1)


def test_off_a_grid_sizes_and_distances_are_in_voxels() -> None:
    truth, predicted = block((1, 1, 1), (3, 3, 3)), block((1, 1, 2), (3, 3, 3))

    for space in (IndexGrid(SHAPE), PixelGrid(SHAPE, (0.14, 0.14), "detector")):
        score = compare_objects(predicted, truth, space)

        assert (score.distance_unit, score.volume_unit) == ("voxel", "voxel")
        assert (score.truth_volume, score.hd95) == (27.0, 1.0)


def test_labels_are_paired_by_name_not_by_number() -> None:
    left, right = block((0, 1, 1), (3, 4, 3)), block((5, 1, 1), (3, 4, 3))
    predicted = label_map(left=(1, left), right=(2, right))
    truth = label_map(right=(1, right), left=(2, left), never_asked=(5, block((4, 0, 0), (1, 1, 1))))

    scores = compare_masks(predicted, truth)

    assert [(score.label, score.dice) for score in scores] == [("right", 1.0), ("left", 1.0)]


def test_several_predicted_labels_may_together_answer_one_true_label() -> None:
    head, tail = block((0, 1, 1), (3, 4, 3)), block((3, 1, 1), (3, 4, 3))
    predicted = label_map(anterior=(1, head), posterior=(2, tail))
    truth = label_map(hippocampus=(1, head | tail))

    (score,) = compare_masks(
        predicted, truth, same_label={"anterior": "hippocampus", "posterior": "hippocampus"}, tolerance=1.0
    )

    assert (score.label, score.dice, score.tolerance) == ("hippocampus", 1.0, 1.0)


def test_maps_without_a_common_label_are_refused_with_both_lists() -> None:
    one, other = label_map(tumour=(1, empty())), label_map(glioma=(1, empty()))

    with pytest.raises(InputError, match=r"predicted are \['tumour'\], true are \['glioma'\]"):
        compare_masks(one, other)


def test_maps_on_other_voxels_are_refused() -> None:
    here = label_map(tumour=(1, block((1, 1, 1), (2, 2, 2))))
    moved = Mask(
        here.data,
        Grid(SHAPE, GRID.affine @ np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])),
        here.labels,
    )

    with pytest.raises(GridMismatch, match=r"0\.700 mm apart"):
        compare_masks(moved, here)


@pytest.mark.parametrize("seed", range(5))
def test_dice_agrees_with_monai_on_random_maps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.random(SHAPE) < 0.3, rng.random(SHAPE) < 0.4

    theirs = DiceMetric()(torch.from_numpy(one[None, None]).float(), torch.from_numpy(other[None, None]).float())

    assert dice(one, other) == pytest.approx(theirs.item(), abs=1e-6)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI calls its own old argument
def test_missed_structures_do_not_vanish_from_the_distance_as_they_do_in_monai() -> None:
    # The trap: MONAI drops the misses and reports the one small error alone.
    truth = block((2, 2, 1), (3, 4, 3))
    maps = [(block((2, 2, 2), (3, 4, 3)), truth), (empty(), truth), (empty(), truth)]
    theirs = HausdorffDistanceMetric(percentile=95)
    with pytest.warns(UserWarning, match="all 0"):
        theirs(*(torch.from_numpy(np.stack(side)[:, None]).float() for side in zip(*maps, strict=True)))

    ours = [compare_objects(predicted, true, IndexGrid(SHAPE)).hd95 for predicted, true in maps]

    assert theirs.aggregate().item() == 1.0
    assert ours == pytest.approx([1.0, np.sqrt(81 + 121 + 49), np.sqrt(81 + 121 + 49)])


def test_an_invented_structure_counts_where_monai_s_dice_leaves_it_out() -> None:
    # The trap: with its default, MONAI drops a false alarm as not a number and averages what is left.
    truth, drawn = block((2, 2, 1), (3, 4, 3)), block((1, 1, 1), (2, 2, 2))
    theirs = DiceMetric(ignore_empty=True)
    theirs(*(torch.from_numpy(np.stack(side)[:, None]).float() for side in ((truth, drawn), (truth, empty()))))

    ours = [compare_objects(predicted, true, GRID).dice for predicted, true in ((truth, truth), (drawn, empty()))]

    assert theirs.aggregate().item() == 1.0
    assert ours == [1.0, 0.0]


@pytest.mark.parametrize("seed", range(3))
def test_a_label_far_from_the_others_is_scored_as_if_the_image_were_not_cropped(seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(9, 11, 7)), 1.0)
    truth, predicted = np.zeros((30, 40, 20), dtype=bool), np.zeros((30, 40, 20), dtype=bool)
    truth[15:24, 25:36, 9:16] = noise > 0.1
    predicted[16:25, 24:35, 9:16] = noise > 0.12
    space = Grid((30, 40, 20), np.diag([0.7, 0.8, 2.5, 1.0]))

    whole = compare_objects(predicted, truth, space, tolerance=1.0)
    window = (slice(10, 28), slice(20, 39), slice(5, 20))
    alone = compare_objects(
        predicted[window], truth[window], Grid((18, 19, 15), np.diag([0.7, 0.8, 2.5, 1.0])), tolerance=1.0
    )

    assert whole == alone
