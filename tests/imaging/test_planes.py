"""Which slices are shown and which way round, against SimpleITK and nibabel."""

from typing import Literal

import nibabel
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from diascope.findings import Finding
from diascope.geometry import Grid, IndexGrid, PixelGrid
from diascope.imaging.planes import best_slice, planes_of, values_present
from diascope.volume import Mask

SHAPE = (15, 17, 21)
SPACING_MM = (0.9, 0.8, 1.1)


def affine(axcodes: str, turn_deg: tuple[float, float, float] = (0, 0, 0)) -> NDArray[np.float64]:
    """(4, 4) with these nearest axes by nibabel, then turned in the patient."""
    straight = np.zeros((3, 3))
    for axis, (row, sign) in enumerate(nibabel.orientations.axcodes2ornt(tuple(axcodes))):
        straight[int(row), axis] = sign * SPACING_MM[axis]
    found = np.eye(4)
    found[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix() @ straight
    found[:3, 3] = (-11.0, 5.0, 40.0)
    return found


AFFINES = {
    "RAS": affine("RAS"),
    "LPS": affine("LPS"),
    "LAS": affine("LAS"),
    "acquired sagittal": affine("PIR"),
    "acquired coronal": affine("LIP"),
    "oblique": affine("LPS", (14, -9, 20)),
    "oblique sagittal": affine("ASL", (10, 12, -25)),
}


def in_the_eyes_of_simpleitk(data: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """(k, j, i) of the image that SimpleITK turned to LPS: x to the left, y to the back, z to the head."""
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0)))
    image.SetSpacing(grid.spacing_mm)
    image.SetDirection((to_lps[:3, :3] / grid.spacing_mm).ravel().tolist())
    image.SetOrigin(to_lps[:3, 3].tolist())
    turned = SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(image, "LPS"))
    assert isinstance(turned, np.ndarray)
    return turned


@pytest.mark.parametrize("name", AFFINES)
def test_each_plane_shows_what_simpleitk_shows_in_the_radiological_convention(name: str) -> None:
    grid = Grid(SHAPE, AFFINES[name])
    data = np.random.default_rng(3).random(SHAPE).astype(np.float32)
    lps = in_the_eyes_of_simpleitk(data, grid)

    axial, coronal, sagittal = planes_of(grid)

    expected = {
        axial: [lps[k] for k in range(lps.shape[0])],
        coronal: [lps[::-1, j] for j in range(lps.shape[1])],
        sagittal: [lps[::-1, :, i] for i in range(lps.shape[2])],
    }
    for plane, slices in expected.items():
        shown = [plane.cut(data, at) for at in range(SHAPE[plane.through_axis])]
        # Slices are counted as they are stored, perhaps from the other end.
        in_order = all(np.array_equal(one, other) for one, other in zip(shown, slices, strict=True))
        reversed_order = all(np.array_equal(one, other) for one, other in zip(shown, slices[::-1], strict=True))
        assert in_order or reversed_order, plane.name


@pytest.mark.parametrize("name", AFFINES)
def test_letters_say_what_nibabel_says(name: str) -> None:
    grid = Grid(SHAPE, AFFINES[name])
    opposite = dict(zip("LRAPSI", "RLPAIS", strict=True))
    codes = nibabel.aff2axcodes(grid.affine)

    for plane in planes_of(grid):
        right = codes[plane.column_axis]
        down = codes[plane.row_axis]
        right = opposite[right] if plane.is_column_flipped else right
        down = opposite[down] if plane.is_row_flipped else down
        assert plane.letters == (opposite[right], right, opposite[down], down)


@pytest.mark.parametrize("name", AFFINES)
def test_one_walks_to_the_patients_left_towards_the_letter_l(name: str) -> None:
    grid = Grid(SHAPE, AFFINES[name])
    index_ijk = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1).reshape(-1, 3)
    x_mm, y_mm, z_mm = grid.to_ras_mm(index_ijk.astype(np.float64)).T.reshape(3, *SHAPE)
    towards = {"R": x_mm, "L": -x_mm, "A": y_mm, "P": -y_mm, "S": z_mm, "I": -z_mm}

    for plane in planes_of(grid):
        left, right, top, bottom = plane.letters
        at = SHAPE[plane.through_axis] // 3
        assert (np.diff(plane.cut(towards[right], at), axis=1) > 0).all()
        assert (np.diff(plane.cut(towards[left], at), axis=1) < 0).all()
        assert (np.diff(plane.cut(towards[bottom], at), axis=0) > 0).all()
        assert (np.diff(plane.cut(towards[top], at), axis=0) < 0).all()


def test_pixels_have_the_size_of_their_axes() -> None:
    grid = Grid(SHAPE, AFFINES["acquired sagittal"])  # i to the back, j down, k to the right: 0.9, 0.8, 1.1 mm

    axial, coronal, sagittal = planes_of(grid)

    assert (axial.row_mm, axial.column_mm) == pytest.approx((0.9, 1.1))
    assert (coronal.row_mm, coronal.column_mm) == pytest.approx((0.8, 1.1))
    assert (sagittal.row_mm, sagittal.column_mm) == pytest.approx((0.8, 0.9))


