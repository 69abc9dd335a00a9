"""Numbers from label maps, against shapes of known size and against scikit-image."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from skimage.draw import ellipse
from skimage.measure import regionprops

from diascope.errors import GridMismatch
from diascope.findings import Finding, ImageFacts, Measurement
from diascope.geometry import Grid, IndexGrid, PixelGrid, Space
from diascope.imaging.components import Component, components
from diascope.imaging.measurements import longest_diameters, measure_labels, place_finding, reached_border
from diascope.volume import Mask, Volume

SHAPE = (5, 7, 11)
NAMES = {1: "lesion", 2: "liver"}
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix() * (0.7, 0.8, 2.5)
OBLIQUE[:3, 3] = (-12.0, 30.0, 7.0)


def volume(data: NDArray[np.generic], space: Space, modality: str = "MR") -> Volume:
    return Volume(data, space, ImageFacts(modality=modality), "img-000000000000001")


def labelled(space: Space) -> Mask:
    data = np.zeros(SHAPE, np.uint8)
    data[1:3, 2:5, 4:9] = 1
    data[4, 6, 10] = 7
    return Mask(data, space, {1: "liver", 7: "cyst", 9: "spleen"})


def rows(found: tuple[Measurement, ...]) -> dict[tuple[str, str], tuple[float | None, str]]:
    return {(row.subject, row.quantity): (row.value, row.unit) for row in found}


def test_a_label_on_a_grid_is_measured_in_mm3() -> None:
    data = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)

    found = rows(measure_labels(labelled(Grid(SHAPE, OBLIQUE)), volume(data, Grid(SHAPE, OBLIQUE)), "b", "i"))

    assert found["liver", "volume"] == (pytest.approx(30 * 0.7 * 0.8 * 2.5), "mm3")
    assert found["cyst", "volume"] == (pytest.approx(1.4), "mm3")
    assert found["cyst", "mean_intensity"] == (5 * 7 * 11 - 1, "source")
    assert found["cyst", "sd_intensity"] == (0.0, "source")


@pytest.mark.parametrize("space", [IndexGrid(SHAPE), PixelGrid(SHAPE, (0.2, 0.3), "detector")])
def test_off_a_grid_a_label_is_measured_in_voxels(space: Space) -> None:
    found = rows(measure_labels(labelled(space), volume(np.ones(SHAPE, np.float32), space), "b", "i"))

    assert found["liver", "volume"] == (30.0, "voxel")


def test_a_label_that_was_not_found_has_no_volume_and_no_intensity() -> None:
    space = IndexGrid(SHAPE)

    found = rows(measure_labels(labelled(space), volume(np.ones(SHAPE, np.uint8), space), "b", "i"))

    assert found["spleen", "volume"] == (0.0, "voxel")
    assert found["spleen", "mean_intensity"] == (None, "source")
    assert found["spleen", "sd_intensity"] == (None, "source")


def test_intensities_of_a_ct_are_in_hu() -> None:
    space = Grid(SHAPE, OBLIQUE)

    found = rows(measure_labels(labelled(space), volume(np.full(SHAPE, -874, np.int16), space, "CT"), "b", "i"))

    assert found["liver", "mean_intensity"] == (-874.0, "HU")


def test_the_numbers_are_those_of_scikit_image() -> None:
    rng = np.random.default_rng(5)
    space = IndexGrid((13, 17, 19))
    data = rng.normal(1000, 30, space.shape).astype(np.float32)
    mask = Mask(rng.integers(0, 5, space.shape).astype(np.uint8), space, {n: f"part_{n}" for n in (1, 2, 3, 4)})

    found = rows(measure_labels(mask, volume(data, space), "b", "i"))

    regions = regionprops(mask.data, intensity_image=data.astype(np.float64))
    assert len(regions) == 4
    for region in regions:
        name = f"part_{region.label}"
        assert found[name, "volume"][0] == region.num_pixels
        assert found[name, "mean_intensity"][0] == pytest.approx(region.intensity_mean, rel=1e-12)
        assert found[name, "sd_intensity"][0] == pytest.approx(region.intensity_std, rel=1e-9)


def test_a_small_spread_of_large_values_is_not_lost() -> None:
    space = IndexGrid((2, 1, 1))
    data = np.array([1e8, 1e8 + 2]).reshape(2, 1, 1)
    mask = Mask(np.ones((2, 1, 1), np.uint8), space, {1: "part"})

    found = rows(measure_labels(mask, volume(data, space), "b", "i"))

    assert found["part", "sd_intensity"][0] == 1.0


def test_voxels_without_a_finite_number_count_for_the_volume_only() -> None:
    space = IndexGrid((3, 1, 1))
    data = np.array([4.0, np.nan, 8.0], np.float32).reshape(3, 1, 1)
    mask = Mask(np.ones((3, 1, 1), np.uint8), space, {1: "part"})

    found = rows(measure_labels(mask, volume(data, space), "b", "i"))

    assert (found["part", "volume"][0], found["part", "mean_intensity"][0]) == (3.0, 6.0)


def test_an_empty_mask_is_measured_too() -> None:
    space = IndexGrid(SHAPE)
    mask = Mask(np.zeros(SHAPE, np.uint8), space, {2: "tumour"})

    found = rows(measure_labels(mask, volume(np.ones(SHAPE, np.uint8), space), "b", "i"))

    assert found["tumour", "volume"] == (0.0, "voxel")


def test_a_mask_on_other_voxels_is_refused() -> None:
    elsewhere = OBLIQUE.copy()
    elsewhere[0, 3] += 1.0

    with pytest.raises(GridMismatch, match=r"1\.000 mm apart"):
        measure_labels(
            labelled(Grid(SHAPE, OBLIQUE)), volume(np.ones(SHAPE, np.uint8), Grid(SHAPE, elsewhere)), "b", "i"
        )


def test_labels_at_any_of_the_six_faces_are_named() -> None:
    for index in ((0, 3, 5), (4, 3, 5), (2, 0, 5), (2, 6, 5), (2, 3, 0), (2, 3, 10)):
        data = np.zeros(SHAPE, np.uint8)
        data[index] = 2
        data[2, 3, 5] = 1

        assert reached_border(Mask(data, IndexGrid(data.shape), NAMES)) == ("liver",), index


def test_an_axis_with_one_slice_has_no_border() -> None:
    data = np.zeros((5, 7, 1), np.uint8)
    data[2, 3, 0] = 1
    data[0, 3, 0] = 2

    assert reached_border(Mask(data, IndexGrid(data.shape), NAMES)) == ("liver",)


def part_of(inside: NDArray[np.bool_]) -> Component:
    mask = Mask(inside.astype(np.uint8), IndexGrid(inside.shape), {1: "lesion"})
    (found,) = components(mask, 1)
    return found


def elliptic(grid: Grid, semi_axes_mm: tuple[float, float], turn_deg: float, k: int) -> NDArray[np.bool_]:
    """(i, j, k) bool: an ellipse in one slice, its axes turned against i."""
    centre_ij = (np.array(grid.shape[:2]) - 1) / 2 + (0.3, -0.2)
    i, j = np.meshgrid(*map(np.arange, grid.shape[:2]), indexing="ij")
    x_mm = (i - centre_ij[0]) * grid.spacing_mm[0]
    y_mm = (j - centre_ij[1]) * grid.spacing_mm[1]
    cosine, sine = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    along, across = x_mm * cosine + y_mm * sine, y_mm * cosine - x_mm * sine
    inside = np.zeros(grid.shape, bool)
    inside[:, :, k] = (along / semi_axes_mm[0]) ** 2 + (across / semi_axes_mm[1]) ** 2 <= 1
    return inside


@pytest.mark.parametrize("turn_deg", [0, 17, 30, 45, 90, 121])
@pytest.mark.parametrize("affine", [np.diag([0.7, 0.8, 2.5, 1.0]), OBLIQUE], ids=["straight", "oblique"])
def test_an_ellipse_has_its_two_axes_as_diameters(affine: NDArray[np.float64], turn_deg: float) -> None:
    grid = Grid((67, 71, 5), affine)

    found = longest_diameters(part_of(elliptic(grid, (20.0, 9.0), turn_deg, k=3)), grid)

    # The outline is known to half a voxel at each end: 0.8 mm in all.
    assert found.slice_k == 3
    assert found.longest_mm == pytest.approx(40.0, abs=0.8)
    assert found.perpendicular_mm == pytest.approx(18.0, abs=0.8)


@pytest.mark.parametrize("turn_deg", [0, 30, 121])
def test_the_end_points_lie_where_the_diameters_are(turn_deg: float) -> None:
    grid = Grid((67, 71, 5), OBLIQUE)

    found = longest_diameters(part_of(elliptic(grid, (20.0, 9.0), turn_deg, k=3)), grid)

    longest = np.subtract(*map(np.array, found.longest_ends_ras_mm))
    perpendicular = np.subtract(*map(np.array, found.perpendicular_ends_ras_mm))
    assert np.linalg.norm(longest) == pytest.approx(found.longest_mm)
    assert np.linalg.norm(perpendicular) == pytest.approx(found.perpendicular_mm)
    assert longest @ perpendicular == pytest.approx(0.0, abs=1e-9)
    ends_ijk = grid.to_ijk(np.array([*found.longest_ends_ras_mm, *found.perpendicular_ends_ras_mm]))
    assert ends_ijk[:, 2] == pytest.approx([3.0] * 4)
    # The axis of an elongated ellipse is sharp: its direction is found to a few degrees.
    i_mm, j_mm = grid.spacing_mm[0] * np.ptp(ends_ijk[:2, 0]), grid.spacing_mm[1] * np.ptp(ends_ijk[:2, 1])
    folded = turn_deg if turn_deg <= 90 else 180 - turn_deg
    assert np.rad2deg(np.arctan2(j_mm, i_mm)) == pytest.approx(folded, abs=4)


def test_a_single_voxel_is_one_voxel_long() -> None:
    inside = np.zeros(SHAPE, bool)
    inside[2, 3, 4] = True

    found = longest_diameters(part_of(inside), Grid(SHAPE, OBLIQUE))

    assert found.longest_mm == pytest.approx(0.8)
    assert found.perpendicular_mm == pytest.approx(0.7)


def test_a_block_on_paper() -> None:
    inside = np.zeros((9, 9, 3), bool)
    inside[2:6, 3:6, 1] = True  # 4 x 3 pixels of 1 mm

    found = longest_diameters(part_of(inside), Grid((9, 9, 3), np.eye(4)))

    # From the middle of an end pixel's outer edge to the opposite one: 4 mm along i, 2 mm along j.
    assert found.longest_mm == pytest.approx(np.hypot(4, 2))


def test_the_slice_in_which_a_part_is_longest_is_measured() -> None:
    inside = np.zeros((20, 20, 6), bool)
    for k, length in ((1, 4), (2, 9), (3, 14), (4, 6)):
        inside[2 : 2 + length, 8:11, k] = True

    found = longest_diameters(part_of(inside), Grid((20, 20, 6), np.diag([1.0, 1.0, 5.0, 1.0])))

    assert found.slice_k == 3
    assert found.longest_mm == pytest.approx(np.hypot(14, 2))


def test_the_longest_diameter_is_scikit_images_feret_diameter() -> None:
    picture = np.zeros((80, 90), np.uint8)
    picture[ellipse(40, 45, 31, 12, rotation=0.6)] = 1
    (region,) = regionprops(picture)

    found = longest_diameters(part_of(picture[:, :, None] > 0), Grid((80, 90, 1), np.eye(4)))

    # Its outline is that of the filled hull, which may hold a pixel more.
    assert found.longest_mm == pytest.approx(region.feret_diameter_max, abs=1.0)


def test_a_sheared_grid_keeps_lengths_in_the_plane() -> None:
    tilted = np.diag([1.0, 1.0, 4.0, 1.0])
    tilted[1, 2] = 2.0  # gantry tilt: slices slide along j
    grid = Grid((67, 71, 5), tilted)

    found = longest_diameters(part_of(elliptic(grid, (20.0, 9.0), 30, k=2)), grid)

    assert found.longest_mm == pytest.approx(40.0, abs=1.0)


def test_a_finding_on_a_grid_is_placed_in_the_patient() -> None:
    grid = Grid((67, 71, 5), OBLIQUE)
    part = part_of(elliptic(grid, (20.0, 9.0), 30, k=3))
    blank = Finding("f-1", "b", "i", "lesion", 0.9, ((0, 0, 0), (1, 1, 1)))

    placed = place_finding(blank, part, grid)

    assert placed.box_ijk == part.box_ijk
    assert placed.volume_mm3 == pytest.approx(np.pi * 20 * 9 * 2.5, rel=0.02)
    assert placed.centre_ras_mm == pytest.approx(grid.to_ras_mm(np.array([[33.3, 34.8, 3.0]]))[0], abs=0.1)
    assert placed.box_ras_mm is not None
    low, high = np.array(placed.box_ras_mm)
    ends = np.array(placed.longest_ends_ras_mm)
    assert (ends >= low).all()
    assert (ends <= high).all()


def test_a_finding_off_a_grid_has_no_millimetres() -> None:
    inside = np.zeros(SHAPE, bool)
    inside[1:3, 2:4, 5] = True
    blank = Finding("f-1", "b", "i", "lesion", 0.9, ((0, 0, 0), (1, 1, 1)))

    placed = place_finding(blank, part_of(inside), IndexGrid(SHAPE))

    assert placed.box_ijk == ((1, 2, 5), (3, 4, 6))
    assert placed.size_voxels == 4
    assert (placed.centre_ras_mm, placed.volume_mm3, placed.longest_diameter_mm) == (None, None, None)
