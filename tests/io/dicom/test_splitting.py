"""One SeriesInstanceUID may hold several images; each of them comes out alone."""

from pathlib import Path

import numpy as np
from pydicom import Dataset

from diascope.geometry import Grid
from diascope.io.decode import decode
from diascope.volume import Volume
from tests.io.dicom_phantoms import Phantom, put_pixels, save, slice_of, with_tags, write_series
from tests.io.reading import fates, only_series, read


def add_part(folder: Path, phantom: Phantom, part: str, change: object = None) -> None:
    """Write a second stack into the same series."""

    def together(k: int, dataset: Dataset) -> Dataset:
        dataset.SeriesInstanceUID = Phantom().uid(Phantom().name)
        return change(k, dataset) if change else dataset  # type: ignore[operator, no-any-return]

    write_series(folder / part, phantom, together)


def test_two_orientations_in_one_series_are_two_images(tmp_path: Path) -> None:
    one, other = Phantom(shape=(5, 7, 40)), Phantom(shape=(5, 7, 30), directions=np.eye(3), name="other")
    write_series(tmp_path, one)
    add_part(tmp_path, other, "other")

    found = read(tmp_path)

    assert not found.refused
    affines = [series.space.affine for series in found.series if isinstance(series.space, Grid)]
    assert len(affines) == 2
    for phantom in (one, other):
        assert any(np.allclose(affine, phantom.affine_ras_mm, atol=1e-5) for affine in affines)
    assert len({series.image_id for series in found.series}) == 2


def test_matrix_spacing_echo_and_kind_of_image_split_a_series(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom())
    add_part(tmp_path, Phantom(shape=(6, 7, 11), name="matrix"), "matrix")
    add_part(tmp_path, Phantom(spacing_mm=(0.9, 0.8, 2.5), name="spacing"), "spacing")
    add_part(tmp_path, Phantom(name="echo"), "echo", with_tags(EchoTime=92.0))
    add_part(tmp_path, Phantom(name="kind"), "kind", with_tags(ImageType=["DERIVED", "PRIMARY", "P"]))

    found = read(tmp_path)

    assert not found.refused
    assert len(found.series) == len({series.image_id for series in found.series}) == 5
    assert sorted(series.facts.echo_time_ms or 0 for series in found.series) == [3.5, 3.5, 3.5, 3.5, 92.0]
    assert fates(found) == {("used", ""): 55}


def test_exposure_time_and_tube_current_split_nothing(tmp_path: Path) -> None:
    def vary(k: int, dataset: Dataset) -> Dataset:
        dataset.ExposureTime, dataset.XRayTubeCurrent = 500 + k, 200 - 3 * k
        dataset.SeriesTime = f"1011{k:02d}"
        dataset.ImageType = ["ORIGINAL" if k else "DERIVED", "PRIMARY", "AXIAL"]
        return dataset

    write_series(tmp_path, Phantom(), vary, modality="CT")

    assert only_series(read(tmp_path)).files.__len__() == 11


def test_two_series_with_the_same_number_stay_apart(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom())
    write_series(tmp_path, Phantom(name="other", origin_lps_mm=(0.0, 0.0, 0.0)))

    found = read(tmp_path)

    assert len(found.series) == 2
    assert {series.selection["series_number"] for series in found.series} == {"4"}
    assert len({series.case_id for series in found.series}) == 1


def test_one_study_uid_for_two_patients_makes_two_cases(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom())
    write_series(tmp_path, Phantom(name="other"), with_tags(PatientID="SOMEBODY-ELSE"))

    found = read(tmp_path)

    assert len(found.identities) == 2
    assert len({identity.patient_key for identity in found.identities}) == 2


def test_a_localizer_in_three_planes_is_tagged_as_one(tmp_path: Path) -> None:
    planes = {"a": np.eye(3), "b": np.eye(3)[:, [1, 2, 0]], "c": np.eye(3)[:, [0, 2, 1]] * [1, 1, -1]}
    for name, directions in planes.items():
        phantom = Phantom(shape=(5, 7, 1), directions=directions, name=name)
        add_part(tmp_path, phantom, name)

    found = read(tmp_path)

    assert len(found.series) == 3
    assert {series.selection.get("is_localizer") for series in found.series} == {"yes"}
    assert {series.facts.plane for series in found.series} == {"axial", "sagittal", "coronal"}


def test_a_scout_in_the_series_of_its_scan_does_not_make_the_scan_a_scout(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(shape=(5, 7, 12), directions=np.eye(3)), modality="CT")
    across = Phantom(shape=(5, 7, 1), directions=np.eye(3)[:, [0, 2, 1]], name="across")
    add_part(tmp_path, across, "across", with_tags(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))

    found = read(tmp_path)

    tagged = {series.space.shape[2]: series.selection.get("is_localizer") for series in found.series if series.space}
    assert tagged == {12: None, 1: "yes"}


def test_a_series_that_is_called_a_scout_is_tagged(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(shape=(5, 7, 3)), with_tags(SeriesDescription="3-plane loc"))

    assert only_series(read(tmp_path)).selection["is_localizer"] == "yes"


def test_stacks_through_the_discs_of_a_spine_are_no_localizer(tmp_path: Path) -> None:
    for at, degrees in enumerate((0, 12, 24)):
        turn = np.deg2rad(degrees)
        tilt = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
        add_part(tmp_path, Phantom(shape=(5, 7, 4), directions=tilt, name=f"disc {at}"), f"{at}")

    found = read(tmp_path)

    assert len(found.series) == 3
    assert not any(series.selection.get("is_localizer") for series in found.series)


def test_a_localizer_with_uneven_slices_is_skipped_by_rule_and_no_error(tmp_path: Path) -> None:
    phantom = Phantom(shape=(5, 7, 4), directions=np.eye(3))

    def spread(k: int, dataset: Dataset) -> Dataset:
        x, y, z = phantom.origin_lps_mm
        dataset.ImagePositionPatient = [x, y, z + (0, 20, 50, 60)[k]]
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        return dataset

    write_series(tmp_path, phantom, spread)

    found = read(tmp_path)

    assert not found.series
    assert not found.refused
    assert fates(found) == {("skipped", "localizer"): 4}


def test_a_ct_scout_is_tagged_beside_its_volume(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(), modality="CT")
    scout = slice_of(Phantom(shape=(9, 30, 1), name="scout", directions=np.eye(3)[:, [0, 2, 1]]), 0, "CT")
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(scout, tmp_path / "scout")

    found = read(tmp_path)

    assert sorted(series.selection.get("is_localizer", "no") for series in found.series) == ["no", "yes"]


def test_slices_of_different_bit_depth_are_one_volume(tmp_path: Path) -> None:
    def narrow(k: int, dataset: Dataset) -> Dataset:
        if k % 2:
            put_pixels(dataset, (Phantom().data[:, :, k].T % 256).astype(np.uint8))
        return dataset

    write_series(tmp_path, Phantom(), narrow)

    volume = decode(only_series(read(tmp_path)))

    assert isinstance(volume, Volume)
    expected = Phantom().data.copy()
    expected[:, :, 1::2] %= 256
    np.testing.assert_array_equal(volume.data, expected)
