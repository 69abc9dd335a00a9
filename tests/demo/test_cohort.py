import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK

from diascope.demo.cohort import TRUTH_COLUMNS, make_cohort
from diascope.demo.dicom_series import IMPLEMENTATION_UID
from diascope.demo.planted import Cohort, PlantedCase, PlantedSeries
from diascope.demo.studies import STUDIES
from diascope.errors import OutputError
from diascope.evaluation.truth import read_truth_table
from diascope.identity import IdentityKey
from diascope.io.catalogue import catalogue
from diascope.io.reader import Context, IngestSettings

# Elements that tell who somebody is, besides all names, dates and UIDs.
TELLING = (
    "PatientID",
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "StationName",
    "DeviceSerialNumber",
)


def named(cohort: Cohort, name: str) -> PlantedCase:
    return next(case for case in cohort.cases if case.name == name)


def read(series: PlantedSeries) -> SimpleITK.Image:
    """Read a series as an independent library orders it: GDCM, by position."""
    if not series.uid:
        return SimpleITK.ReadImage(series.files[0])
    files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(series.files[0].parent), series.uid)
    assert len(files) == len(series.files)
    return SimpleITK.ReadImage(files)


def whole_series(cohort: Cohort) -> Iterator[tuple[PlantedCase, PlantedSeries]]:
    for case in cohort.cases:
        if case.expected == "done":
            yield from ((case, series) for series in case.series if not series.is_localizer)


def test_every_file_below_the_scans_is_accounted_for_once(cohort: Cohort) -> None:
    found = sorted(path for path in cohort.scans.rglob("*") if path.is_file())

    assert found == list(cohort.files)
    assert len(found) == len(set(found)) > 400
    assert sum(path.stat().st_size for path in found) < 60e6


def test_about_eight_patients_with_every_kind_of_outcome(cohort: Cohort) -> None:
    assert len({case.record_number for case in cohort.cases}) == 8
    assert len(cohort.cases) == 9
    assert [case.name for case in cohort.cases if case.expected == "refused"] == ["missing_slice"]
    assert [case.name for case in cohort.cases if case.expected == "failed"] == ["torn_file"]


def test_every_whole_series_loads_as_twelve_bits_with_its_own_spacing(cohort: Cohort) -> None:
    seen = 0
    for _, series in whole_series(cohort):
        image = read(series)
        data = SimpleITK.GetArrayFromImage(image)
        assert 300 < data.max() <= 4095 * 1.25  # Philips rescales by 1.25
        assert data.min() >= 0
        assert min(image.GetSize()) > 20
        seen += 1
    assert seen == 9


def test_truth_lies_on_the_voxels_of_its_image(cohort: Cohort) -> None:
    seen = 0
    for _, series in whole_series(cohort):
        if series.truth is None:
            continue
        image, label = read(series), SimpleITK.ReadImage(series.truth.label_file)
        assert image.GetSize() == label.GetSize()
        for one, other in (
            (image.GetSpacing(), label.GetSpacing()),
            (image.GetOrigin(), label.GetOrigin()),
            (image.GetDirection(), label.GetDirection()),
        ):
            np.testing.assert_allclose(one, other, atol=1e-4)
        seen += 1
    assert seen == 5


