"""Pictures of a training show the slice worth looking at, the right way round, and every measure."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from diascope.train.pictures import Overlay, draw_curves, draw_overlays, overlay_of


def one_hot(values: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.stack([(values == value).float() for value in range(classes)])


def pixels(path: Path) -> NDArray[np.int64]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(np.int64)


def test_the_slice_with_most_of_the_truth_is_shown_in_the_middle_channel() -> None:
    image = torch.arange(3 * 5 * 7 * 4, dtype=torch.float32).reshape(3, 5, 7, 4)
    label = torch.zeros(5, 7, 4)
    label[1, 2, 0] = 1
    label[2:4, 3:6, 2] = 2
    drawn = torch.zeros(5, 7, 4)
    drawn[:, :, 3] = 1  # more was drawn elsewhere: the truth decides

    shown = overlay_of(image, one_hot(label, 3), one_hot(drawn, 3))

    assert np.array_equal(shown.image, image[1, ..., 2].numpy())
    assert np.array_equal(shown.truth, label[..., 2].numpy())
    assert not shown.drawn.any()


def test_without_truth_what_was_drawn_decides_and_without_either_the_middle() -> None:
    image, nothing = torch.rand(1, 5, 7, 4), torch.zeros(5, 7, 4)
    drawn = nothing.clone()
    drawn[2, 2, 3] = 1

    assert np.array_equal(overlay_of(image, one_hot(nothing, 2), one_hot(drawn, 2)).image, image[0, ..., 3].numpy())
    assert np.array_equal(overlay_of(image, one_hot(nothing, 2), one_hot(nothing, 2)).image, image[0, ..., 2].numpy())


def test_an_image_of_one_slice_is_shown_as_it_is() -> None:
    image, label = torch.rand(1, 5, 7), torch.zeros(5, 7)
    label[1:3, 4:6] = 1

    shown = overlay_of(image, one_hot(label, 2), one_hot(label, 2))

    assert shown.image.shape == (5, 7)
    assert np.array_equal(shown.truth, shown.drawn)


def test_the_first_axis_runs_to_the_right_and_the_second_upwards(tmp_path: Path) -> None:
    image = np.zeros((40, 60), dtype=np.float32)
    truth = np.zeros((40, 60), dtype=np.int64)
    truth[28:36, 46:56] = 1  # far along both: to the right, at the top
    image[truth == 1] = 1.0

    draw_overlays([Overlay(image, truth, truth)], tmp_path / "o.png", "epoch 1")

    seen = pixels(tmp_path / "o.png")
    rows, columns = np.nonzero((seen[..., 0] - seen[..., 1] > 80) & (seen[..., 0] - seen[..., 2] > 80))
    assert len(rows) > 20
    assert columns.mean() > 0.6 * seen.shape[1]
    assert rows.mean() < 0.5 * seen.shape[0]


def test_a_label_everywhere_or_nowhere_is_no_fault(tmp_path: Path) -> None:
    flat = np.zeros((8, 9), dtype=np.float32)
    everywhere = np.ones((8, 9), dtype=np.int64)

    draw_overlays([Overlay(flat, everywhere, everywhere * 0)] * 3, tmp_path / "o.png", "epoch 1")

    assert (tmp_path / "o.png").stat().st_size > 1000


def test_curves_are_drawn_from_a_log_with_gaps(tmp_path: Path) -> None:
    log = [
        {"epoch": 1.0, "loss": 1.0, "learning_rate": 0.1, "seconds": 1.0, "steps": 1.0},
        {"epoch": 2.0, "loss": 0.5, "learning_rate": 0.05, "dice": 0.3, "seconds": 2.0, "steps": 2.0},
        {"epoch": 3.0, "loss": 0.4, "learning_rate": 0.01, "dice": 0.6, "seconds": 3.0, "steps": 3.0},
    ]

    draw_curves(log, tmp_path / "pictures" / "c.png")

    seen = pixels(tmp_path / "pictures" / "c.png")
    is_line = seen[..., 2] - seen[..., 0] > 80
    thirds = np.array_split(np.arange(seen.shape[1]), 3)
    assert all(is_line[:, third].sum() > 30 for third in thirds)  # a line in each of the three


def test_curves_of_31_labels_fit_into_the_picture(tmp_path: Path) -> None:
    measures = {"dice": 0.5} | {f"dice_left_inferior_lateral_structure_{number}": 0.1 for number in range(31)}

    draw_curves(
        [{"epoch": at, "loss": 1 / at, "learning_rate": 0.1, **measures} for at in (1, 2, 3)], tmp_path / "a.png"
    )

    assert pixels(tmp_path / "a.png").shape == (320, 1000, 3)
