"""Stored numbers come out as they were meant, whatever they are packed in."""

import re
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames, get_frame
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from diascope.errors import InputError
from diascope.io.decode import decode
from diascope.io.dicom.jpeg import check_jpeg
from diascope.volume import ColourImage, Volume
from tests.io.dicom_phantoms import (
    Phantom,
    new_file,
    put_pixels,
    radiograph,
    save,
    slice_of,
    with_tags,
    write_series,
)
from tests.io.reading import only_refusal, only_series, only_volume, read

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
CR = ComputedRadiographyImageStorage


def cells_of(bits_stored: int, dtype: type = np.uint16) -> NDArray[np.generic]:
    return (np.arange(35).reshape(5, 7) * 3 % (1 << bits_stored)).astype(dtype)


def test_ct_is_in_hounsfield_units(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(), modality="CT")

    volume = only_volume(read(tmp_path))

    assert volume.data.dtype == np.int16
    np.testing.assert_array_equal(volume.data, Phantom().data - 1024)


def test_numbers_that_leave_int16_get_more_room(tmp_path: Path) -> None:
    def extreme(k: int, dataset: Dataset) -> Dataset:
        if k == 7:
            dataset.PixelData = np.full((7, 5), -32768, dtype=np.int16).tobytes()
        return dataset

    write_series(tmp_path, Phantom(), extreme, modality="CT")

    volume = only_volume(read(tmp_path))

    assert volume.data.dtype == np.int32
    assert volume.data[0, 0, 7] == -33792
    np.testing.assert_array_equal(volume.data[:, :, :7], Phantom().data[:, :, :7].astype(int) - 1024)


def test_each_slice_has_its_own_slope(tmp_path: Path) -> None:
    def scaled(k: int, dataset: Dataset) -> Dataset:
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 + k / 4, -3.25
        return dataset

    write_series(tmp_path, Phantom(), scaled)

    volume = only_volume(read(tmp_path))

    assert volume.data.dtype == np.float32
    slopes = 0.5 + np.arange(11) / 4
    np.testing.assert_allclose(volume.data, Phantom().data * slopes - 3.25, rtol=1e-6)


def test_dirty_bits_above_and_below_the_stored_ones_do_not_count(tmp_path: Path) -> None:
    stored = cells_of(12)
    dataset = radiograph(CR, "CR", (stored | 0xA000).astype(np.uint16))
    dataset.BitsStored, dataset.HighBit = 12, 11
    save(dataset, tmp_path / "above")
    low = radiograph(CR, "CR", (stored.astype(np.uint16) << 2 | 0b11).astype(np.uint16), "low")
    low.BitsStored, low.HighBit = 12, 13
    save(low, tmp_path / "below")

    for series in read(tmp_path).series:
        np.testing.assert_array_equal(decode(series).data[:, :, 0], stored.T)


def test_signed_numbers_of_twelve_bits_keep_their_sign(tmp_path: Path) -> None:
    numbers = np.array([[-2048, -1, 0], [1, 5, 2047]], dtype=np.int16)
    # The upper four bits are dirt, not sign.
    dataset = radiograph(CR, "CR", (numbers.view(np.uint16) & 0x0FFF | 0x4000).astype(np.uint16))
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 1
    save(dataset, tmp_path / "signed")

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data[:, :, 0], numbers.T)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32])
def test_every_width_of_native_pixels_is_read(tmp_path: Path, dtype: type) -> None:
    cells = cells_of(7, dtype)
    save(radiograph(CR, "CR", cells), tmp_path / "image")

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data[:, :, 0], cells.T)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_native_syntaxes_give_the_same_voxels(tmp_path: Path, syntax: str) -> None:
    phantom = Phantom()
    for k in range(11):
        made = slice_of(phantom, k)
        # A FileDataset remembers a byte order; a plain one takes any.
        dataset = Dataset(made)
        dataset.file_meta = made.file_meta
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = phantom.data[:, :, k].T.astype(">i2").tobytes()
        dataset.save_as(tmp_path / str(k), enforce_file_format=True)

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data, phantom.data)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_lossless_packings_give_the_same_voxels(tmp_path: Path, syntax: str) -> None:
    phantom = Phantom(shape=(33, 40, 3))  # JPEG 2000 asks for 32 pixels

    def packed(_: int, dataset: Dataset) -> Dataset:
        dataset.PixelRepresentation = 0  # the JPEG-LS encoder takes unsigned numbers only
        dataset.compress(syntax, generate_instance_uid=False)
        return dataset

    write_series(tmp_path, phantom, packed)

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data, phantom.data)


