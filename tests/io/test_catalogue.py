"""The rule: every file below the inputs is in exactly one row, with its fate and reason."""

import gzip
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from diascope.errors import InputError
from diascope.io.decode import decode
from diascope.volume import Volume
from tests.io.dicom_phantoms import Phantom, save, slice_of, with_tags, without, write_series
from tests.io.reading import fates, only_volume, read
from tests.io.test_nifti import affine_mm, write


def a_bit_of_everything(folder: Path) -> None:
    """Two good series, one with a gap, a copy, junk, a corrupt image and NIfTI."""
    paths = write_series(folder / "good", Phantom())
    write_series(folder / "other", Phantom(name="other", study="other"), modality="CT")
    write_series(folder / "gap", Phantom(name="gap", study="gap"), without(5))
    shutil.copy(paths[0], folder / "good" / "copy of one")
    write(folder / "head.nii.gz", sform=affine_mm())
    write(folder / "no affine.nii")
    (folder / "corrupt.dcm").write_bytes(b"\x93" * 2000)
    (folder / "README.txt").write_text("read me")
    (folder / "viewer.exe").write_bytes(b"MZ" + bytes(500))
    (folder / "broken link").symlink_to(folder / "nowhere")


def test_every_file_has_one_row_and_one_fate(tmp_path: Path) -> None:
    a_bit_of_everything(tmp_path)

    found = read(tmp_path)

    paths = sorted(str(path) for path in tmp_path.rglob("*") if not path.is_dir())
    assert [record.path for record in found.files] == paths
    assert fates(found) == {
        ("used", ""): 24,
        ("refused", "missing_slices"): 10,
        ("skipped", "duplicate_file"): 1,
        ("failed", "corrupt"): 1,
        ("failed", "cannot_read"): 1,
        ("not_an_image", "text"): 1,
        ("not_an_image", "program"): 1,
    }
    assert len({record.file_id for record in found.files}) == len(found.files)
    assert all(record.reason for record in found.files if record.fate != "used")


def test_a_case_is_a_study_or_else_a_file(tmp_path: Path) -> None:
    a_bit_of_everything(tmp_path)

    cases = read(tmp_path).cases()

    assert sorted(len(series) for series in cases.values()) == [0, 1, 1, 1, 1]


def test_the_used_files_are_those_of_the_series(tmp_path: Path) -> None:
    a_bit_of_everything(tmp_path)

    found = read(tmp_path)

    by_image = {series.image_id: {str(path) for path in series.files} for series in found.series}
    for record in found.files:
        if record.fate == "used":
            assert record.path in by_image[record.image_id]
            assert record.case_id
    assert sum(len(files) for files in by_image.values()) == 24


def test_inputs_are_never_changed(tmp_path: Path) -> None:
    a_bit_of_everything(tmp_path)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}

    for series in read(tmp_path).series:
        decode(series)

    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()
    }


def test_a_scan_is_the_same_whatever_the_order_of_the_inputs(tmp_path: Path) -> None:
    a_bit_of_everything(tmp_path)
    folders = sorted(tmp_path.iterdir())

    assert repr(read(*folders)) == repr(read(*folders[::-1]))


def test_members_of_an_archive_are_files_like_others(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "series", Phantom())
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"disc/{path.name}")
        archive.writestr("disc/autorun.inf", "[autorun]")
    (tmp_path / "scratch").mkdir()

    found = read(tmp_path / "study.zip", scratch=tmp_path / "scratch")

    np.testing.assert_array_equal(only_volume(found).data, Phantom().data)
    assert fates(found)["used", ""] == 11
    assert fates(found)["not_an_image", "text"] == 1
    assert len(found.files) == 13
    assert str(tmp_path / "study.zip!disc") in found.files[3].path.replace("!/", "!")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_is_taken_apart(tmp_path: Path, mode: str) -> None:
    paths = write_series(tmp_path / "series", Phantom())
    with tarfile.open(tmp_path / "study.tar", mode) as archive:  # type: ignore[call-overload]
        for path in paths:
            archive.add(path, path.name)
    (tmp_path / "scratch").mkdir()

    found = read(tmp_path / "study.tar", scratch=tmp_path / "scratch")

    np.testing.assert_array_equal(only_volume(found).data, Phantom().data)


def test_a_gzipped_dicom_file_is_read(tmp_path: Path) -> None:
    path = save(slice_of(Phantom(shape=(5, 7, 1)), 0), tmp_path / "slice.dcm")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "slice.dcm.gz").write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / "scratch").mkdir()

    found = read(tmp_path / "in", scratch=tmp_path / "scratch")

    assert only_volume(found).data.shape == (5, 7, 1)


def test_an_input_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path / "nowhere")
    assert caught.value.code == "no_such_input"


def test_an_unreadable_patient_does_not_hide_the_others(tmp_path: Path) -> None:
    write_series(tmp_path / "good", Phantom())
    write_series(tmp_path / "bad", Phantom(name="bad", study="bad"), with_tags(Rows=0))

    found = read(tmp_path)

    assert isinstance(decode(found.series[0]), Volume)
    assert fates(found) == {("used", ""): 11, ("failed", "bad_shape"): 11}
