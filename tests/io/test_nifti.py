"""NIfTI: the header's own affine or none, the voxels as they are stored."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.geometry import Grid, IndexGrid
from diascope.io.decode import decode
from diascope.volume import ColourImage, Volume
from tests.io.dicom_phantoms import oblique
from tests.io.reading import fates, only_refusal, only_series, only_volume, read

SHAPE = (5, 7, 11)


def voxels(dtype: type = np.int16, shape: tuple[int, ...] = SHAPE) -> NDArray[np.generic]:
    return (np.arange(np.prod(shape)) % 251).astype(dtype).reshape(shape)


def affine_mm(turned: bool = True) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = (oblique() if turned else np.eye(3)) * [0.7, 0.8, 2.5]
    affine[:3, 3] = [-31, 12.5, 47.25]
    return affine


def write(
    path: Path,
    data: NDArray[np.generic] | None = None,
    *,
    sform: NDArray[np.float64] | None = None,
    qform: NDArray[np.float64] | None = None,
    kind: type = nibabel.Nifti1Image,
) -> Path:
    image = kind(voxels() if data is None else data, np.eye(4))
    image.set_sform(sform, code=1 if sform is not None else 0)
    image.set_qform(qform, code=1 if qform is not None else 0)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_the_affine_and_the_voxels_are_those_of_nibabel(tmp_path: Path, name: str, kind: type) -> None:
    path = write(tmp_path / name, sform=affine_mm(), kind=kind)

    volume = only_volume(read(path))

    reference = nibabel.load(path)
    assert isinstance(volume.space, Grid)
    np.testing.assert_allclose(volume.space.affine, reference.affine, atol=1e-5)
    np.testing.assert_array_equal(volume.data, np.asanyarray(reference.dataobj))
    assert volume.data.dtype == np.int16


def test_the_qform_is_used_where_there_is_no_sform(tmp_path: Path) -> None:
    path = write(tmp_path / "image.nii", qform=affine_mm())

    space = only_series(read(path)).space

    assert isinstance(space, Grid)
    np.testing.assert_allclose(space.affine, affine_mm(), atol=1e-4)


def test_the_sform_goes_first_and_a_difference_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "image.nii", sform=affine_mm(), qform=affine_mm(turned=False))

    series = only_series(read(path))

    assert isinstance(series.space, Grid)
    np.testing.assert_allclose(series.space.affine, affine_mm(), atol=1e-5)
    assert any("sform and qform differ by up to" in note for note in series.notes)


def test_a_file_without_codes_has_no_affine_whatever_nibabel_makes_up(tmp_path: Path) -> None:
    path = write(tmp_path / "image.nii")
    assert nibabel.load(path).affine is not None

    assert only_series(read(path)).space == IndexGrid(SHAPE)


def test_an_sform_that_is_flat_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "image.nii", sform=np.diag([0.0, 1.0, 1.0, 1.0]))

    assert only_refusal(read(path)) == "bad_affine"


def test_a_broken_sform_beside_a_good_qform_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "image.nii", sform=np.diag([0.0, 1.0, 1.0, 1.0]), qform=affine_mm())

    series = only_series(read(path))

    assert isinstance(series.space, Grid)
    np.testing.assert_allclose(series.space.affine, affine_mm(), atol=1e-4)
    assert "one of sform and qform cannot be used, the other is" in series.notes


def test_a_header_in_micrometres_is_read_in_millimetres(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(), affine_mm() * [[1000], [1000], [1000], [1]])
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "image.nii")

    space = only_series(read(tmp_path)).space

    assert isinstance(space, Grid)
    assert space.spacing_mm == pytest.approx((0.7, 0.8, 2.5), abs=1e-4)


def test_a_slope_that_scales_gives_float32(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(), affine_mm())
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "image.nii")

    volume = only_volume(read(tmp_path))

    assert volume.data.dtype == np.float32
    np.testing.assert_allclose(volume.data, nibabel.load(tmp_path / "image.nii").get_fdata(), rtol=1e-6)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_that_says_nothing_leaves_the_voxels_alone(tmp_path: Path, slope: float) -> None:
    path = write(tmp_path / "image.nii", sform=affine_mm())
    raw = bytearray(path.read_bytes())
    raw[112:116] = np.float32(slope).tobytes()
    path.write_bytes(raw)

    volume = only_volume(read(path))

    np.testing.assert_array_equal(volume.data, voxels())


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.float32, np.int64, np.uint64])
def test_every_type_of_voxel_keeps_its_numbers(tmp_path: Path, dtype: type) -> None:
    data = (voxels() % 100).astype(dtype)
    nibabel.save(nibabel.Nifti1Image(data, affine_mm(), dtype=dtype), tmp_path / "image.nii")

    volume = only_volume(read(tmp_path))

    assert volume.data.dtype == dtype
    np.testing.assert_array_equal(volume.data, data)


def test_float64_becomes_float32_and_nan_stays_nan(tmp_path: Path) -> None:
    data = voxels(np.float64)
    data[2, 3, 4] = np.nan
    write(tmp_path / "image.nii", data, sform=affine_mm())

    volume = only_volume(read(tmp_path))

    assert volume.data.dtype == np.float32
    np.testing.assert_array_equal(volume.data, data.astype(np.float32))


def test_a_big_endian_file_is_read(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    image = nibabel.Nifti1Image(voxels(), affine_mm(), header)
    nibabel.save(image, tmp_path / "image.nii")
    assert (tmp_path / "image.nii").read_bytes()[:4] == (348).to_bytes(4, "big")

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data, voxels())


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.AnalyzeImage])
def test_a_pair_of_header_and_voxels_is_one_image(tmp_path: Path, kind: type) -> None:
    nibabel.save(kind(voxels(), affine_mm(turned=False)), tmp_path / "image.hdr")

    found = read(tmp_path)

    np.testing.assert_array_equal(only_volume(found).data, voxels())
    assert fates(found) == {("used", ""): 2}
    assert isinstance(only_series(found).space, Grid if kind is nibabel.Nifti1Pair else IndexGrid)


@pytest.mark.parametrize("gone", ["image.hdr", "image.img"])
def test_half_a_pair_is_named(tmp_path: Path, gone: str) -> None:
    nibabel.save(nibabel.Nifti1Pair(voxels(), affine_mm()), tmp_path / "image.hdr")
    (tmp_path / gone).unlink()

    found = read(tmp_path)

    assert not found.series
    assert fates(found).keys() <= {("failed", "voxels_missing"), ("not_an_image", "header_missing")}


@pytest.mark.parametrize(("time_unit", "axis"), [("sec", "time"), ("unknown", "channel")])
def test_a_fourth_axis_is_named(tmp_path: Path, time_unit: str, axis: str) -> None:
    data = voxels(shape=(*SHAPE, 3))
    image = nibabel.Nifti1Image(data, affine_mm())
    image.header.set_xyzt_units("mm", time_unit)
    nibabel.save(image, tmp_path / "image.nii.gz")

    series = only_series(read(tmp_path))

    assert (series.volumes, series.axis) == (3, axis)
    for at in range(3):
        np.testing.assert_array_equal(decode(series, at).data, data[..., at])
    with pytest.raises(InputError, match="volume 3 was asked for, there are 3"):
        decode(series, 3)


def test_b_values_beside_the_file_name_the_axis(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels(shape=(*SHAPE, 2)), affine_mm()), tmp_path / "dwi.nii.gz")
    (tmp_path / "dwi.bval").write_text("0 1000\n")

    assert only_series(read(tmp_path / "dwi.nii.gz")).axis == "b_value"


def test_axes_of_length_one_behind_the_third_do_not_count(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels(shape=(*SHAPE, 1, 1)), affine_mm()), tmp_path / "image.nii")

    assert (only_series(read(tmp_path)).volumes, only_volume(read(tmp_path)).data.shape) == (1, SHAPE)


def test_a_single_slice_has_three_axes(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels(shape=(5, 7)), affine_mm()), tmp_path / "image.nii")

    assert only_volume(read(tmp_path)).data.shape == (5, 7, 1)


def test_rgb_voxels_are_a_colour_image(tmp_path: Path) -> None:
    data = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    data["G"] = voxels(np.uint8)
    nibabel.save(nibabel.Nifti1Image(data, affine_mm()), tmp_path / "image.nii")

    image = decode(only_series(read(tmp_path)))

    assert isinstance(image, ColourImage)
    np.testing.assert_array_equal(image.data[..., 1], voxels(np.uint8))
    assert not image.data[..., 0].any()


def test_complex_voxels_are_refused_by_name(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels(np.complex64), affine_mm()), tmp_path / "image.nii")

    assert only_refusal(read(tmp_path)) == "complex_data"


def test_a_label_map_is_skipped_by_rule(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(np.uint8), affine_mm())
    image.header.set_intent("label")
    nibabel.save(image, tmp_path / "image.nii")

    assert fates(read(tmp_path)) == {("skipped", "label_map"): 1}


def test_a_file_without_a_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    write(tmp_path / "image.nii.gz", sform=affine_mm()).rename(tmp_path / "scan")

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data, voxels())


def test_a_truncated_file_fails_from_its_header_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "image.nii", sform=affine_mm())
    path.write_bytes(path.read_bytes()[:-100])

    assert fates(read(path)) == {("failed", "truncated"): 1}


def test_a_truncated_compressed_file_fails_when_it_is_decoded(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 3000, (30, 30, 30)).astype(np.int16)
    path = write(tmp_path / "image.nii.gz", noise, sform=affine_mm())
    path.write_bytes(path.read_bytes()[:-3000])

    with pytest.raises(InputError) as caught:
        decode(only_series(read(path)))
    assert caught.value.code == "truncated"


def test_a_damaged_compressed_file_never_gives_voxels_without_a_word(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 3000, (30, 30, 30)).astype(np.int16)
    path = write(tmp_path / "image.nii.gz", noise, sform=affine_mm())
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)

    with pytest.raises(InputError):
        decode(only_series(read(path)))


def test_a_corrupt_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "corrupt.nii.gz").write_bytes(gzip.compress(b"no image at all" * 50))
    (tmp_path / "random.nii").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "empty.nii").touch()

    assert fates(read(tmp_path)) == {("failed", "corrupt"): 2, ("failed", "empty_file"): 1}


@pytest.mark.parametrize("dims", [[3, 5, -7, 11], [9, 5, 7, 11], [0, 5, 7, 11], [3, 32767, 32767, 32767]])
def test_absurd_dimensions_are_refused(tmp_path: Path, dims: list[int]) -> None:
    path = write(tmp_path / "image.nii", sform=affine_mm())
    raw = bytearray(path.read_bytes())
    raw[40:48] = np.array(dims, dtype="<i2").tobytes()
    path.write_bytes(raw)

    found = read(path)

    assert not found.series
    assert {fate for fate, _ in fates(found)} <= {"failed", "refused"}


def test_an_image_decoded_from_nifti_is_a_volume_with_its_facts(tmp_path: Path) -> None:
    volume = only_volume(read(write(tmp_path / "image.nii", sform=affine_mm())))

    assert isinstance(volume, Volume)
    assert volume.facts.plane == "axial"
