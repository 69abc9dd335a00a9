"""Missing, doubled and uneven slices are refused by name, or filled where somebody asked for it."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from diascope.geometry import Grid
from tests.io.dicom_phantoms import Phantom, without, write_series
from tests.io.reading import fates, only_refusal, only_series, only_volume, read


def stretched(*along_mm: float) -> object:
    """Put the slices of a straight phantom at these places."""
    phantom = Phantom(directions=np.eye(3), shape=(5, 7, len(along_mm)))

    def change(k: int, dataset: Dataset) -> Dataset:
        x, y, z = phantom.origin_lps_mm
        dataset.ImagePositionPatient = [x, y, z + along_mm[k]]
        return dataset

    return phantom, change


def write_stretched(folder: Path, *along_mm: float) -> Phantom:
    phantom, change = stretched(*along_mm)  # type: ignore[misc]
    write_series(folder, phantom, change)
    return phantom  # type: ignore[no-any-return]


def test_a_missing_slice_is_named_with_both_gaps(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(), without(3))

    found = read(tmp_path)

    assert only_refusal(found) == "missing_slices"
    reason = found.refused[0].failure.reason
    assert "slices 2 and 3 of 10 are 5.00 mm apart, the others 2.50 mm (1 uneven gap in all, 1 slice missing)" in reason
    assert fates(found) == {("refused", "missing_slices"): 10}


def test_holes_everywhere_are_missing_slices_not_uneven_spacing(tmp_path: Path) -> None:
    # Half of the slices are gone: the most frequent gap is a doubled one.
    write_stretched(tmp_path, 0, 3, 9, 15, 21, 24, 33, 39)

    found = read(tmp_path)

    assert only_refusal(found) == "missing_slices"
    assert "the others 3.00 mm" in found.refused[0].failure.reason
    assert "6 slices missing" in found.refused[0].failure.reason


@pytest.mark.parametrize("along_mm", [(0, 2.5, 5, 8.1, 10.6), (0, 1, 2, 3.4, 5, 7.1)])
def test_uneven_spacing_is_refused_by_its_name(tmp_path: Path, along_mm: tuple[float, ...]) -> None:
    write_stretched(tmp_path, *along_mm)

    assert only_refusal(read(tmp_path)) == "uneven_spacing"


def test_slices_that_slide_off_the_line_are_refused(tmp_path: Path) -> None:
    phantom = Phantom()

    def slide(k: int, dataset: Dataset) -> Dataset:
        if k == 4:
            place = np.array(phantom.position_lps_mm(k)) + phantom.directions[:, 0] * 0.5
            dataset.ImagePositionPatient = place.round(6).tolist()
        return dataset

    write_series(tmp_path, phantom, slide)

    found = read(tmp_path)

    assert only_refusal(found) == "crooked_stack"
    assert "slice 4 of 11 lies 0.50 mm off the line" in found.refused[0].failure.reason


def test_a_gap_is_filled_between_its_neighbours_on_request(tmp_path: Path) -> None:
    phantom = Phantom()
    write_series(tmp_path, phantom, without(3))

    found = read(tmp_path, allow_gaps=True)

    volume = only_volume(found)
    assert isinstance(volume.space, Grid)
    np.testing.assert_allclose(volume.space.affine, phantom.affine_ras_mm, atol=1e-5)
    there = [k for k in range(11) if k != 3]
    np.testing.assert_array_equal(volume.data[:, :, there], phantom.data[:, :, there])
    halfway = (phantom.data[:, :, 2].astype(float) + phantom.data[:, :, 4]) / 2
    np.testing.assert_allclose(volume.data[:, :, 3], halfway, atol=0.5)
    assert any("1 of 11 slices were interpolated" in note for note in only_series(found).notes)
    assert only_series(found).interpolated_slices == 1
    assert only_series(found).slice_numbers == (1, 2, 3, None, 5, 6, 7, 8, 9, 10, 11)


def test_uneven_slices_are_resampled_where_they_truly_lie(tmp_path: Path) -> None:
    # Each slice holds its place in tenths of a millimetre, so that a linear filling is exact.
    along_mm = (0, 2, 4, 7, 9)
    phantom, move = stretched(*along_mm)  # type: ignore[misc]

    def change(k: int, dataset: Dataset) -> Dataset:
        dataset.PixelData = np.full((7, 5), along_mm[k] * 10, dtype=np.int16).tobytes()
        return move(k, dataset)  # type: ignore[no-any-return]

    write_series(tmp_path, phantom, change)

    volume = only_volume(read(tmp_path, allow_gaps=True))

    assert isinstance(volume.space, Grid)
    step_mm = volume.space.spacing_mm[2]
    assert step_mm * (volume.data.shape[2] - 1) == pytest.approx(9)
    expected = np.arange(volume.data.shape[2]) * step_mm * 10
    np.testing.assert_allclose(volume.data[2, 3], expected, atol=0.51 + 10 * 0.05 * 3)


def test_a_hole_that_would_be_most_of_the_volume_is_never_filled(tmp_path: Path) -> None:
    write_stretched(tmp_path, 0, 1, 200)

    assert only_refusal(read(tmp_path, allow_gaps=True)) == "missing_slices"