@pytest.mark.parametrize(
    ("name", "side", "sign"),
    [
        ("left_frontal_lesion", "left", 1),
        ("right_temporal_lesion_with_cyst", "right", -1),
        ("nifti_left_parietal_lesion", "left", 1),
    ],
)
def test_the_lesion_is_bright_and_on_its_side_for_an_independent_library(
    cohort: Cohort, name: str, side: str, sign: int
) -> None:
    series = next(series for series in named(cohort, name).series if series.truth is not None)
    assert series.truth is not None
    image, label = read(series), SimpleITK.ReadImage(series.truth.label_file)

    found = SimpleITK.LabelIntensityStatisticsImageFilter()
    found.Execute(label, image)

    # SimpleITK speaks LPS: x grows to the patient's left.
    x, y, z = found.GetCentroid(1)
    assert sign * x > 15
    assert series.truth.side == side
    np.testing.assert_allclose((-x, -y, z), series.truth.centre_ras_mm, atol=0.01)
    assert found.GetPhysicalSize(1) == pytest.approx(series.truth.volume_mm3, rel=1e-4)
    # 2 to 5 cm across, and brighter than the brain by what real gliomas are (median 1.47
    # on ../shared/data/lgg_flair, the middle 80 % from 1.12 to 1.91).
    assert 20 < found.GetEquivalentSphericalRadius(1) * 2 < 50
    data = SimpleITK.GetArrayFromImage(image)
    middle = data[tuple(slice(n // 3, -n // 3) for n in data.shape)]
    assert 1.12 < found.GetMedian(1) / np.median(middle[middle > 100]) < 1.91


def test_the_nose_is_in_front_and_the_neck_below_in_sagittal_series(cohort: Cohort) -> None:
    seen = 0
    for _, series in whole_series(cohort):
        if series.contrast != "t1":
            continue
        image = read(series)
        head = SimpleITK.GetArrayFromImage(SimpleITK.SmoothingRecursiveGaussian(image, 2.0)) > 80
        steps = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
        points_lps_mm = np.argwhere(head)[:, ::-1] @ steps.T + np.array(image.GetOrigin())
        nose = points_lps_mm[points_lps_mm[:, 1].argmin()]
        assert abs(nose[0]) < 15  # in the middle
        assert nose[2] < -30  # below the brain
        top, bottom = points_lps_mm[:, 2].max(), points_lps_mm[:, 2].min()
        widths = [np.ptp(points_lps_mm[np.abs(points_lps_mm[:, 2] - z) < 4, 0]) for z in (bottom + 12, top - 75)]
        assert widths[0] < widths[1]  # the neck is narrower than the head
        seen += 1
    assert seen == 3


def test_the_oblique_series_is_oblique_and_the_sagittal_one_sagittal(cohort: Cohort) -> None:
    (oblique,) = named(cohort, "oblique_wide_ventricles_over_90").series
    sagittal = next(series for series in named(cohort, "no_lesion_t1_and_t2").series if series.contrast == "t1")

    direction = np.array(read(oblique).GetDirection()).reshape(3, 3)
    assert 0.9 < direction[2, 2] < 0.99
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-6)
    assert abs(np.array(read(sagittal).GetDirection()).reshape(3, 3)[0, 2]) > 0.99


def test_the_missing_slice_is_missing(cohort: Cohort) -> None:
    (series,) = named(cohort, "missing_slice").series

    heights_mm = [float(pydicom.dcmread(file).ImagePositionPatient[2]) for file in series.files]

    gaps_mm = np.diff(np.sort(heights_mm))
    assert np.sort(gaps_mm)[-2:] == pytest.approx([5.5, 11.0], abs=1e-4)
    assert len(gaps_mm) == 22


def test_the_torn_file_has_a_whole_header_and_half_its_pixels(cohort: Cohort) -> None:
    (series,) = named(cohort, "torn_file").series

    header = pydicom.dcmread(series.files[0], stop_before_pixels=True)

    assert header.StudyInstanceUID == named(cohort, "torn_file").key
    assert series.files[0].stat().st_size < header.Rows * header.Columns * 2


def test_the_strays_are_no_images(cohort: Cohort) -> None:
    objects = [path for path in cohort.not_images if path.name == "DICOMDIR"]
    reports = [path for case in cohort.cases for path in case.other_files]

    assert len(cohort.not_images) == 6
    assert len(objects) == len(reports) == 1
    for path in (*objects, *reports):
        assert "PixelData" not in pydicom.dcmread(path)
    for path in set(cohort.not_images) - set(objects):
        with pytest.raises(pydicom.errors.InvalidDicomError):
            pydicom.dcmread(path)


def test_headers_differ_as_patients_and_vendors_do(cohort: Cohort) -> None:
    headers = [
        pydicom.dcmread(series.files[0], stop_before_pixels=True) for _, series in whole_series(cohort) if series.uid
    ]

    assert len({header.Manufacturer for header in headers}) == 4
    assert len({header.InstitutionName for header in headers}) == 4
    assert {header.PatientSex for header in headers} == {"F", "M"}
    assert {float(header.MagneticFieldStrength) for header in headers} == {1.5, 3.0}
    assert len({header.EthnicGroup for header in headers}) >= 3
    assert max(int(header.PatientAge[:3]) for header in headers) > 90


def test_every_identifier_in_headers_and_paths_is_listed(cohort: Cohort) -> None:
    listed = set(cohort.identifiers)
    headers = 0
    for path in cohort.files:
        assert str(path.relative_to(cohort.scans)) in listed
        try:
            found = pydicom.dcmread(path, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:
            continue
        headers += 1
        for element in (*found.file_meta, *found.iterall()):
            for value in [element.value] if element.VM <= 1 else element.value:
                if is_telling(element, value):
                    assert str(value) in listed, element
        assert str(found.get("PatientName", "")).partition("^")[0] in {*listed, ""}
    assert headers > 400


def is_telling(element: pydicom.DataElement, value: object) -> bool:
    if element.value in ("", None) or str(value) == IMPLEMENTATION_UID:
        return False
    if element.VR == "UI":
        return not str(value).startswith("1.2.840.10008.")
    return element.VR in ("PN", "DA") or element.keyword in TELLING


def test_identifiers_are_long_enough_to_be_searched_for(cohort: Cohort) -> None:
    # A shorter string turns up by chance: in a digest, a compressed image, a word.
    assert min(len(text) for text in cohort.identifiers) >= 6


def test_the_truth_table_names_every_image_with_a_truth(cohort: Cohort) -> None:
    with cohort.truth_csv.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))

    assert tuple(rows[0]) == TRUTH_COLUMNS
    assert len(rows) == 5
    assert {row["case"] for row in rows} <= {case.key for case in cohort.cases}
    assert sum(row["side"] == "none" for row in rows) == 2
    for row in rows:
        case = next(case for case in cohort.cases if case.key == row["case"])
        assert cohort.truth_csv.parent / row["file"] in case.files
        assert (cohort.truth_csv.parent / row["truth"]).is_file()
    # The reader that `diascope evaluate` uses takes it.
    assert [row.label for row in read_truth_table(cohort.truth_csv)] == ["tumour"] * 5


def test_the_same_seed_gives_the_same_bytes(cohort: Cohort, tmp_path: Path) -> None:
    names = ("t1_only", "nifti_left_parietal_lesion", "torn_file")

    again = make_cohort(tmp_path, studies=[study for study in STUDIES if study.name in names])

    assert len(again.cases) == 3
    for case in again.cases:
        for file in case.files:
            same = cohort.scans / file.relative_to(again.scans)
            assert file.read_bytes() == same.read_bytes()


def test_a_folder_that_holds_scans_already_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()

    with pytest.raises(OutputError, match="there is a folder scans/ already"):
        make_cohort(tmp_path)

    assert list(tmp_path.rglob("*")) == [tmp_path / "scans"]


def test_the_readers_find_what_was_planted(cohort: Cohort) -> None:
    key = IdentityKey(bytes(range(32)))

    found = catalogue([cohort.scans], Context(key, IngestSettings()))

    fates = {Path(row.path): (row.fate, row.code) for row in found.files}
    assert set(fates) == set(cohort.files)
    for case in cohort.cases:
        wanted = ("used", "") if case.expected == "done" else (case.expected, case.expected_code)
        assert {fates[file] for series in case.series for file in series.files} == {wanted}
        assert {fates[file][0] for file in case.other_files} <= {"not_an_image"}
    assert {fates[file][0] for file in cohort.not_images} == {"not_an_image"}
    assert set(found.cases()) == {key.case_id(case.key) for case in cohort.cases}
    decodable = {series.case_id for series in found.series}
    assert decodable == {key.case_id(case.key) for case in cohort.cases if case.expected == "done"}
