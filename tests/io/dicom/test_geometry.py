"""Where slices lie: checked against SimpleITK, nibabel and pencil and paper."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
)

from diascope.geometry import Grid, IndexGrid, PixelGrid
from tests.io.dicom_phantoms import (
    Phantom,
    radiograph,
    save,
    slice_of,
    with_tags,
    without_tags,
    write_series,
)
from tests.io.reading import only_refusal, only_series, only_volume, read


def sitk_affine_ras_mm(paths: list[Path]) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Affine and (i, j, k) voxels as SimpleITK reads them."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths])
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def test_an_oblique_series_lies_where_simpleitk_puts_it(tmp_path: Path) -> None:
    phantom = Phantom()
    write_series(tmp_path, phantom)
    # SimpleITK needs the order of the slices from us: it is given the true one.
    in_order = [save(slice_of(phantom, k), tmp_path / "ordered" / f"{k:02d}.dcm") for k in range(11)]

    volume = only_volume(read(*[path for path in tmp_path.iterdir() if path.is_file()]))

    affine, data = sitk_affine_ras_mm(in_order)
    assert isinstance(volume.space, Grid)
    np.testing.assert_allclose(volume.space.affine, affine, atol=1e-4)
    np.testing.assert_array_equal(volume.data, data)


def test_an_oblique_series_lies_where_nibabel_puts_it(tmp_path: Path) -> None:
    paths = write_series(tmp_path, Phantom())

    space = only_series(read(tmp_path)).space

    with warnings.catch_warnings():
        # nibabel calls its DICOM readers experimental; single slices are what they do well.
        warnings.simplefilter("ignore")
        from nibabel.nicom.dicomwrappers import wrapper_from_file
    assert isinstance(space, Grid)
    for path in paths:
        k = int(dcmread(path).InstanceNumber) - 1
        affine = wrapper_from_file(path).affine  # takes (row, column) to LPS
        for column, row in ((0, 0), (4, 0), (0, 6)):
            point_lps_mm = (affine @ [row, column, 0, 1])[:3]
            np.testing.assert_allclose(
                space.to_ras_mm(np.array([[column, row, k]]))[0], point_lps_mm * [-1, -1, 1], atol=1e-4
            )


def test_the_affine_and_every_voxel_are_those_of_pencil_and_paper(tmp_path: Path) -> None:
    phantom = Phantom()
    write_series(tmp_path, phantom)

    volume = only_volume(read(tmp_path))

    assert isinstance(volume.space, Grid)
    np.testing.assert_allclose(volume.space.affine, phantom.affine_ras_mm, atol=1e-5)
    np.testing.assert_array_equal(volume.data, phantom.data)


@pytest.mark.parametrize("shear_mm", [0.8, -0.8])
def test_a_gantry_tilt_is_kept_as_a_sheared_affine(tmp_path: Path, shear_mm: float) -> None:
    phantom = Phantom(shear_mm=shear_mm)
    write_series(tmp_path, phantom, modality="CT")

    series = only_series(read(tmp_path))

    assert isinstance(series.space, Grid)
    assert series.space.is_sheared
    np.testing.assert_allclose(series.space.affine, phantom.affine_ras_mm, atol=1e-5)
    assert any("gantry tilt: the slices are stacked 17.7 degrees" in note for note in series.notes)


def test_jittered_positions_do_not_add_up(tmp_path: Path) -> None:
    phantom = Phantom(directions=np.eye(3))
    jitter_mm = np.random.default_rng(3).uniform(-0.008, 0.008, 11)
    jitter_mm[[0, -1]] = 0

    def shake(k: int, dataset: Dataset) -> Dataset:
        position = phantom.position_lps_mm(k)
        dataset.ImagePositionPatient = [position[0], position[1], round(position[2] + jitter_mm[k], 6)]
        return dataset

    write_series(tmp_path, phantom, shake)

    space = only_series(read(tmp_path)).space

    assert isinstance(space, Grid)
    np.testing.assert_allclose(space.affine, phantom.affine_ras_mm, atol=1e-6)


def test_a_header_that_contradicts_its_positions_is_told_and_not_believed(tmp_path: Path) -> None:
    phantom = Phantom()
    write_series(tmp_path, phantom, with_tags(SpacingBetweenSlices=5.0))

    series = only_series(read(tmp_path))

    assert isinstance(series.space, Grid)
    np.testing.assert_allclose(series.space.affine, phantom.affine_ras_mm, atol=1e-5)
    assert "the header says that slices are 5.00 mm apart, their positions say 2.50 mm" in series.notes


def test_positions_rounded_to_tenths_are_no_uneven_spacing(tmp_path: Path) -> None:
    phantom = Phantom(directions=np.eye(3), spacing_mm=(0.7, 0.8, 0.625))

    def rounded(k: int, dataset: Dataset) -> Dataset:
        dataset.ImagePositionPatient = [round(value, 1) for value in phantom.position_lps_mm(k)]
        return dataset

    write_series(tmp_path, phantom, rounded)

    space = only_series(read(tmp_path)).space

    assert isinstance(space, Grid)
    assert space.spacing_mm[2] == pytest.approx(0.625, abs=0.01)


def test_a_slice_without_orientation_has_no_affine(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(), without_tags("ImageOrientationPatient", "ImagePositionPatient"))

    series = only_series(read(tmp_path))

    assert series.space == PixelGrid((5, 7, 11), (0.7, 0.8), "patient")
    assert any("order of their numbers" in note for note in series.notes)
    np.testing.assert_array_equal(only_volume(read(tmp_path)).data, Phantom().data)


def test_slices_without_position_and_number_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(), without_tags("ImagePositionPatient", "InstanceNumber"))

    assert only_refusal(read(tmp_path)) == "no_positions"


def test_a_series_without_pixel_spacing_is_an_index_grid(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(), without_tags("PixelSpacing"))

    assert only_series(read(tmp_path)).space == IndexGrid((5, 7, 11))


def test_directions_written_with_two_digits_do_not_stretch_the_image(tmp_path: Path) -> None:
    phantom = Phantom(directions=np.eye(3))
    write_series(tmp_path, phantom, with_tags(ImageOrientationPatient=[0.71, 0.71, 0, -0.71, 0.71, 0]))

    space = only_series(read(tmp_path)).space

    assert isinstance(space, Grid)
    assert space.spacing_mm == pytest.approx((0.7, 0.8, 2.5))


def test_directions_that_are_not_at_right_angles_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(), with_tags(ImageOrientationPatient=[1, 0, 0, 0.6, 0.8, 0]))

    assert only_refusal(read(tmp_path)) == "bad_orientation"


def test_a_single_slice_is_as_thick_as_it_says(tmp_path: Path) -> None:
    phantom = Phantom(shape=(5, 7, 1))
    write_series(tmp_path, phantom)

    space = only_series(read(tmp_path)).space

    assert isinstance(space, Grid)
    np.testing.assert_allclose(space.affine, phantom.affine_ras_mm, atol=1e-5)


def test_a_single_slice_of_unknown_thickness_gets_no_third_dimension(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(shape=(5, 7, 1)), without_tags("SliceThickness"))

    assert only_series(read(tmp_path)).space == PixelGrid((5, 7, 1), (0.7, 0.8), "patient")


CR, DX = ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation
MG = DigitalMammographyXRayImageStorageForPresentation


@pytest.mark.parametrize(
    ("sop_class", "modality", "tags", "spacing_mm", "measured_at"),
    [
        (DX, "DX", {"ImagerPixelSpacing": [0.2, 0.15]}, (0.15, 0.2), "detector"),
        (DX, "DX", {"ImagerPixelSpacing": [0.2, 0.15], "PixelSpacing": [0.2, 0.15]}, (0.15, 0.2), "detector"),
        (DX, "DX", {"ImagerPixelSpacing": [0.2, 0.15], "PixelSpacing": [0.18, 0.14]}, (0.14, 0.18), "patient"),
        (MG, "MG", {"ImagerPixelSpacing": [0.07, 0.08]}, (0.08, 0.07), "detector"),
        (CR, "CR", {"PixelSpacing": [0.2, 0.15]}, (0.15, 0.2), "detector"),
        (
            CR,
            "CR",
            {"PixelSpacing": [0.2, 0.15], "PixelSpacingCalibrationType": "GEOMETRY"},
            (0.15, 0.2),
            "patient",
        ),
    ],
)
def test_a_radiograph_tells_the_detectors_spacing_from_the_patients(
    tmp_path: Path,
    sop_class: str,
    modality: str,
    tags: dict[str, object],
    spacing_mm: tuple[float, float],
    measured_at: str,
) -> None:
    dataset = radiograph(sop_class, modality, np.arange(15, dtype=np.uint16).reshape(3, 5))
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    save(dataset, tmp_path / "film")

    volume = only_volume(read(tmp_path))

    assert volume.space == PixelGrid((5, 3, 1), spacing_mm, measured_at)  # type: ignore[arg-type]
    np.testing.assert_array_equal(volume.data[:, :, 0], np.arange(15).reshape(3, 5).T)


def test_a_radiograph_without_spacing_has_no_size(tmp_path: Path) -> None:
    save(radiograph(DX, "DX", np.ones((3, 5), dtype=np.uint16)), tmp_path / "film")

    assert only_series(read(tmp_path)).space == IndexGrid((5, 3, 1))


def test_each_radiograph_of_a_series_is_an_image_of_its_own(tmp_path: Path) -> None:
    for view in range(3):
        dataset = radiograph(DX, "DX", np.full((3, 5), view, dtype=np.uint16))
        dataset.SOPInstanceUID = Phantom().uid("view", view)
        save(dataset, tmp_path / f"film{view}")

    found = read(tmp_path)

    assert len(found.series) == 3
    assert len({series.case_id for series in found.series}) == 1


def test_every_slice_keeps_the_number_by_which_a_workstation_finds_it(tmp_path: Path) -> None:
    phantom = Phantom()
    # As an interleaved scanner numbers them: not in the order of their places.
    numbers = [1, 3, 5, 7, 9, 11, 2, 4, 6, 8, 10]

    def numbered(k: int, dataset: Dataset) -> Dataset:
        dataset.InstanceNumber, dataset.SeriesNumber = numbers[k], 301
        return dataset

    write_series(tmp_path, phantom, numbered)

    series = only_series(read(tmp_path))

    assert (series.series_number, series.slices_named_by) == (301, "instance_number")
    assert series.slice_numbers == tuple(numbers)


@pytest.mark.parametrize("number", ["DOE^JANE", "+-5"])
def test_slices_without_a_number_have_none_and_a_series_number_that_is_none_is_not_kept(
    tmp_path: Path, number: str
) -> None:
    def unnumbered(k: int, dataset: Dataset) -> Dataset:
        del dataset.InstanceNumber
        dataset.add_new(0x00200011, "LO", number)
        return dataset

    write_series(tmp_path, Phantom(), unnumbered)

    series = only_series(read(tmp_path))

    assert (series.series_number, series.slices_named_by, series.slice_numbers) == (None, None, ())