def test_lossless_jpeg_of_sixteen_bits_gives_the_same_voxels(tmp_path: Path) -> None:
    phantom = Phantom(shape=(33, 40, 3))
    for path in write_series(tmp_path / "native", phantom, with_tags(PixelRepresentation=0)):
        image = gdcm.ImageReader()
        image.SetFileName(str(path))
        assert image.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(image.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(image.GetFile())
        writer.SetImage(change.GetOutput())
        (tmp_path / "packed").mkdir(exist_ok=True)
        writer.SetFileName(str(tmp_path / "packed" / path.name))
        assert writer.Write()

    np.testing.assert_array_equal(only_volume(read(tmp_path / "packed")).data, phantom.data)


@pytest.mark.parametrize("damage", ["size", "cut", "table", "baseline"])
def test_a_broken_lossless_jpeg_never_reaches_the_codec(damage: str) -> None:
    path = PYDICOM_FILES / "SC_rgb_jpeg_gdcm.dcm"
    dataset = dcmread(path)
    stream = bytearray(get_frame(dataset.PixelData, 0, number_of_frames=1))
    check_jpeg(bytes(stream), dataset)
    if damage == "size":
        stream[stream.index(b"\xff\xc3") + 6] ^= 1
    elif damage == "cut":
        stream = stream[: len(stream) // 2]
    elif damage == "table":
        stream[stream.index(b"\xff\xc4") + 6] = 0xFF
    else:
        stream[stream.index(b"\xff\xc3") + 1] = 0xC0

    with pytest.raises(InputError, match="the compressed pixels are broken"):
        check_jpeg(bytes(stream), dataset)


# Real files that come with pydicom, one for each way of packing it knows.
REAL_FILES = [
    "693_J2KI.dcm", "CT_small.dcm", "ExplVR_BigEnd.dcm", "J2K_pixelrep_mismatch.dcm", "JPEG2000.dcm",
    "JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm", "MR_small.dcm", "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm", "SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_rle.dcm", "SC_rgb_small_odd_jpeg.dcm", "SC_ybr_full_422_uncompressed.dcm",
    "examples_overlay.dcm", "examples_palette.dcm", "examples_ybr_color.dcm", "image_dfl.dcm",
]  # fmt: skip


@pytest.mark.parametrize("name", REAL_FILES)
def test_real_files_have_the_voxels_that_simpleitk_finds(name: str) -> None:
    found = read(PYDICOM_FILES / name, release=[{"file": "*", "reason": "a public test file"}])

    image = decode(only_series(found))

    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(PYDICOM_FILES / name)))
    expected = expected.reshape(-1, *expected.shape[-(3 if isinstance(image, ColourImage) else 2) :])[0]
    # SimpleITK rounds the 16-bit palette to 8 bits the other way.
    tolerance = 1 if name == "examples_palette.dcm" else 0
    np.testing.assert_allclose(image.data[:, :, 0].swapaxes(0, 1).astype(float), expected, atol=tolerance)


def test_monochrome1_keeps_the_stored_sense_and_says_so(tmp_path: Path) -> None:
    dataset = radiograph(CR, "CR", cells_of(8))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -10
    save(dataset, tmp_path / "film")

    volume = only_volume(read(tmp_path))

    assert volume.is_inverted
    np.testing.assert_array_equal(volume.data[:, :, 0], cells_of(8).T.astype(int) * 2 - 10)