@pytest.mark.parametrize("name", AFFINES)
def test_a_box_lies_on_its_voxels_in_every_plane(name: str) -> None:
    grid = Grid(SHAPE, AFFINES[name])
    data = np.zeros(SHAPE, np.float32)
    data[2:5, 7:13, 11:20] = 1

    for plane in planes_of(grid):
        top, left, bottom, right = plane.box_in_picture(((2, 7, 11), (5, 13, 20)), SHAPE)
        picture = plane.cut(data, (2, 7, 11)[plane.through_axis])
        assert picture[top:bottom, left:right].all()
        assert picture.sum() == (bottom - top) * (right - left)


def test_thick_slices_are_shown_in_their_own_plane_only() -> None:
    thick_along_i = affine("RAS") @ np.diag([6.0, 1.0, 1.0, 1.0])

    (plane,) = planes_of(Grid(SHAPE, thick_along_i))

    assert (plane.name, plane.through_axis) == ("sagittal", 0)


def test_a_thin_slab_and_a_single_slice_are_shown_from_their_broad_side() -> None:
    (slab,) = planes_of(Grid((40, 50, 4), affine("LPS")))
    (single,) = planes_of(Grid((40, 1, 50), affine("LSP")))

    assert (slab.name, slab.through_axis) == ("axial", 2)
    assert (single.name, single.through_axis) == ("axial", 1)


def test_a_tilted_gantry_is_shown_in_the_plane_of_the_slices() -> None:
    tilted = affine("LPS")
    tilted[1, 2] = 0.5

    (plane,) = planes_of(Grid(SHAPE, tilted))

    assert (plane.name, plane.through_axis) == ("axial", 2)


@pytest.mark.parametrize("space", [IndexGrid(SHAPE), PixelGrid(SHAPE, (0.2, 0.3), "detector")])
def test_off_a_grid_rows_and_columns_stay_and_nothing_is_said_of_the_patient(space: IndexGrid | PixelGrid) -> None:
    data = np.random.default_rng(3).random(SHAPE)

    (plane,) = planes_of(space)

    assert plane.letters == ("", "", "", "")
    assert np.array_equal(plane.cut(data, 4), data[:, :, 4].T)
    assert (plane.column_mm, plane.row_mm) == ((0.2, 0.3) if isinstance(space, PixelGrid) else (1.0, 1.0))


def mask_of(*labelled: tuple[int, slice, int]) -> Mask:
    data = np.zeros((20, 20, 30), np.uint8)
    for value, along_k, width in labelled:
        data[:width, value, along_k] = value
    return Mask(data, IndexGrid((20, 20, 30)), {1: "large", 2: "small", 3: "lesion"})


def test_the_slice_with_the_largest_area_of_a_label_is_shown() -> None:
    mask = mask_of((1, slice(3, 9), 4), (1, slice(12, 13), 18))
    (plane,) = planes_of(mask.space)

    assert best_slice(plane, mask.data.shape, [mask]) == 12


def test_a_small_structure_counts_as_much_as_a_large_one() -> None:
    # The large label is in every slice and a little larger at 25, the small one at 7 only.
    mask = mask_of((1, slice(0, 30), 18), (1, slice(25, 26), 19), (2, slice(7, 8), 2))
    (plane,) = planes_of(mask.space)

    assert best_slice(plane, mask.data.shape, [mask]) == 7


def test_a_lesion_counts_as_much_as_all_structures_together() -> None:
    structures = mask_of((1, slice(0, 30), 10), (2, slice(0, 30), 10), (1, slice(20, 21), 12), (2, slice(20, 21), 12))
    lesion = mask_of((3, slice(4, 5), 2))
    (plane,) = planes_of(lesion.space)

    assert best_slice(plane, lesion.data.shape, [structures, lesion]) == 4


def test_the_middle_of_a_finding_is_shown_where_nothing_was_drawn() -> None:
    (plane,) = planes_of(IndexGrid((20, 20, 30)))
    finding = Finding("f-1", "b", "i", "nodule", 0.9, ((2, 2, 10), (8, 9, 15)))

    assert best_slice(plane, (20, 20, 30), [], [finding]) == 12


def test_the_middle_slice_is_shown_where_there_is_nothing_to_show() -> None:
    (plane,) = planes_of(IndexGrid((20, 20, 30)))

    assert best_slice(plane, (20, 20, 30), [mask_of()]) == 15


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_values_of_a_label_map_are_listed(order: Literal["C", "F"]) -> None:
    data = np.zeros(SHAPE, np.uint16, order=order)
    data[3, 4, 5], data[14, 0, 20] = 511, 7

    assert values_present(data) == {0, 7, 511}
