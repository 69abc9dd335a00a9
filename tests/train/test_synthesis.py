"""Synthetic images: random where they should be, and true to their labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diascope.config import parse_settings
from diascope.train.label_maps import LabelMap, TissueTable, read_label_map, read_tissue_table
from diascope.train.manifest import read_manifest
from diascope.train.settings import PhaseSettings, SynthesisSettings, TrainConfig
from diascope.train.synthesis import at_image, draw_contrast, synthesise
from tests.train.training_phantoms import head_values, write_heads

PLAIN = {
    "rotation_deg": 0.0,
    "scaling": 0.0,
    "shearing": 0.0,
    "elastic_mm": 0.0,
    "offset_mm": 0.0,
    "far_fraction": 0.0,
    "stripped_fraction": 0.0,
    "flip_fraction": 0.0,
    "bias": 0.0,
    "gamma": 0.0,
    "contrast_fraction": 0.0,
    "thickest_mm": 1.0,
    "spacing_mm": 1.0,
    "window_voxels": (36, 42, 38),
}


class Head:
    """The toy head, read from a file that stores it with axes LIA."""

    def __init__(self, root: Path) -> None:
        config = parse_settings(TrainConfig, write_heads(root))
        assert isinstance(config.source, SynthesisSettings)
        self.settings = config.source
        self.table: TissueTable = read_tissue_table(config.source, config.bundle.labels, root)
        self.map: LabelMap = read_label_map(read_manifest(config.manifest, root)[0], self.table)

    def plain(self, **changes: object) -> SynthesisSettings:
        return self.settings.model_copy(update={**PLAIN, **changes})


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Head:
    return Head(tmp_path_factory.mktemp("heads"))


def test_a_map_stored_lia_comes_back_on_ras_axes(head: Head) -> None:
    expected = head_values(0)

    assert np.array_equal(head.table.values[head.map.index.numpy()], expected)


def test_shape_and_range_are_those_of_the_window(head: Head) -> None:
    made = synthesise(head.map, head.table, head.settings, np.random.default_rng(1))

    assert made.image.shape == made.label.shape == (1, 16, 24, 16)
    assert made.image.dtype == torch.float32
    assert 0.0 <= float(made.image.min()) <= float(made.image.max()) <= 1.0


def test_the_same_seed_makes_the_same_image_and_another_one_another(head: Head) -> None:
    first, again, other = (
        synthesise(head.map, head.table, head.settings, np.random.default_rng(seed)) for seed in (7, 7, 8)
    )

    assert torch.equal(first.image, again.image)
    assert torch.equal(first.label, again.label)
    assert not torch.equal(first.image, other.image)


def test_without_deformation_the_labels_are_the_map_itself(head: Head) -> None:
    made = synthesise(head.map, head.table, head.plain(), np.random.default_rng(0))

    expected = np.bincount(head.table.target[head.map.index.numpy()].ravel(), minlength=3)
    seen = np.bincount(made.label.numpy().ravel(), minlength=3)
    assert seen[1:].tolist() == expected[1:].tolist()


def test_every_label_survives_the_full_generator(head: Head) -> None:
    for seed in range(10):
        made = synthesise(head.map, head.table, head.settings, np.random.default_rng(seed))

        assert set(torch.unique(made.label).tolist()) == {0, 1, 2}


def test_left_and_right_twins_share_an_intensity_and_other_tissues_do_not(head: Head) -> None:
    contrasts = []
    for seed in range(8):
        made = synthesise(head.map, head.table, head.plain(), np.random.default_rng(seed))
        image, label = made.image[0], made.label[0] == 1
        half = torch.zeros_like(label)
        half[: label.shape[0] // 2] = True
        left, right = float(image[label & half].mean()), float(image[label & ~half].mean())
        core = float(image[made.label[0] == 2].mean())

        assert abs(left - right) < 0.05
        contrasts.append(abs(left - core))
    assert max(contrasts) > 0.2


def test_a_mirrored_image_carries_its_labels_with_it(head: Head) -> None:
    lopsided = head.map.index.clone()
    lopsided[20:] = torch.where(lopsided[20:] > 2, 0, lopsided[20:])  # the core is left on the left side only
    one_sided = replace(head.map, index=lopsided)

    def core_centre(flip: float) -> float:
        settings = head.plain(flip_fraction=flip)
        made = synthesise(one_sided, head.table, settings, np.random.default_rng(2))
        return float(torch.nonzero(made.label[0] == 2)[:, 0].double().mean())

    middle = (PLAIN["window_voxels"][0] - 1) / 2  # type: ignore[index]
    assert core_centre(0.0) < middle < core_centre(1.0)


def test_in_a_mirrored_image_the_left_hand_is_called_the_right(head: Head, tmp_path: Path) -> None:
    labels = [
        {"name": f"{side}_{name}", "colour": "#4878d0", "source_values": [value]}
        for side, name, value in (
            ("left", "outer", 3),
            ("left", "core", 2),
            ("right", "outer", 42),
            ("right", "core", 41),
        )
    ]
    config = parse_settings(
        TrainConfig, {**(told := write_heads(tmp_path)), "bundle": {**told["bundle"], "labels": labels}}
    )
    sided = read_tissue_table(head.settings, config.bundle.labels, tmp_path)

    def core_centres(flip: float) -> tuple[float, float]:
        made = synthesise(head.map, sided, head.plain(flip_fraction=flip), np.random.default_rng(2))
        left, right = (float(torch.nonzero(made.label[0] == label)[:, 0].double().mean()) for label in (2, 4))
        return left, right

    # RAS+: the left hand has the smaller index, mirrored or not.
    for flip in (0.0, 1.0):
        left, right = core_centres(flip)
        assert left < right - 5


def test_a_head_cut_off_by_its_map_goes_on_below_in_tissues_that_are_no_structure(head: Head) -> None:
    cut_k = 20
    index = head.map.index.clone()
    index[:, :, :cut_k] = 0
    cut = replace(head.map, index=index, lowest_k=cut_k)
    below = slice(0, cut_k - 4)  # the window begins two voxels above the map's first slice; the elastic part is off

    without = synthesise(cut, head.table, head.plain(neck_fraction=0.0), np.random.default_rng(7))
    with_neck = synthesise(cut, head.table, head.plain(neck_fraction=1.0), np.random.default_rng(7))

    dark, bright = without.image[0, :, :, below], with_neck.image[0, :, :, below]
    assert torch.equal(without.label, with_neck.label)
    assert int((bright > 0.2).sum()) > 10 * int((dark > 0.2).sum()) + 100
    assert bright[bright > 0.2].std() > 0.05


def test_a_stripped_image_has_no_neck(head: Head) -> None:
    settings = head.plain(stripped_fraction=1.0)
    cut = replace(head.map, lowest_k=20)

    images = [
        synthesise(cut, head.table, settings.model_copy(update={"neck_fraction": part}), np.random.default_rng(3)).image
        for part in (0.0, 1.0)
    ]

    assert torch.equal(*images)


def test_the_lowest_slice_of_a_map_is_where_its_head_begins(head: Head) -> None:
    areas = (head_values(0) != 0).sum((0, 1))

    assert head.map.lowest_k == int(np.flatnonzero(areas > 0.2 * areas.max())[0])


def test_a_stripped_image_shows_nothing_of_the_skin_and_keeps_its_labels(head: Head) -> None:
    skin = torch.from_numpy(head_values(0) == 500)[2:38, 2:44, 2:40]
    from_corner: dict[float, list[float]] = {0.0: [], 1.0: []}
    labels = []
    for seed in range(8):
        for stripped, found in from_corner.items():
            settings = head.plain(stripped_fraction=stripped)
            made = synthesise(head.map, head.table, settings, np.random.default_rng(seed))
            corner, seen = made.image[0, :3, :3, :3], made.image[0][skin & (made.label[0] == 0)]
            found.append(abs(float(seen.mean()) - float(corner.mean())))
            labels.append(made.label)

    assert np.mean(from_corner[1.0]) < 0.4 * np.mean(from_corner[0.0])
    assert all(torch.equal(labels[0], label) for label in labels)


def test_the_ramp_begins_easy_and_ends_with_what_the_config_says(head: Head) -> None:
    told = head.settings.model_copy(update={"ramp_images": 100, "far_fraction": 0.2, "contrast_fraction": 0.5})

    first, middle, last = (at_image(told, number) for number in (0, 50, 100))

    assert (first.far_fraction, first.stripped_fraction, first.contrast_fraction) == (0.0, 0.0, 1.0)
    assert first.thickest_mm == told.spacing_mm
    assert middle.far_fraction == pytest.approx(0.1)
    assert middle.contrast_fraction == pytest.approx(0.75)
    assert last == told


def test_a_phase_changes_what_it_names_from_its_first_image_on(head: Head) -> None:
    told = head.settings.model_copy(update={"phases": (PhaseSettings(from_image=30, bias=0.1),), "bias": 0.4})

    before, after = at_image(told, 29), at_image(told, 30)

    assert (before.bias, after.bias) == (0.4, 0.1)
    assert after.model_copy(update={"bias": 0.4}) == before


def test_a_known_contrast_has_its_means_on_the_maps_own_grid(head: Head) -> None:
    contrast = head.settings.contrasts[0]

    made = draw_contrast(head.map, head.table, contrast, np.random.default_rng(0))

    assert made.image.shape == (1, 40, 46, 42)
    outer, core = (float(made.image[0][made.label[0] == value].mean()) for value in (1, 2))
    assert core / outer == pytest.approx(0.9 / 0.4, rel=0.15)


@pytest.mark.data
def test_real_label_maps_show_every_structure(repository: Path, shared_data: Path) -> None:
    from diascope.train.settings import load_train_config

    config = load_train_config(repository / "configs" / "train_brain_structures_segmentation.yaml")
    assert isinstance(config.source, SynthesisSettings)
    table = read_tissue_table(config.source, config.bundle.labels, shared_data)
    case = read_manifest(config.manifest, shared_data)[0]
    source = read_label_map(case, table)

    made = synthesise(source, table, config.source.model_copy(update={"far_fraction": 0.0}), np.random.default_rng(0))

    assert set(torch.unique(made.label).tolist()) == set(range(len(config.bundle.labels) + 1))