def test_a_modality_lut_takes_the_place_of_the_slope(tmp_path: Path) -> None:
    dataset = radiograph(CR, "CR", cells_of(4))
    lut = Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType = [16, 0, 16], "US"
    lut.LUTData = [value * value for value in range(16)]
    for element in lut:
        element.VR = "US" if element.keyword != "ModalityLUTType" else "LO"
    dataset.ModalityLUTSequence = [lut]
    save(dataset, tmp_path / "film")

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data[:, :, 0], (cells_of(4).T.astype(float)) ** 2)


def test_the_window_is_that_of_the_header(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(), with_tags(WindowCenter=[40, 600], WindowWidth=[400, 1500]), modality="CT")

    assert only_volume(read(tmp_path)).display_window == (40.0, 400.0)


def test_a_voi_lut_gives_the_window_where_there_is_no_other(tmp_path: Path) -> None:
    dataset = radiograph(CR, "CR", cells_of(8))
    lut = Dataset()
    lut.add_new(0x00283002, "US", [64, 32, 8])
    lut.add_new(0x00283006, "OW", bytes(64))
    dataset.VOILUTSequence = [lut]
    save(dataset, tmp_path / "film")

    assert only_volume(read(tmp_path)).display_window == (64.0, 64.0)


def test_a_voi_lut_of_a_film_goes_before_the_window_beside_it(tmp_path: Path) -> None:
    dataset = radiograph(CR, "CR", cells_of(8))
    dataset.WindowCenter, dataset.WindowWidth = 100, 200
    lut = Dataset()
    lut.add_new(0x00283002, "US", [64, 32, 8])
    lut.add_new(0x00283006, "OW", bytes(64))
    dataset.VOILUTSequence = [lut]
    save(dataset, tmp_path / "film")

    assert only_volume(read(tmp_path)).display_window == (64.0, 64.0)


def test_compressed_pixels_in_several_fragments_are_one_frame(tmp_path: Path) -> None:
    def pack(_: int, dataset: Dataset) -> Dataset:
        dataset.PixelRepresentation = 0
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        dataset.PixelData = encapsulate([frame], fragments_per_frame=3)
        return dataset

    phantom = Phantom(shape=(33, 40, 3))
    write_series(tmp_path, phantom, pack)

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data, phantom.data)


def test_colour_is_an_image_of_its_own_type(tmp_path: Path) -> None:
    rgb = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    dataset = radiograph(CR, "CR", rgb[:, :, 0])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 1
    dataset.PixelData = rgb.transpose(2, 0, 1).tobytes() + b"\0"
    save(dataset, tmp_path / "colour")

    image = decode(only_series(read(tmp_path)))

    assert isinstance(image, ColourImage)
    np.testing.assert_array_equal(image.data[:, :, 0], rgb.transpose(1, 0, 2))


def test_pixels_that_are_cut_off_are_refused_with_the_slice_they_belong_to(tmp_path: Path) -> None:
    paths = write_series(tmp_path, Phantom())
    victim = next(path for path in paths if dcmread(path).InstanceNumber == 5)
    victim.write_bytes(victim.read_bytes()[:-20])

    found = read(tmp_path)

    assert only_refusal(found) == "truncated_pixels"
    assert "slice 4 of 11: its pixels have 50 bytes of 70" in found.refused[0].failure.reason
    assert {record.fate for record in found.files if record.path == str(victim)} == {"failed"}
    assert sum(record.fate == "refused" for record in found.files) == 10


