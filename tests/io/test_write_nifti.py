"""Our NIfTI files, read back by independent libraries."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from diascope.errors import GridMismatch
from diascope.findings import ImageFacts
from diascope.geometry import Grid, IndexGrid, PixelGrid, Space
from diascope.io.write_nifti import write_colour, write_heatmap, write_mask, write_series, write_volume
from diascope.volume import ColourImage, Heatmap, Mask, Volume
from tests.phantom_volumes import oblique_grid


def volume(data: NDArray[np.generic], space: Space) -> Volume:
    return Volume(data, space, ImageFacts(), "img-000000000000001", display_window=(40.0, 400.0))


def numbers(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 100


def test_an_oblique_volume_comes_back_voxel_by_voxel_in_nibabel(tmp_path: Path) -> None:
    grid = oblique_grid()
    file = tmp_path / "image.nii.gz"

    write_volume(file, volume(numbers(grid.shape), grid))

    image = nib.load(file)
    assert image.get_data_dtype() == np.int16
    assert (np.asarray(image.dataobj) == numbers(grid.shape)).all()
    assert image.affine == pytest.approx(grid.affine, abs=1e-5)
    assert image.header.get_qform() == pytest.approx(grid.affine, abs=1e-4)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    assert (float(image.header["cal_min"]), float(image.header["cal_max"])) == (-160.0, 240.0)


def test_simpleitk_sees_a_voxel_at_the_same_place(tmp_path: Path) -> None:
    grid = oblique_grid()
    file = tmp_path / "image.nii.gz"

    write_volume(file, volume(numbers(grid.shape), grid))

    image = sitk.ReadImage(str(file))
    lps = np.array(image.TransformIndexToPhysicalPoint((4, 1, 9)))
    assert lps * [-1, -1, 1] == pytest.approx(grid.to_ras_mm(np.array([[4.0, 1.0, 9.0]]))[0], abs=1e-3)
    assert image[4, 1, 9] == numbers(grid.shape)[4, 1, 9]


def test_a_tilted_gantry_is_kept_in_the_sform_and_claimed_by_no_qform(tmp_path: Path) -> None:
    affine = oblique_grid().affine.copy()
    affine[:3, 2] += affine[:3, 1]
    grid = Grid((5, 7, 11), affine)
    file = tmp_path / "tilted.nii.gz"

    write_volume(file, volume(numbers(grid.shape), grid))

    image = nib.load(file)
    assert image.affine == pytest.approx(grid.affine, abs=1e-5)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 0)
    assert image.header.get_zooms() == pytest.approx(grid.spacing_mm, abs=1e-5)


@pytest.mark.parametrize(
    "space", [IndexGrid((5, 7, 11)), PixelGrid((5, 7, 11), (0.14, 0.2), "detector")], ids=["index", "pixels"]
)
def test_an_image_without_a_frame_claims_none(tmp_path: Path, space: Space) -> None:
    file = tmp_path / "image.nii.gz"

    write_volume(file, volume(numbers(space.shape), space))

    header = nib.load(file).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (0, 0)
    if isinstance(space, PixelGrid):
        assert header.get_zooms()[:2] == pytest.approx((0.14, 0.2))
        assert header.get_xyzt_units()[0] == "mm"
    else:
        assert header.get_xyzt_units()[0] == "unknown"


def test_a_mask_says_that_it_is_one(tmp_path: Path) -> None:
    grid = oblique_grid()
    data = np.zeros(grid.shape, np.uint8)
    data[1, 2, 3] = 7
    file = tmp_path / "brain.seg.nii.gz"

    write_mask(file, Mask(data, grid, {7: "pons"}))

    image = nib.load(file)
    assert image.header.get_intent()[0] == "label"
    assert image.get_data_dtype() == np.uint8
    assert np.argwhere(np.asarray(image.dataobj)).tolist() == [[1, 2, 3]]


def test_a_heatmap_keeps_its_raw_numbers(tmp_path: Path) -> None:
    grid = oblique_grid((2, 3, 4), (8.0, 9.0, 10.0))
    data = np.linspace(-3, 900, 24, dtype=np.float32).reshape(2, 3, 4)
    file = tmp_path / "map.nii.gz"

    write_heatmap(file, Heatmap(data, grid, "tumour", "grad_cam"))

    assert (nib.load(file).get_fdata(dtype=np.float32) == data).all()


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    grid = oblique_grid()
    for name in ("one.nii.gz", "other.nii.gz"):
        write_volume(tmp_path / name, volume(numbers(grid.shape), grid))

    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "other.nii.gz").read_bytes()


def test_double_precision_becomes_single_and_wide_integers_become_numbers_that_nifti_readers_take(
    tmp_path: Path,
) -> None:
    grid = oblique_grid()
    for name, dtype in (("f8.nii.gz", np.float64), ("i8.nii.gz", np.int64)):
        write_volume(tmp_path / name, volume(numbers(grid.shape).astype(dtype), grid))
        assert nib.load(tmp_path / name).get_data_dtype() == np.float32


def test_volumes_of_one_series_become_one_image_of_four_axes(tmp_path: Path) -> None:
    grid, file = oblique_grid(), tmp_path / "image.nii.gz"
    stack = [numbers(grid.shape) + step for step in (0, 1000, 2000)]

    write_series(file, lambda at: volume(stack[at], grid), 3)

    image = nib.load(file)
    assert image.shape == (*grid.shape, 3)
    assert image.get_data_dtype() == np.int16
    assert (np.asarray(image.dataobj) == np.stack(stack, axis=-1)).all()
    assert image.affine == pytest.approx(grid.affine, abs=1e-5)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))).T, np.stack(stack, axis=-1))


@pytest.mark.parametrize(("dtype", "wide"), [(np.uint16, np.int32), (np.float32, np.float32), (np.int32, np.int32)])
def test_a_later_volume_with_larger_numbers_makes_all_wider(tmp_path: Path, dtype: type, wide: type) -> None:
    grid, file = oblique_grid(), tmp_path / "image.nii.gz"
    stack = [numbers(grid.shape), np.abs(numbers(grid.shape)).astype(dtype)]

    write_series(file, lambda at: volume(stack[at], grid), 2)

    image = nib.load(file)
    assert image.get_data_dtype() == wide
    assert (np.asarray(image.dataobj) == np.stack(stack, axis=-1)).all()


def test_volumes_that_do_not_lie_on_each_other_are_refused(tmp_path: Path) -> None:
    one = oblique_grid()
    moved = one.affine.copy()
    moved[0, 3] += 0.5
    other = Grid(one.shape, moved)

    with pytest.raises(GridMismatch):
        write_series(tmp_path / "x.nii.gz", lambda at: volume(numbers(one.shape), other if at else one), 2)


def test_a_colour_image_keeps_its_colours(tmp_path: Path) -> None:
    colours = np.random.default_rng(7).integers(0, 255, (5, 7, 11, 3), dtype=np.uint8)

    write_colour(tmp_path / "x.nii.gz", ColourImage(colours, IndexGrid((5, 7, 11)), ImageFacts(), "img-1"))

    by_itk = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "x.nii.gz")))
    assert np.array_equal(by_itk.transpose(2, 1, 0, 3), colours)
