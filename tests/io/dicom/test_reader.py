"""The DICOM reader on real scans, against references made by other tools."""

import pickle
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.findings import ImageFacts
from diascope.geometry import Grid, PixelGrid
from diascope.io.decode import decode
from diascope.io.dicom import reader as reader_module
from diascope.io.files import find_files
from diascope.io.reader import Context, IngestSettings
from diascope.io.series import Series
from diascope.volume import Volume
from tests.io.dicom_phantoms import Phantom, write_series
from tests.io.reading import KEY, fates, only_refusal, only_series, only_volume, read

EPI = [
    *[(f"20180918GE/mr_000{number}", f"DCM2NIIX_regression_test_{number}.nii") for number in (4, 5, 6, 7)],
    ("20180918Si/mr_0003", "EPI_PE=AP_3.nii"),
    ("20180918Si/mr_0004", "EPI_PE=PA_4.nii"),
    ("20180918Si/mr_0005", "EPI_PE=RL_5.nii"),
    ("20180918Si/mr_0006", "EPI_PE=LR_6.nii"),
]
GROUND_TRUTH = [
    "siemens/anatomical/001",
    "ge/anatomical/001",
    "philips_enhanced/anatomical/001",
    "generic/compressed_j2k/001",
]


def as_nifti(series: Series) -> nibabel.Nifti1Image:
    """Everything a series holds, for nibabel to turn."""
    assert isinstance(series.space, Grid)
    volumes = [decode(series, at).data for at in range(series.volumes)]
    data = np.stack(volumes, axis=-1) if len(volumes) > 1 else volumes[0]
    return nibabel.Nifti1Image(data.astype(np.float64), series.space.affine)


def corners_mm(image: nibabel.Nifti1Image) -> NDArray[np.float64]:
    shape = tuple(int(n) for n in image.shape[:3])
    return Grid(shape, np.asarray(image.affine)).corners_ras_mm()


def assert_same(series: Series, reference: Path) -> None:
    """Affine within 0.05 mm at the corners, and every voxel, after turning both the same way."""
    ours = nibabel.as_closest_canonical(as_nifti(series))
    theirs = nibabel.as_closest_canonical(nibabel.squeeze_image(nibabel.load(reference)))
    assert ours.shape == theirs.shape
    assert np.abs(corners_mm(ours) - corners_mm(theirs)).max() < 0.05
    # References in float32 were computed with other roundings.
    tolerance = 1e-3 if theirs.get_data_dtype().kind == "f" else 0
    np.testing.assert_allclose(np.asanyarray(ours.dataobj), theirs.get_fdata(), atol=tolerance)


@pytest.mark.data
@pytest.mark.parametrize(("folder", "reference"), EPI)
def test_echo_planar_series_are_those_of_dcm2niix(shared_data: Path, folder: str, reference: str) -> None:
    series = only_series(read(shared_data / "dicom" / "mr_epi" / "In" / folder))

    assert series.axis == "time"
    assert_same(series, shared_data / "dicom" / "mr_epi" / "Ref" / reference)


@pytest.mark.data
@pytest.mark.parametrize("folder", GROUND_TRUTH)
@pytest.mark.parametrize("kind", ["", "_reoriented"])
def test_reference_series_are_their_ground_truth(shared_data: Path, folder: str, kind: str) -> None:
    place = shared_data / "dicom" / "reference" / folder

    assert_same(only_series(read(place)), place.parent / f"{place.name}_ground_truth{kind}.nii.gz")


@pytest.mark.data
def test_the_single_slice_has_its_voxels_but_no_affine(shared_data: Path) -> None:
    # Its header names no thickness: the 1 mm of the reference is made up, and we make up nothing.
    place = shared_data / "dicom" / "reference" / "ge" / "anatomical" / "001_single_slice"

    volume = only_volume(read(place))

    assert volume.space == PixelGrid((256, 256, 1), (1.0, 1.0), "patient")
    reference = np.asanyarray(nibabel.load(place.parent / "001_single_slice_ground_truth.nii.gz").dataobj)
    np.testing.assert_array_equal(np.squeeze(reference), volume.data[:, :, 0])


@pytest.mark.data
@pytest.mark.parametrize(("number", "gap", "usual"), [("001", "10.00", "5.00"), ("002", "1.50", "0.75")])
def test_the_series_that_must_fail_are_refused_as_missing_slices(
    shared_data: Path, number: str, gap: str, usual: str
) -> None:
    found = read(shared_data / "dicom" / "reference" / "failing" / "sliceincrement" / number)

    assert only_refusal(found) == "missing_slices"
    assert f"are {gap} mm apart, the others {usual} mm" in found.refused[0].failure.reason


@pytest.mark.data
def test_a_whole_head_is_read(shared_data: Path) -> None:
    volume = only_volume(read(shared_data / "dicom" / "head_t1"))

    assert volume.data.shape == (256, 256, 192)
    assert isinstance(volume.space, Grid)
    assert volume.space.axcodes == "PIR"
    assert volume.space.spacing_mm == pytest.approx((0.859375, 0.859375, 0.9), abs=1e-6)


@pytest.mark.data
def test_a_chest_whose_files_are_every_other_slice_is_refused_or_filled(shared_data: Path) -> None:
    # 50 files of 90 slices: consecutive file names, not consecutive slices.
    place = shared_data / "dicom" / "chest_ct"

    assert only_refusal(read(place)) == "missing_slices"
    volume = only_volume(read(place, allow_gaps=True))
    assert volume.data.shape == (512, 512, 90)
    assert isinstance(volume.space, Grid)
    assert volume.space.spacing_mm[2] == pytest.approx(3.0)
    assert volume.data.dtype == np.int16
    assert -1100 < int(volume.data.min()) <= -1000


@pytest.mark.data
def test_every_file_of_all_the_real_scans_is_accounted_for(shared_data: Path) -> None:
    folder = shared_data / "dicom"

    found = read(folder)

    assert len(found.files) == sum(path.is_file() for path in folder.rglob("*"))
    assert sum(fates(found).values()) == len(found.files)
    assert {code for fate, code in fates(found) if fate != "used"} == {"missing_slices", "text"}


@pytest.mark.slow
def test_many_files_are_read_by_several_processes_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, Phantom())
    alone = read(tmp_path, processes=1)
    monkeypatch.setattr(reader_module, "FILES_WORTH_A_PROCESS", 5)
    monkeypatch.setattr(reader_module, "CHUNK_FILES", 4)

    together = read(tmp_path, processes=2)

    assert repr(only_series(alone)) == repr(only_series(together))
    assert alone.files == together.files


def test_a_series_of_another_reader_is_refused() -> None:
    stranger = Series("case", "image", "dicom", (), facts=ImageFacts())

    with pytest.raises(InputError, match="not made by the DICOM reader"):
        reader_module.DicomReader().decode(stranger)


def test_grouping_twice_gives_the_same_ids(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom())
    files = find_files([tmp_path]).files
    context = Context(KEY, IngestSettings())

    first, second = (reader_module.DicomReader().group(order, context) for order in (files, files[::-1]))

    assert first.series[0].image_id == second.series[0].image_id
    assert first.series[0].files == second.series[0].files


def test_a_decoded_volume_can_be_sent_between_processes(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom())
    series = pickle.loads(pickle.dumps(only_series(read(tmp_path))))

    volume = decode(series)

    assert isinstance(volume, Volume)
    np.testing.assert_array_equal(volume.data, Phantom().data)
