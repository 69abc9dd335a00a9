"""Files of many frames: each frame lies where its own functional groups put it."""

from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import NuclearMedicineImageStorage, XRayAngiographicImageStorage

from diascope.geometry import Grid, PixelGrid
from diascope.io.decode import decode
from tests.io.dicom_phantoms import Phantom, enhanced, patient, put_pixels, radiograph, save
from tests.io.reading import fates, only_refusal, only_series, only_volume, read


def grouped(**values: object) -> Sequence:
    """A functional group of one item."""
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])


def test_an_enhanced_file_gives_the_volume_of_its_frames(tmp_path: Path) -> None:
    phantom = Phantom()
    save(enhanced(phantom), tmp_path / "enhanced")

    volume = only_volume(read(tmp_path))

    assert isinstance(volume.space, Grid)
    np.testing.assert_allclose(volume.space.affine, phantom.affine_ras_mm, atol=1e-5)
    np.testing.assert_array_equal(volume.data, phantom.data)


def test_the_slices_of_an_enhanced_file_are_named_by_their_frames(tmp_path: Path) -> None:
    file = enhanced(Phantom())
    normal = Phantom().directions[:, 2]
    positions = [group.PlanePositionSequence[0].ImagePositionPatient for group in file.PerFrameFunctionalGroupsSequence]
    save(file, tmp_path / "enhanced")

    series = only_series(read(tmp_path))

    assert series.slices_named_by == "frame_number"
    along_mm = [np.array(positions[(number or 0) - 1]) @ normal for number in series.slice_numbers]
    assert len(along_mm) == 11
    assert (np.diff(along_mm) > 0).all()


def test_an_enhanced_file_lies_where_highdicom_puts_it(tmp_path: Path) -> None:
    path = save(enhanced(Phantom()), tmp_path / "enhanced")

    space = only_series(read(tmp_path)).space

    # highdicom's volume runs (slice, row, column) in LPS.
    image = highdicom.Image.from_dataset(dcmread(path))
    other = image.get_volume()
    lps = other.affine @ np.array([other.spatial_shape[0] - 1, 2, 3, 1])
    index = [3, 2, other.spatial_shape[0] - 1]
    flipped = np.allclose(other.affine[:3, 0] @ Phantom().directions[:, 2], -2.5)
    if flipped:
        index[2] = 0
    assert isinstance(space, Grid)
    np.testing.assert_allclose(space.to_ras_mm(np.array([index]))[0], lps[:3] * [-1, -1, 1], atol=1e-4)


def test_what_a_frame_says_goes_before_what_all_share(tmp_path: Path) -> None:
    def scaled(k: int, group: Dataset) -> None:
        group.PixelValueTransformationSequence = grouped(RescaleSlope=1 + k, RescaleIntercept=-7, RescaleType="US")

    save(enhanced(Phantom(), scaled), tmp_path / "enhanced")

    volume = only_volume(read(tmp_path))

    np.testing.assert_allclose(volume.data, Phantom().data * (1 + np.arange(11)) - 7.0)


def test_frames_of_two_stacks_are_two_images(tmp_path: Path) -> None:
    def stacked(k: int, group: Dataset) -> None:
        group.FrameContentSequence[0].StackID = "1" if k < 6 else "2"

    save(enhanced(Phantom(), stacked), tmp_path / "enhanced")

    found = read(tmp_path)

    assert sorted(series.space.shape[2] for series in found.series if series.space) == [5, 6]
    assert fates(found) == {("used", ""): 1}


def test_a_missing_frame_is_refused_like_a_missing_slice(tmp_path: Path) -> None:
    dataset = enhanced(Phantom())
    groups = dataset.PerFrameFunctionalGroupsSequence
    middle = next(at for at, group in enumerate(groups) if group.FrameContentSequence[0].InStackPositionNumber == 5)
    frames = np.frombuffer(dataset.PixelData, dtype=np.int16).reshape(11, 7, 5)
    del groups[middle]
    dataset.NumberOfFrames = 10
    put_pixels(dataset, np.delete(frames, middle, axis=0))
    save(dataset, tmp_path / "enhanced")

    assert only_refusal(read(tmp_path)) == "missing_slices"


def test_frames_without_a_description_are_refused(tmp_path: Path) -> None:
    dataset = enhanced(Phantom())
    del dataset.PerFrameFunctionalGroupsSequence[3:]
    save(dataset, tmp_path / "enhanced")

    assert only_refusal(read(tmp_path)) == "bad_frames"


