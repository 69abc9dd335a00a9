"""A DICOMDIR stands for the files that it lists, and for nothing outside its folder."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from diascope.errors import InputError
from diascope.io.dicomdir import is_dicomdir, listed_files


def image(number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["image", str(number)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.PatientID, made.PatientName = "17", "Meyer^Anna"
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(entropy_srcs=["st"]), generate_uid(entropy_srcs=["se"])
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber = "20260102", "120000", "1", "2"
    made.Modality, made.SeriesNumber, made.InstanceNumber = "MR", 1, number
    made.Rows, made.Columns, made.BitsAllocated, made.SamplesPerPixel = 5, 7, 16, 1
    made.PixelData = np.zeros((5, 7), dtype=np.uint16).tobytes()
    return made


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A disc as PS3.10 lays it out: patient, study and series records without a file, three images with one."""
    folder = tmp_path / "disc"
    (folder / "DICOM").mkdir(parents=True)
    records = [record(kind) for kind in ("PATIENT", "STUDY", "SERIES")]
    for number in range(1, 4):
        image(number).save_as(folder / "DICOM" / f"IM{number}")
        records.append(record("IMAGE", ["DICOM", f"IM{number}"]))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["disc"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.FileSetID = "DISC"
    made.DirectoryRecordSequence = records
    made.save_as(folder / "DICOMDIR")
    return folder / "DICOMDIR"


def record(kind: str, file_id: list[str] | None = None) -> Dataset:
    made = Dataset()
    made.OffsetOfTheNextDirectoryRecord, made.RecordInUseFlag = 0, 0xFFFF
    made.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    made.DirectoryRecordType = kind
    if file_id:
        made.ReferencedFileID = file_id
    return made


def with_file_id(disc: Path, file_id: list[str]) -> None:
    """Let the last record of a DICOMDIR point elsewhere."""
    with pydicom.config.disable_value_validation():
        dataset = pydicom.dcmread(disc)
        dataset.DirectoryRecordSequence[-1].ReferencedFileID = file_id
        dataset.save_as(disc)


def test_the_files_of_a_disc_are_listed(disc: Path) -> None:
    listed = listed_files(disc)

    assert is_dicomdir(disc)
    assert [one.failure for one in listed] == [None] * 3
    assert {pydicom.dcmread(one.path).InstanceNumber for one in listed} == {1, 2, 3}


def test_a_disc_copied_in_lower_case_is_followed(disc: Path) -> None:
    for path in sorted(disc.parent.rglob("*"), reverse=True):
        if path != disc:
            path.rename(path.with_name(path.name.lower()))

    assert all(one.failure is None for one in listed_files(disc))


@pytest.mark.parametrize(
    "file_id", [["..", "secret"], ["..", "..", "etc", "passwd"], ["/etc/passwd"], ["", "etc", "passwd"]]
)
def test_a_file_outside_the_folder_is_not_followed(disc: Path, file_id: list[str]) -> None:
    (disc.parent.parent / "secret").write_bytes(b"x")
    with_file_id(disc, file_id)

    codes = [one.failure.code for one in listed_files(disc) if one.failure]

    assert codes in (["dicomdir_outside"], ["dicomdir_missing"])
    assert all(disc.parent in one.path.parents for one in listed_files(disc) if not one.failure)


def test_a_link_out_of_the_folder_is_not_followed(disc: Path) -> None:
    secret = disc.parent.parent / "secret"
    secret.write_bytes(b"x")
    (disc.parent / "DOOR").symlink_to(secret)
    with_file_id(disc, ["DOOR"])

    assert [one.failure.code for one in listed_files(disc) if one.failure] == ["dicomdir_outside"]


def test_a_missing_file_is_named_once(disc: Path) -> None:
    listed_files(disc)[1].path.unlink()

    listed = listed_files(disc)

    assert [one.failure.code if one.failure else "" for one in listed] == ["", "dicomdir_missing", ""]
    assert len({one.shown for one in listed}) == 3


def test_another_dicom_file_of_that_name_is_no_dicomdir(tmp_path: Path) -> None:
    path = tmp_path / "DICOMDIR"
    image(1).save_as(path)

    assert not is_dicomdir(path)
    path.write_bytes(b"text")
    assert not is_dicomdir(path)


def test_a_truncated_dicomdir_is_refused(disc: Path) -> None:
    disc.write_bytes(disc.read_bytes()[:-20])

    with pytest.raises(InputError) as caught:
        listed_files(disc)
    assert caught.value.code == "corrupt"
