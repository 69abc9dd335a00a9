"""What a network has to compute, against MONAI's own counting and the networks that come with diascope."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.data.utils import dense_patch_slices

from diascope.bundles.workload import Recipe, Workload, read_recipe
from diascope.geometry import Grid, IndexGrid


def grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    return Grid(shape, np.diag([*spacing_mm, 1.0]))


def sliding(**more: Any) -> dict[str, Any]:
    return {"_target_": "SlidingWindowInferer", **more}


@pytest.mark.parametrize("shape", [(50, 70, 110), (64, 80, 80), (65, 81, 200), (20, 300, 64)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.4, 0.5])
def test_windows_are_counted_as_monai_lays_them(shape: tuple[int, int, int], overlap: float) -> None:
    roi = (64, 80, 80)
    recipe = Recipe(inferer=sliding(roi_size=list(roi), overlap=overlap))

    found = recipe.workload(IndexGrid(shape))

    # MONAI pads an image that is smaller than a window.
    padded = tuple(max(n, size) for n, size in zip(shape, roi, strict=True))
    steps = tuple(int(size * (1 - overlap)) for size in roi)
    assert found == Workload(len(dense_patch_slices(padded, roi, steps)), roi)


def test_the_spacing_a_network_asks_for_makes_its_grid() -> None:
    steps = ({"_target_": "Spacingd", "pixdim": [2.0, 2.0, 2.0]},)

    found = Recipe(steps, sliding(roi_size=[-1, -1, -1])).workload(grid((100, 110, 33), (0.9, 1.0, 5.0)))

    assert found == Workload(1, (45, 55, 82))


def test_a_network_for_slices_sees_each_of_them() -> None:
    steps = ({"_target_": "Resized", "spatial_size": [128, 96, -1]},)
    slices = {"_target_": "monai.inferers.SliceInferer", "roi_size": [128, 96], "spatial_dim": 2, "overlap": 0.0}

    assert Recipe(steps, slices).workload(IndexGrid((256, 256, 30))) == Workload(30, (128, 96))
    assert Recipe(steps, slices).workload(IndexGrid((256, 256, 30))).voxels == 30 * 128 * 96


def test_slices_are_counted_along_the_axis_that_is_the_third_when_the_image_is_turned() -> None:
    # Sagittal: i goes to the back, j down, k to the left, as a scanner stores it.
    affine = np.array([[0.0, 0, -1.2, 0], [-0.9, 0, 0, 0], [0, -0.8, 0, 0], [0, 0, 0, 1]])
    steps = ({"_target_": "Orientationd", "axcodes": "RAS"}, {"_target_": "Spacingd", "pixdim": [-1, -1, 1.6]})
    slices = {"_target_": "SliceInferer", "roi_size": [-1, -1]}

    found = Recipe(steps, slices).workload(Grid((70, 110, 33), affine))

    # Left to right 33, back to front 70, foot to head 110 x 0.8 mm in steps of 1.6 mm.
    assert found == Workload(55, (33, 70))
    # A file without a place is not turned: MONAI takes its axes for R, A and S.
    assert Recipe(steps[:1], slices).workload(IndexGrid((70, 110, 33))) == Workload(33, (70, 110))


def test_what_is_not_said_in_numbers_leaves_the_shape_as_it_is() -> None:
    steps = ({"_target_": "Spacingd", "pixdim": "$@spacing"}, {"_target_": "Lambdad", "func": "$lambda x: x[::2]"})

    assert Recipe(steps, sliding(roi_size="@roi")).workload(IndexGrid((5, 7, 11))) == Workload(1, (5, 7, 11))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"preprocessing": []}'])
def test_a_bundle_that_says_nothing_is_taken_to_see_the_image_as_it_is(tmp_path: Path, content: str) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text(content)

    assert read_recipe(tmp_path) == Recipe()


def test_every_shipped_network_says_how_it_is_windowed(repository: Path) -> None:
    folders = sorted(path.parents[1] for path in (repository / "models").glob("*/configs/metadata.json"))
    assert folders
    for folder in folders:
        inferer = json.loads((folder / "configs" / "inference.json").read_text())["inferer"]["_target_"]
        found = read_recipe(folder).workload(grid((256, 240, 44), (0.9, 0.9, 4.0)))
        assert found.voxels > 0, inferer
        assert read_recipe(folder).steps, folder.name