def test_a_slice_with_cut_pixels_is_filled_where_gaps_are_allowed(tmp_path: Path) -> None:
    paths = write_series(tmp_path, Phantom())
    victim = next(path for path in paths if dcmread(path).InstanceNumber == 5)
    victim.write_bytes(victim.read_bytes()[:-20])

    found = read(tmp_path, allow_gaps=True)

    assert only_volume(found).data.shape == (5, 7, 11)
    assert any("1 of 11 slices have broken pixels" in note for note in only_series(found).notes)
    assert {record.fate for record in found.files if record.path == str(victim)} == {"failed"}


def test_compressed_pixels_that_are_cut_off_are_found_from_the_header_alone(tmp_path: Path) -> None:
    def packed(_: int, dataset: Dataset) -> Dataset:
        dataset.compress(RLELossless, generate_instance_uid=False)
        return dataset

    paths = write_series(tmp_path, Phantom(), packed)
    paths[3].write_bytes(paths[3].read_bytes()[:-30])

    assert only_refusal(read(tmp_path)) == "truncated_pixels"


@pytest.mark.parametrize("is_packed", [True, False])
def test_pixels_that_contradict_the_syntax_are_never_read(tmp_path: Path, is_packed: bool) -> None:
    dataset = slice_of(Phantom(shape=(5, 7, 1)), 0)
    if is_packed:
        dataset.compress(RLELossless, generate_instance_uid=False)
    path = save(dataset, tmp_path / "slice")
    raw = path.read_bytes()
    if is_packed:
        path.write_bytes(raw.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0"))
    else:
        path.write_bytes(raw.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"))

    assert only_refusal(read(tmp_path)) == "transfer_syntax"


def test_more_pixels_than_promised_are_told(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(), with_tags(Rows=6))

    assert "a file holds 70 bytes of pixels, its header promises 60" in only_series(read(tmp_path)).notes


def test_garbage_in_place_of_compressed_pixels_is_an_error_and_no_crash(tmp_path: Path) -> None:
    def packed(_: int, dataset: Dataset) -> Dataset:
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        start = dataset.PixelData.index(b"\xff\x4f")
        dataset.PixelData = dataset.PixelData[:start] + bytes(len(dataset.PixelData) - start)
        return dataset

    write_series(tmp_path, Phantom(shape=(33, 40, 2)), packed)

    with pytest.raises(InputError) as caught:
        decode(only_series(read(tmp_path)))
    assert caught.value.code == "broken_pixels"


def test_a_video_is_refused_by_name(tmp_path: Path) -> None:
    dataset = radiograph(CR, "CR", cells_of(8))
    save(dataset, tmp_path / "film")
    raw = (tmp_path / "film").read_bytes()
    # MPEG-4 in place of explicit little endian, of the same length.
    (tmp_path / "film").write_bytes(re.sub(rb"1\.2\.840\.10008\.1\.2\.1\0", b"1.2.840.10008.1.2.9\0", raw, count=1))

    assert only_refusal(read(tmp_path)) == "transfer_syntax"


def test_an_image_larger_than_allowed_is_refused_before_it_is_read(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom())

    assert only_refusal(read(tmp_path, max_image_gb=1e-6)) == "too_large"


def test_one_bit_per_pixel_is_no_image(tmp_path: Path) -> None:
    dataset = new_file(CR, Phantom().uid("bits"))
    put_pixels(dataset, np.ones((8, 8), dtype=np.uint8))
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    dataset.PixelData = bytes(8)
    save(dataset, tmp_path / "bits")

    assert only_refusal(read(tmp_path)) == "one_bit"


def test_float_pixels_stay_float(tmp_path: Path) -> None:
    numbers = np.linspace(-2.5, 7.25, 15, dtype=np.float32).reshape(3, 5)
    dataset = radiograph(CR, "CR", np.zeros((3, 5), dtype=np.uint32))
    del dataset.PixelData
    dataset.FloatPixelData = numbers.tobytes()
    save(dataset, tmp_path / "float")

    volume = only_volume(read(tmp_path))

    assert isinstance(volume, Volume)
    np.testing.assert_array_equal(volume.data[:, :, 0], numbers.T)
