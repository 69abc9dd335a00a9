"""Where an image lies, against nibabel and SimpleITK."""

import math
import pickle

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from diascope.errors import GridMismatch, InputError
from diascope.geometry import (
    FieldOfView,
    Grid,
    IndexGrid,
    Need,
    PixelGrid,
    Space,
    affine_of,
    check_same_space,
    satisfies,
)

SHAPE = (5, 7, 11)
SPACING_MM = (0.7, 0.8, 2.5)
ORIGIN_RAS_MM = (-31.5, 12.25, 803.0)


def oblique_grid(seed: int, turn_deg: float = 20.0) -> Grid:
    """A grid turned about a random axis; every second one is left-handed, as after a flip on disk."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * turn_deg, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([*SPACING_MM[:2], SPACING_MM[2] * (-1) ** seed])
    affine[:3, 3] = ORIGIN_RAS_MM
    return Grid(SHAPE, affine)


def turned_grid(degrees: float) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix() @ np.diag(SPACING_MM)
    return Grid(SHAPE, affine)


def tilted_grid(degrees: float) -> Grid:
    """A gantry tilt: the slices stay upright, each is shifted along the rows of the patient."""
    affine = np.diag([*SPACING_MM, 1.0])
    affine[1, 2] = SPACING_MM[2] * math.tan(math.radians(degrees))
    return Grid(SHAPE, affine)


def itk_image(grid: Grid) -> SimpleITK.Image:
    """The same geometry as SimpleITK holds it: LPS, direction and spacing apart."""
    image = SimpleITK.Image(grid.shape, SimpleITK.sitkUInt8)
    lps = np.diag([-1.0, -1.0, 1.0]) @ grid.affine[:3]
    spacing_mm = np.linalg.norm(lps[:, :3], axis=0)
    image.SetSpacing(spacing_mm.tolist())
    image.SetDirection((lps[:, :3] / spacing_mm).ravel().tolist())
    image.SetOrigin(lps[:, 3].tolist())
    return image


@pytest.mark.parametrize("seed", range(6))
def test_a_voxel_lies_where_simpleitk_says(seed: int) -> None:
    grid = oblique_grid(seed)
    image = itk_image(grid)
    index_ijk = np.array([[0, 0, 0], [4, 0, 0], [0, 6, 0], [0, 0, 10], [4, 6, 10], [2, 3, 5]], dtype=np.float64)

    expected_lps_mm = np.array([image.TransformContinuousIndexToPhysicalPoint(index) for index in index_ijk.tolist()])

    np.testing.assert_allclose(grid.to_ras_mm(index_ijk), expected_lps_mm * [-1, -1, 1], atol=1e-9)
    np.testing.assert_allclose(grid.spacing_mm, image.GetSpacing(), rtol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_a_voxel_lies_where_nibabel_says(seed: int) -> None:
    grid = oblique_grid(seed)
    index_ijk = np.array([[0.0, 0.0, 0.0], [1.5, -2.0, 30.25]])

    np.testing.assert_allclose(grid.to_ras_mm(index_ijk), nib.affines.apply_affine(grid.affine, index_ijk), atol=1e-9)
    np.testing.assert_allclose(grid.spacing_mm, nib.affines.voxel_sizes(grid.affine), rtol=1e-12)
    assert grid.axcodes == "".join(nib.aff2axcodes(grid.affine))


@pytest.mark.parametrize("seed", range(6))
def test_indices_survive_the_way_to_the_patient_and_back(seed: int) -> None:
    grid = oblique_grid(seed, turn_deg=73.0)
    index_ijk = np.random.default_rng(seed).uniform(-20, 20, (50, 3))

    np.testing.assert_allclose(grid.to_ijk(grid.to_ras_mm(index_ijk)), index_ijk, atol=1e-9)


def test_a_point_computed_with_pencil_and_paper() -> None:
    affine = np.array([[0.0, 0.0, 2.5, 10.0], [-0.7, 0.0, 0.0, 20.0], [0.0, 0.8, 0.0, 30.0], [0.0, 0.0, 0.0, 1.0]])
    grid = Grid(SHAPE, affine)

    # i steps 0.7 mm to the back, j 0.8 mm up, k 2.5 mm to the right.
    assert grid.to_ras_mm(np.array([[1.0, 2.0, 3.0]])).tolist() == [[17.5, 19.3, 31.6]]
    assert grid.axcodes == "PSR"
    assert grid.spacing_mm == (0.7, 0.8, 2.5)
    assert grid.voxel_mm3 == pytest.approx(0.7 * 0.8 * 2.5)


def test_a_sheared_voxel_keeps_its_volume_but_its_slices_lie_further_apart() -> None:
    grid = tilted_grid(20.0)

    assert grid.voxel_mm3 == pytest.approx(0.7 * 0.8 * 2.5)
    assert grid.spacing_mm[2] == pytest.approx(2.5 / math.cos(math.radians(20.0)))


@pytest.mark.parametrize(("degrees", "is_oblique"), [(0.0, False), (0.1, False), (1.0, True), (20.0, True)])
def test_a_turned_grid_is_oblique_as_nibabel_measures_it(degrees: float, is_oblique: bool) -> None:
    grid = turned_grid(degrees)

    assert np.degrees(nib.affines.obliquity(grid.affine)).max() == pytest.approx(degrees, abs=1e-6)
    assert grid.is_oblique is is_oblique
    assert grid.is_sheared is False


@pytest.mark.parametrize("degrees", [90.0, 180.0, -90.0])
def test_a_quarter_turn_is_not_oblique(degrees: float) -> None:
    assert turned_grid(degrees).is_oblique is False


@pytest.mark.parametrize(("degrees", "is_sheared"), [(0.0, False), (0.1, False), (1.0, True), (-18.5, True)])
def test_a_gantry_tilt_is_a_shear(degrees: float, is_sheared: bool) -> None:
    assert tilted_grid(degrees).is_sheared is is_sheared


def test_the_corners_are_the_centres_of_the_corner_voxels() -> None:
    grid = oblique_grid(1)
    image = itk_image(grid)

    corners_lps_mm = [image.TransformIndexToPhysicalPoint((i, j, k)) for i in (0, 4) for j in (0, 6) for k in (0, 10)]

    np.testing.assert_allclose(grid.corners_ras_mm(), np.array(corners_lps_mm) * [-1, -1, 1], atol=1e-9)


def flat() -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, 2] = affine[:3, 1]
    return affine


@pytest.mark.parametrize(
    ("shape", "affine", "code", "said"),
    [
        ((5, 7), np.eye(4), "bad_shape", r"three axes.*\(5, 7\)"),
        ((5, 7, 0), np.eye(4), "bad_shape", r"\(5, 7, 0\)"),
        (SHAPE, np.eye(3), "bad_affine", r"\(4, 4\), got \(3, 3\)"),
        (SHAPE, flat(), "bad_affine", r"flat.*0 mm³"),
        (SHAPE, np.diag([1, np.nan, 1, 1]), "bad_affine", "not finite"),
        (SHAPE, np.diag([1.0, 1.0, np.inf, 1.0]), "bad_affine", "not finite"),
        (SHAPE, np.diag([1.0, 1.0, 1.0, 2.0]), "bad_affine", r"last row.*0, 0, 0, 2"),
    ],
)
def test_what_is_no_grid_is_refused_with_its_numbers(
    shape: tuple[int, int, int], affine: NDArray[np.float64], code: str, said: str
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        Grid(shape, affine)

    assert refused.value.code == code


@pytest.mark.parametrize("spacing_mm", [(0.0, 0.2), (0.2, -0.2), (math.nan, 0.2), (0.2, math.inf)])
def test_a_pixel_spacing_that_is_no_length_is_refused(spacing_mm: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="must be positive") as refused:
        PixelGrid((2500, 2048, 1), spacing_mm, "detector")

    assert refused.value.code == "bad_spacing"


def test_images_without_voxels_are_refused_in_every_geometry() -> None:
    with pytest.raises(InputError, match=r"\(0, 7, 11\)"):
        IndexGrid((0, 7, 11))
    with pytest.raises(InputError, match=r"\(4, 7, -1\)"):
        PixelGrid((4, 7, -1), (0.2, 0.2), "patient")


GRID, PIXELS, INDEX = oblique_grid(0), PixelGrid(SHAPE, (0.2, 0.3), "detector"), IndexGrid(SHAPE)


@pytest.mark.parametrize(
    ("space", "accepted_by"),
    [(GRID, {"grid", "pixels", "index"}), (PIXELS, {"pixels", "index"}), (INDEX, {"index"})],
)
def test_a_network_is_given_images_that_know_at_least_what_it_needs(space: Space, accepted_by: set[Need]) -> None:
    needs: tuple[Need, ...] = ("grid", "pixels", "index")

    assert {need for need in needs if satisfies(space, need)} == accepted_by


def test_off_a_grid_the_affine_takes_an_index_to_itself() -> None:
    assert affine_of(GRID) is GRID.affine
    assert np.array_equal(affine_of(PIXELS), np.eye(4))
    assert np.array_equal(affine_of(INDEX), np.eye(4))


@pytest.mark.parametrize("space", [GRID, PIXELS, INDEX])
def test_an_image_lies_on_itself_also_after_pickling(space: Space) -> None:
    check_same_space(space, pickle.loads(pickle.dumps(space)))


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (GRID, INDEX, "lies on a Grid, the other on a IndexGrid"),
        (INDEX, IndexGrid((7, 5, 11)), r"\(5, 7, 11\) voxels, the other \(7, 5, 11\)"),
        (PIXELS, PixelGrid(SHAPE, (0.2, 0.31), "detector"), r"\(0\.2, 0\.3\) mm .* \(0\.2, 0\.31\) mm"),
        (PIXELS, PixelGrid(SHAPE, (0.2, 0.3), "patient"), "measured at detector, the other at patient"),
    ],
)
def test_a_mismatch_is_told_with_both_sides(one: Space, other: Space, said: str) -> None:
    with pytest.raises(GridMismatch, match=said):
        check_same_space(one, other)


def test_a_shifted_grid_is_told_by_how_far() -> None:
    shifted = oblique_grid(0).affine.copy()
    shifted[:3, 3] += [3.0, 0.0, 4.0]

    with pytest.raises(GridMismatch, match=r"up to 5\.000 mm apart, allowed are 0\.01 mm"):
        check_same_space(GRID, Grid(SHAPE, shifted))


def test_a_small_turn_shows_at_the_far_corner() -> None:
    # 0.1 degree over 10 slices of 2.5 mm is 0.044 mm; the voxel at the origin has not moved.
    straight, turned = turned_grid(0.0), turned_grid(0.1)
    check_same_space(straight, turned, tolerance_mm=0.05)

    with pytest.raises(GridMismatch, match=r"up to 0\.04\d mm"):
        check_same_space(straight, turned, tolerance_mm=0.04)


def test_a_flipped_grid_is_not_the_same_although_it_fills_the_same_space() -> None:
    flipped = np.diag([*SPACING_MM, 1.0])
    flipped[0] = [-SPACING_MM[0], 0, 0, SPACING_MM[0] * (SHAPE[0] - 1)]

    with pytest.raises(GridMismatch, match=r"2\.800 mm apart"):
        check_same_space(Grid(SHAPE, np.diag([*SPACING_MM, 1.0])), Grid(SHAPE, flipped))


def test_the_extent_is_told_along_the_patient_s_axes_whatever_the_order_of_the_voxels() -> None:
    # i runs to the feet, j to the left, k to the back: PyNrrd-like order that no reader of ours makes by itself.
    affine = np.array([[0.0, -0.8, 0.0, 3.0], [0.0, 0.0, -2.5, 1.0], [-0.7, 0.0, 0.0, 9.0], [0.0, 0.0, 0.0, 1.0]])
    grid = Grid((5, 7, 11), affine)

    assert grid.axcodes == "ILP"
    assert grid.extent_mm == pytest.approx((7 * 0.8, 11 * 2.5, 5 * 0.7))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, ""),
        ({"least_extent_mm": (5.6, 27.5, 3.5)}, ""),
        ({"least_extent_mm": (5.7, 27.5, 3.5)}, "it shows 6 x 28 x 4 mm (left to right, back to front, foot to head)"),
        ({"most_extent_mm": (5.6, 27.5, 3.5)}, ""),
        ({"most_extent_mm": (5.6, 27.5, 3.4)}, "allowed are at most 6 x 28 x 3 mm"),
        ({"most_voxel_mm": 2.5}, ""),
        ({"most_voxel_mm": 2.4}, "its voxels are 0.70 x 0.80 x 2.50 mm, allowed are at most 2.4 mm"),
        ({"least_voxel_mm": 0.8}, "needed are at least 0.8 mm"),
    ],
)
def test_an_image_outside_the_limits_is_told_with_its_numbers(limits: dict[str, object], words: str) -> None:
    affine = np.array([[0.0, -0.8, 0.0, 3.0], [0.0, 0.0, -2.5, 1.0], [-0.7, 0.0, 0.0, 9.0], [0.0, 0.0, 0.0, 1.0]])

    said = FieldOfView(**limits).misfit(Grid((5, 7, 11), affine))  # type: ignore[arg-type]

    assert words in said
    assert bool(said) == bool(words)


def test_nothing_is_asked_of_an_image_whose_millimetres_are_not_known() -> None:
    limits = FieldOfView(least_extent_mm=(110.0, 110.0, 110.0))

    assert limits.misfit(IndexGrid((5, 7, 11))) == ""
    assert limits.misfit(PixelGrid((5, 7, 1), (0.1, 0.1), "detector")) == ""
