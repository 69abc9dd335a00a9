"""Labels with a side are never mirrored without changing sides: refused before the first epoch."""

from pathlib import Path
from typing import Any

import pytest

from diascope.config import parse_settings
from diascope.errors import ConfigError
from diascope.train.settings import TrainConfig
from diascope.train.sides import check_sides
from diascope.train.training import train_network
from tests.train.training_phantoms import head_config, slice_config, write_slices

SIDED_HEAD = [
    {"name": "left_outer", "colour": "#4878d0", "source_values": [3]},
    {"name": "right_outer", "colour": "#4878d0", "source_values": [42]},
    {"name": "core", "colour": "#e6a532", "source_values": [2, 41]},
]


def slices(label: str, *augmentation: dict[str, Any], axcodes: str | None = "RAS") -> TrainConfig:
    values = slice_config(Path())
    values["bundle"]["labels"] = [{"name": label, "colour": "#d62728"}]
    values["augmentation"] = list(augmentation)
    values["preprocessing"][0]["args"]["axcodes"] = axcodes
    if axcodes is None:
        values["preprocessing"] = values["preprocessing"][1:]
    return parse_settings(TrainConfig, values)


def heads(labels: list[dict[str, Any]], **source: Any) -> TrainConfig:
    values = head_config(Path())
    values["bundle"]["labels"] = labels
    values["source"] |= source
    return parse_settings(TrainConfig, values)


def flip(axis: Any) -> dict[str, Any]:
    return {"name": "RandFlipd", "args": {"keys": ["image", "label"], "spatial_axis": axis}}


@pytest.mark.parametrize(
    ("axcodes", "step"),
    [
        ("RAS", flip(0)),
        ("RAS", flip([1, 0])),
        ("RAS", flip(None)),
        ("PIR", flip(2)),
        (None, flip(1)),
        ("RAS", {"name": "RandAffined", "args": {"keys": ["image", "label"], "scale_range": [1.5, 0.1]}}),
    ],
)
def test_an_augmentation_that_mirrors_left_to_right_is_refused(axcodes: str | None, step: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"{step['name']} mirrors training images .*left_lung") as refused:
        check_sides(slices("left_lung", step, axcodes=axcodes))

    assert refused.value.code == "mirrored_sides"


@pytest.mark.parametrize(("axcodes", "axis"), [("RAS", 1), ("RAS", [1, 2]), ("PIR", 0)])
def test_a_mirror_along_the_other_axes_passes(axcodes: str, axis: Any) -> None:
    check_sides(slices("left_lung", flip(axis), axcodes=axcodes))


def test_labels_without_a_side_may_be_mirrored() -> None:
    check_sides(slices("cleft_palate", flip(0)))
    check_sides(heads(SIDED_HEAD[2:]))


def test_it_is_refused_before_the_first_epoch(tmp_path: Path) -> None:
    values = write_slices(tmp_path)
    values["bundle"]["labels"] = [{"name": "ball_right", "colour": "#d62728"}]

    with pytest.raises(ConfigError, match="ball_right would then lie on the other side under the same number"):
        train_network(parse_settings(TrainConfig, values), tmp_path / "out")

    assert not (tmp_path / "out" / "log.jsonl").exists()


def test_synthetic_images_are_mirrored_where_each_side_has_its_twin() -> None:
    check_sides(heads(SIDED_HEAD))
    check_sides(heads(SIDED_HEAD, mirrored_values={41: 2}, flip_fraction=0.0))


@pytest.mark.parametrize(
    ("labels", "mirrored_values"),
    [(SIDED_HEAD, {41: 2}), ([SIDED_HEAD[0], SIDED_HEAD[2]], {42: 3, 41: 2})],
    ids=["a value without a twin", "a label without a twin"],
)
def test_a_side_without_its_twin_is_refused(labels: list[dict[str, Any]], mirrored_values: dict[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"left_outer has no twin.*no label right_outer"):
        check_sides(heads(labels, mirrored_values=mirrored_values))
