"""Classes of an image and of its slices, in the order of the source's own slices."""

from pathlib import Path

import numpy as np
import pytest

from diascope.bundles.find import BundleInfo, DiascopeBlock
from diascope.geometry import Grid, IndexGrid
from diascope.imaging.resample import GridOfLogits
from diascope.tasks.classify import classify, probabilities

SHAPE = (5, 7, 4)


def bundle(activation: str = "softmax", labels: int = 1) -> BundleInfo:
    block = DiascopeBlock.model_validate(
        {
            "task": "classify",
            "needs": "index",
            "labels": {str(at): f"class_{at}" for at in range(1, labels + 1)},
            "activation": activation,
            "licence": "Apache-2.0",
        }
    )
    return BundleInfo("tiny", Path(), "1.0.0", "", block)


def slices(*odds: float) -> np.ndarray:
    """Logits of one label against none, one slice each, with these odds."""
    label = np.log(np.array(odds, np.float32))
    return np.stack([np.zeros_like(label), label])[:, None, None, :]


def test_an_image_has_the_score_of_its_highest_slice() -> None:
    seen = GridOfLogits(slices(1, 3, 9, 1), np.eye(4))

    image, *of_slices = classify(seen, IndexGrid(SHAPE), bundle(), "image")

    assert (image.target, image.slice_k) == ("class_1", None)
    assert image.score == pytest.approx(0.9)
    assert [(one.slice_k, one.score) for one in of_slices] == [
        (0, pytest.approx(0.5)),
        (1, pytest.approx(0.75)),
        (2, pytest.approx(0.9)),
        (3, pytest.approx(0.5)),
    ]


def test_slices_of_a_network_that_counts_the_other_way_are_told_in_the_sources_order() -> None:
    upside_down = np.diag([1.0, 1.0, -1.0, 1.0])
    upside_down[2, 3] = 3.0
    grid = Grid(SHAPE, np.diag([0.7, 0.8, 2.5, 1.0]))

    _, *of_slices = classify(GridOfLogits(slices(1, 3, 9, 1), grid.affine @ upside_down), grid, bundle(), "image")

    assert [one.slice_k for one in of_slices] == [0, 1, 2, 3]
    assert [round(one.score, 2) for one in of_slices] == [0.5, 0.9, 0.75, 0.5]


def test_a_network_that_looks_across_the_sources_slices_judges_the_image_only() -> None:
    across = np.eye(4)[[2, 1, 0, 3]]

    found = classify(GridOfLogits(slices(1, 3, 9, 1), across), IndexGrid(SHAPE), bundle(), "image")

    assert [(one.slice_k, round(one.score, 2)) for one in found] == [(None, 0.9)]


def test_a_radiograph_has_one_prediction_per_label() -> None:
    seen = GridOfLogits(np.zeros((3, 1, 1, 1), np.float32), np.eye(4))

    found = classify(seen, IndexGrid((5, 7, 1)), bundle(labels=2), "image")

    assert [(one.target, one.slice_k, round(one.score, 3)) for one in found] == [
        ("class_1", None, 0.333),
        ("class_2", None, 0.333),
    ]


def test_sigmoid_scores_each_label_by_itself_and_huge_logits_do_not_overflow() -> None:
    scores = probabilities(np.array([[0.0, 1e4], [np.log(3.0), -1e4]], np.float32), "sigmoid")

    assert scores == pytest.approx(np.array([[0.5, 1.0], [0.75, 0.0]]), abs=1e-6)
