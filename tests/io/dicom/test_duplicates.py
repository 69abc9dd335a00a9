"""The same slice twice: dropped where it is a copy, refused where it is not."""

import shutil
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import RLELossless

from tests.io.dicom_phantoms import Phantom, save, slice_of, write_series
from tests.io.reading import fates, only_refusal, only_series, only_volume, read


def test_a_copied_file_is_dropped_and_said(tmp_path: Path) -> None:
    paths = write_series(tmp_path, Phantom())
    shutil.copy(paths[4], tmp_path / "copy")

    found = read(tmp_path)

    assert fates(found) == {("used", ""): 11, ("skipped", "duplicate_file"): 1}
    np.testing.assert_array_equal(only_volume(found).data, Phantom().data)
    assert any("1 file is a copy of another" in note for note in only_series(found).notes)


def test_a_copy_in_another_packing_is_still_a_copy(tmp_path: Path) -> None:
    paths = write_series(tmp_path, Phantom())
    packed = dcmread(paths[4])
    packed.compress(RLELossless, generate_instance_uid=False)
    save(packed, tmp_path / "copy")

    assert fates(read(tmp_path)) == {("used", ""): 11, ("skipped", "duplicate_file"): 1}


def test_the_same_instance_with_other_pixels_is_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, Phantom())
    other = dcmread(paths[4])
    other.PixelData = bytes(len(other.PixelData))
    save(other, tmp_path / "other")

    assert only_refusal(read(tmp_path)) == "conflicting_duplicates"


def test_two_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    phantom = Phantom()
    write_series(tmp_path, phantom)
    again = slice_of(phantom, 6)
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = phantom.uid("again")
    save(again, tmp_path / "again")

    found = read(tmp_path)

    assert only_refusal(found) == "duplicate_slices"
    assert "slice 6 of 11 is there 2 times" in found.refused[0].failure.reason
    assert fates(found) == {("refused", "duplicate_slices"): 12}


def test_a_series_that_is_there_twice_with_nothing_to_tell_them_apart_is_refused(tmp_path: Path) -> None:
    phantom = Phantom()
    write_series(tmp_path / "one", phantom)
    for k in range(11):
        again = slice_of(phantom, k)
        again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = phantom.uid("again", k)
        save(again, tmp_path / "two" / str(k))

    assert only_refusal(read(tmp_path)) == "duplicate_slices"
