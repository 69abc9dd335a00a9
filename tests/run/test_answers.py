"""Each network's output becomes answers by its own task, with numbers about all of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diascope.bundles.find import BundleInfo, DiascopeBlock
from diascope.findings import ImageFacts, Prediction
from diascope.geometry import Grid, IndexGrid, Space
from diascope.imaging.resample import GridOfLogits
from diascope.run.answers import Said, answers_of
from diascope.run.record import in_words
from diascope.volume import Volume

SHAPE = (20, 24, 5)
GRID = Grid(SHAPE, np.diag([0.7, 0.8, 2.5, 1.0]))


def said(folder: Path, task: str, data: np.ndarray, space: Space, image_id: str = "image") -> Said:
    block = DiascopeBlock.model_validate(
        {"task": task, "needs": "index", "labels": {"1": "tumour"}, "licence": "Apache-2.0", "min_score": 0.5}
    )
    bundle = BundleInfo(f"tiny_{task}", folder, "1.0.0", "", block, "0" * 64)
    affine = space.affine if isinstance(space, Grid) else np.eye(4)
    volume = Volume(np.zeros(SHAPE, np.float32), space, ImageFacts(), image_id)
    return Said(bundle, volume, GridOfLogits(data.astype(np.float32), affine), f"tiny_{task}.seg.nii.gz")


def slices() -> np.ndarray:
    """A tumour with odds 1, 1, 9, 3 and 1 in the five slices."""
    return np.stack([np.zeros(5), np.log([1, 1, 9, 3, 1])])[:, None, None, :]


def boxes() -> np.ndarray:
    found = np.zeros((6, 3, 1, 5))
    found[:, 0, 0, 2] = (0.9, 1, 4, 6, 12, 16)
    found[:, 0, 0, 3] = (0.7, 1, 4, 6, 12, 16)
    return found


def outline() -> np.ndarray:
    drawn = np.zeros((2, *SHAPE))
    drawn[1] = -5
    drawn[1, 3:6, 4:8, 1:3] = 5
    return drawn


def test_three_networks_give_a_label_map_findings_and_predictions(tmp_path: Path) -> None:
    found = answers_of(
        [
            said(tmp_path, "segment", outline(), GRID),
            said(tmp_path, "classify", slices(), GRID),
            said(tmp_path, "detect", boxes(), GRID),
        ]
    )

    assert [one.bundle for one in found.segmentations or ()] == ["tiny_segment"]
    assert int(found.masks["tiny_segment.seg.nii.gz"].data.sum()) == 3 * 4 * 2
    assert [one.finding_id for one in found.findings or ()] == ["tiny_detect-1"]
    assert [one.slice_k for one in found.predictions or ()] == [None, 0, 1, 2, 3, 4]
    numbers = {(one.bundle, one.subject, one.quantity): (one.value, one.unit) for one in found.measurements}
    assert numbers["tiny_classify", "tumour", "score"] == (pytest.approx(0.9), "1")
    assert numbers["tiny_classify", "tumour", "highest_slice"] == (2.0, "slice_k")
    assert numbers["tiny_detect", "tiny_detect-1", "score"] == (pytest.approx(0.9), "1")
    assert numbers["tiny_detect", "tiny_detect-1", "longest_diameter"][1] == "mm"
    assert numbers["tiny_segment", "tumour", "volume"] == (pytest.approx(24 * 0.7 * 0.8 * 2.5), "mm3")


def test_what_nobody_asked_is_none_and_what_was_not_found_is_empty(tmp_path: Path) -> None:
    found = answers_of([said(tmp_path, "detect", np.zeros((6, 3, 1, 5)), GRID)])

    assert found.segmentations is None
    assert found.predictions is None
    assert found.findings == ()


def test_off_a_grid_a_finding_has_voxels_and_no_millimetres(tmp_path: Path) -> None:
    found = answers_of([said(tmp_path, "detect", boxes(), IndexGrid(SHAPE))])

    assert {one.quantity for one in found.measurements} == {"score", "size"}
    assert {one.unit for one in found.measurements} == {"1", "voxel"}


def test_findings_are_numbered_through_the_case_over_all_images_and_parts(tmp_path: Path) -> None:
    two = boxes()
    two[:, 1, 0, 0] = (0.6, 1, 10, 12, 17, 20)
    outputs = [
        said(tmp_path, "detect", two, GRID, "left"),
        said(tmp_path, "classify", slices(), GRID, "left"),
        said(tmp_path, "detect", np.zeros((6, 3, 1, 5)), GRID, "empty"),
        said(tmp_path, "detect", boxes(), GRID, "right"),
        said(tmp_path, "detect", two, GRID, "right"),  # another part of the same image
    ]

    found = answers_of(outputs)

    assert [(one.finding_id, one.image_id, one.score) for one in found.findings or ()] == [
        ("tiny_detect-1", "left", pytest.approx(0.9)),
        ("tiny_detect-2", "left", pytest.approx(0.6)),
        ("tiny_detect-3", "right", pytest.approx(0.9)),
        ("tiny_detect-4", "right", pytest.approx(0.9)),
        ("tiny_detect-5", "right", pytest.approx(0.6)),
    ]
    assert [list(ids.items()) for ids in found.finding_ids] == [
        [("tiny_detect-1", "tiny_detect-1"), ("tiny_detect-2", "tiny_detect-2")],
        [],
        [],
        [("tiny_detect-1", "tiny_detect-3")],
        [("tiny_detect-1", "tiny_detect-4"), ("tiny_detect-2", "tiny_detect-5")],
    ]
    scores = {one.subject: one.value for one in found.measurements if one.quantity == "score"}
    assert scores["tiny_detect-5"] == pytest.approx(0.6)


def test_a_label_drawn_in_several_parts_has_one_agreement_that_of_its_least_certain_part(tmp_path: Path) -> None:
    one = said(tmp_path, "segment", outline(), GRID)

    found = answers_of([replace(one, agreement={1: alike}) for alike in (0.9, 0.6, 0.8)])

    assert [one.value for one in found.measurements if one.quantity == "agreement"] == [0.6]


def test_classes_of_several_parts_name_their_part(tmp_path: Path) -> None:
    one = said(tmp_path, "classify", slices(), GRID)

    found = answers_of([replace(one, part="left"), replace(one, part="right")])

    of_image = [each for each in found.predictions or () if each.slice_k is None]
    assert [each.part for each in of_image] == ["left", "right"]
    assert in_words(of_image) == "tumour (left), score 0.90; tumour (right), score 0.90"
    assert [each.subject for each in found.measurements if each.quantity == "score"] == [
        "tumour (left)",
        "tumour (right)",
    ]


def test_probabilities_are_kept_on_the_source_s_voxels_rounded_down_and_of_parts_the_highest(tmp_path: Path) -> None:
    weak, strong = np.full((2, *SHAPE), -9.0), np.zeros((2, *SHAPE))
    weak[0], strong[1] = 0.0, -9.0
    strong[1, 3, 4, 1] = np.log(0.3 / 0.7)
    parts = [replace(said(tmp_path, "segment", data, GRID), keeps_probabilities=True) for data in (weak, strong)]

    found = answers_of(parts)

    (drawn,) = found.segmentations or ()
    assert drawn.probabilities == (("tumour", "tiny_segment.probability.tumour.nii.gz"),)
    kept = found.kept["tiny_segment.probability.tumour.nii.gz"]
    assert (kept.data.dtype, kept.data.shape) == (np.uint8, SHAPE)
    assert kept.data[3, 4, 1] in {59, 60}  # 0.3 in two-hundredths, a rounding of float32 below
    assert np.count_nonzero(kept.data) == 1
    assert answers_of([said(tmp_path, "segment", weak, GRID)]).kept == {}


def test_a_detector_that_reports_nothing_is_as_sure_as_its_likeliest_candidate_is_none(tmp_path: Path) -> None:
    below = boxes()
    below[0] *= 0.2

    assert answers_of([said(tmp_path, "detect", below, GRID)]).confidence == pytest.approx(1 - 0.18)
    assert answers_of([said(tmp_path, "detect", np.zeros((6, 3, 1, 5)), GRID)]).confidence_kind == "none"


def test_a_speck_between_the_source_s_voxels_is_nothing_drawn_and_the_confidence_is_about_nothing(
    tmp_path: Path,
) -> None:
    fine = np.zeros((2, 40, 48, 10))
    fine[1] = -3.0
    fine[1, 7, 9, 3] = 0.1  # drawn on the network's grid of half the step, and lost on the source's
    one = said(tmp_path, "segment", fine, GRID)
    one = replace(one, seen=GridOfLogits(one.seen.logits, GRID.affine @ np.diag([0.5, 0.5, 0.5, 1.0])))

    found = answers_of([one])

    assert not found.masks["tiny_segment.seg.nii.gz"].data.any()
    assert found.confidence == pytest.approx(1 - 1 / (1 + np.exp(-0.1)), abs=1e-6)


def test_each_network_counts_its_own_findings(tmp_path: Path) -> None:
    one = said(tmp_path, "detect", boxes(), GRID)
    other = replace(one, bundle=replace(one.bundle, name="other_detect"))

    found = answers_of([one, other, one])

    assert [one.finding_id for one in found.findings or ()] == ["tiny_detect-1", "other_detect-1", "tiny_detect-2"]


def test_classes_are_told_in_words_without_per_cent() -> None:
    of_slice = Prediction("tiny", "image", "tumour", 0.5, slice_k=3)

    told = in_words([Prediction("tiny", "image", "covid_19", 0.984), of_slice])

    assert told == "covid 19, score 0.98"
