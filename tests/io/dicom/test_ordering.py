"""Volumes of a 4-D series: the axis is named, and every volume is whole."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from diascope.io.decode import decode
from diascope.io.series import Catalogue
from diascope.volume import Volume
from tests.io.dicom_phantoms import Phantom, save, slice_of
from tests.io.reading import only_refusal, only_series, read


def write_volumes(folder: Path, count: int, change: object, skip: tuple[int, int] | None = None) -> None:
    """Write several volumes at one place; voxels of volume t are t * 100 higher."""
    phantom = Phantom(shape=(5, 7, 6))
    for t in range(count):
        for k in range(6):
            if (t, k) == skip:
                continue
            dataset = slice_of(phantom, k)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = phantom.uid("volume", t, k)
            dataset.PixelData = (phantom.data[:, :, k].T + 100 * t).astype(np.int16).tobytes()
            change(t, k, dataset)  # type: ignore[operator]
            save(dataset, folder / f"{(t * 7 + k * 5) % 31:03d}_{t}_{k}")


def volumes(found: Catalogue) -> list[np.ndarray]:
    series = only_series(found)
    decoded = [decode(series, at) for at in range(series.volumes)]
    assert all(isinstance(volume, Volume) for volume in decoded)
    return [volume.data for volume in decoded]


def temporal(t: int, k: int, dataset: Dataset) -> None:
    dataset.TemporalPositionIdentifier = t + 1


def b_values(t: int, k: int, dataset: Dataset) -> None:
    dataset.DiffusionBValue = (0.0, 500.0, 1000.0)[t]


def acquisition_numbers(t: int, k: int, dataset: Dataset) -> None:
    dataset.AcquisitionNumber = t + 1


def interleaved_times(t: int, k: int, dataset: Dataset) -> None:
    # Slices 0, 2, 4 come before 1, 3, 5; a volume takes two seconds.
    order = (0, 3, 1, 4, 2, 5)[k]
    dataset.AcquisitionTime = f"1012{t * 2 + order // 3:02d}.{order % 3}"


def trigger_times(t: int, k: int, dataset: Dataset) -> None:
    dataset.TriggerTime = 30.0 * t + 0.5 * k


def instance_numbers(t: int, k: int, dataset: Dataset) -> None:
    dataset.AcquisitionTime = "101200"
    dataset.InstanceNumber = t * 6 + k + 1


@pytest.mark.parametrize(
    ("change", "axis"),
    [
        (temporal, "time"),
        (b_values, "b_value"),
        (acquisition_numbers, "time"),
        (interleaved_times, "time"),
        (trigger_times, "time"),
        (instance_numbers, "time"),
    ],
)
def test_volumes_at_one_place_are_told_apart_and_the_axis_is_named(tmp_path: Path, change: object, axis: str) -> None:
    write_volumes(tmp_path, 3, change)

    found = read(tmp_path)

    series = only_series(found)
    assert (series.volumes, series.axis) == (3, axis)
    for t, data in enumerate(volumes(found)):
        np.testing.assert_array_equal(data, Phantom(shape=(5, 7, 6)).data + 100 * t)


def test_the_b_values_of_the_volumes_are_kept(tmp_path: Path) -> None:
    write_volumes(tmp_path, 3, b_values)

    plan = only_series(read(tmp_path)).details["plan"]

    assert plan.axis_values == (0.0, 500.0, 1000.0)  # type: ignore[attr-defined]


def test_directions_of_one_b_value_are_told_apart(tmp_path: Path) -> None:
    def directions(t: int, k: int, dataset: Dataset) -> None:
        dataset.DiffusionBValue = 1000.0
        dataset.DiffusionGradientOrientation = [float(t == axis) for axis in range(3)]

    write_volumes(tmp_path, 3, directions)

    assert only_series(read(tmp_path)).volumes == 3


def test_a_volume_that_lacks_a_slice_is_refused(tmp_path: Path) -> None:
    write_volumes(tmp_path, 3, temporal, skip=(2, 4))

    found = read(tmp_path)

    assert only_refusal(found) == "incomplete_volume"
    assert "slice 4 of 6 is there 2 times, the others 3 times" in found.refused[0].failure.reason


def test_slices_are_ordered_by_place_and_never_by_number(tmp_path: Path) -> None:
    phantom = Phantom()
    for k in range(11):
        dataset = slice_of(phantom, k)
        dataset.InstanceNumber = 100 - k
        dataset.SliceLocation = -k
        save(dataset, tmp_path / f"{100 - k}")

    assert [data.tolist() for data in volumes(read(tmp_path))] == [phantom.data.tolist()]


def test_volumes_whose_positions_differ_in_the_last_digits_are_still_volumes(tmp_path: Path) -> None:
    def shaken(t: int, k: int, dataset: Dataset) -> None:
        temporal(t, k, dataset)
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, round(float(z) + 0.02 * t, 6)]

    write_volumes(tmp_path, 3, shaken)

    assert only_series(read(tmp_path)).volumes == 3