@pytest.mark.parametrize(
    ("macro", "keyword", "axis"),
    [
        ("FrameContentSequence", "TemporalPositionIndex", "time"),
        ("MRDiffusionSequence", "DiffusionBValue", "b_value"),
    ],
)
def test_a_fourth_axis_in_one_file_is_named(tmp_path: Path, macro: str, keyword: str, axis: str) -> None:
    first, second = enhanced(Phantom()), enhanced(Phantom())
    for t, dataset in enumerate((first, second)):
        for group in dataset.PerFrameFunctionalGroupsSequence:
            if macro not in group:
                setattr(group, macro, grouped())
            setattr(group[macro].value[0], keyword, (t + 1) if axis == "time" else 800.0 * t)
    both = np.concatenate(
        [np.frombuffer(first.PixelData, dtype=np.int16), np.frombuffer(second.PixelData, dtype=np.int16) + 100]
    )
    first.PerFrameFunctionalGroupsSequence.extend(second.PerFrameFunctionalGroupsSequence)
    first.NumberOfFrames = 22
    put_pixels(first, both.astype(np.int16).reshape(22, 7, 5))
    save(first, tmp_path / "enhanced")

    series = only_series(read(tmp_path))

    assert (series.volumes, series.axis) == (2, axis)
    for t in range(2):
        np.testing.assert_array_equal(decode(series, t).data, Phantom().data + 100 * t)


def test_dimension_indices_tell_volumes_apart_where_nothing_else_does(tmp_path: Path) -> None:
    first, second = enhanced(Phantom()), enhanced(Phantom())
    for t, dataset in enumerate((first, second)):
        for group in dataset.PerFrameFunctionalGroupsSequence:
            content = group.FrameContentSequence[0]
            content.DimensionIndexValues = [1, content.InStackPositionNumber, t + 1]
    pointers = [Dataset(), Dataset(), Dataset()]
    for item, tag in zip(pointers, (0x00209056, 0x00209057, 0x00181060), strict=True):
        item.DimensionIndexPointer = tag
    first.DimensionIndexSequence = Sequence(pointers)
    frames = np.frombuffer(first.PixelData, dtype=np.int16).reshape(11, 7, 5)
    first.PerFrameFunctionalGroupsSequence.extend(second.PerFrameFunctionalGroupsSequence)
    first.NumberOfFrames = 22
    put_pixels(first, np.concatenate([frames, frames + 50]).astype(np.int16))
    save(first, tmp_path / "enhanced")

    series = only_series(read(tmp_path))

    assert series.volumes == 2
    np.testing.assert_array_equal(decode(series, 1).data, Phantom().data + 50)


def test_a_film_is_a_list_of_single_images(tmp_path: Path) -> None:
    frames = np.arange(4 * 3 * 5, dtype=np.uint8).reshape(4, 3, 5)
    dataset = radiograph(XRayAngiographicImageStorage, "XA", frames)
    dataset.NumberOfFrames = 4
    dataset.ImagerPixelSpacing = [0.3, 0.2]
    save(dataset, tmp_path / "film")

    series = only_series(read(tmp_path))

    assert (series.volumes, series.axis) == (4, "time")
    assert series.space == PixelGrid((5, 3, 1), (0.2, 0.3), "detector")
    np.testing.assert_array_equal(decode(series, 2).data[:, :, 0], frames[2].T)


def test_nuclear_tomography_steps_from_its_one_position(tmp_path: Path) -> None:
    phantom = Phantom()
    dataset = radiograph(NuclearMedicineImageStorage, "NM", phantom.data.transpose(2, 1, 0).astype(np.uint16))
    patient(dataset, phantom)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    dataset.NumberOfFrames = 11
    dataset.SliceVector = list(range(1, 12))
    dataset.SpacingBetweenSlices = 2.5
    dataset.PixelSpacing = [0.8, 0.7]
    dataset.DetectorInformationSequence = grouped(
        ImagePositionPatient=phantom.position_lps_mm(0), ImageOrientationPatient=phantom.orientation()
    )
    save(dataset, tmp_path / "spect")

    volume = only_volume(read(tmp_path))

    assert isinstance(volume.space, Grid)
    np.testing.assert_allclose(volume.space.affine, phantom.affine_ras_mm, atol=1e-4)
    np.testing.assert_array_equal(volume.data, phantom.data)


def test_an_intercept_of_zero_that_a_frame_states_is_an_intercept(tmp_path: Path) -> None:
    def scaled(_k: int, group: Dataset) -> None:
        group.PixelValueTransformationSequence = grouped(RescaleSlope=1, RescaleIntercept=0, RescaleType="US")

    dataset = enhanced(Phantom(), scaled)
    dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
    save(dataset, tmp_path / "enhanced")

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data, Phantom().data)
