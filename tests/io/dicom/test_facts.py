"""What may be known is kept; who it is stays in the identity."""

from pathlib import Path

import pytest
from pydicom import Dataset

from diascope.io.series import Catalogue
from tests.io.dicom_phantoms import Phantom, slice_of, with_tags, write_series
from tests.io.reading import KEY, only_series, read

IDENTIFIERS = (
    "Quixote", "Alonso", "MRN-1605-1615", "19500229", "20210314", "2021-03-14", "ACC778899", "Mancha",
    Phantom().uid("study"), Phantom().uid("one"), Phantom().uid("frame of reference"),
)  # fmt: skip


def facts_of(found: Catalogue) -> object:
    return only_series(found).facts


def test_facts_are_taken_before_identifiers_are_dropped(tmp_path: Path) -> None:
    write_series(
        tmp_path,
        Phantom(),
        with_tags(
            MagneticFieldStrength=3,
            EthnicGroup="Hispanic",
            BodyPartExamined="HEAD",
            FlipAngle=9,
            InversionTime=900,
            ContrastBolusAgent="Gadolinium",
            ScanningSequence=["GR", "IR"],
            SequenceVariant="SP",
        ),
    )

    facts = only_series(read(tmp_path)).facts

    assert (facts.modality, facts.body_part, facts.sex, facts.age_years) == ("MR", "HEAD", "M", "71")
    assert (facts.manufacturer, facts.scanner_model) == ("SIEMENS", "Phantom One")
    assert (facts.field_strength_t, facts.ethnic_group, facts.contrast) == (3.0, "hispanic", True)
    assert (facts.echo_time_ms, facts.repetition_time_ms, facts.inversion_time_ms) == (3.5, 2300, 900)
    assert (facts.sequence, facts.flip_angle_deg, facts.slice_thickness_mm) == ("GR+IR/SP", 9, 2.5)
    assert (facts.plane, facts.image_type) == ("axial", ("ORIGINAL", "PRIMARY", "M"))
    assert facts.site_key == KEY.site_key("hospital de la MANCHA")


def test_no_identifier_is_in_facts_notes_or_refusals(tmp_path: Path) -> None:
    write_series(tmp_path / "good", Phantom())
    write_series(tmp_path / "bad", Phantom(name="bad"), lambda k, dataset: None if k == 4 else dataset)

    found = read(tmp_path)

    assert found.series
    assert found.refused
    told = repr([(series.facts, series.notes, series.case_id, series.image_id) for series in found.series])
    told += repr(found.refused) + repr([(row.reason, row.cure, row.code, row.file_id) for row in found.files])
    for identifier in (*IDENTIFIERS, str(tmp_path)):
        assert identifier not in told


def test_the_identity_is_kept_for_private(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom())

    (identity,) = read(tmp_path).identities

    assert (identity.patient_name, identity.patient_id) == ("Quixote^Alonso", "MRN-1605-1615")
    assert (identity.study_date, identity.accession_number) == ("2021-03-14", "ACC778899")
    assert identity.study_uid == Phantom().uid("study")


def test_station_and_operator_are_kept_only_where_they_are_asked_for(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(), with_tags(StationName="MR-WEST-3", OperatorsName="Sancho"))

    assert only_series(read(tmp_path)).facts.extra == ()
    assert only_series(read(tmp_path, keep_facts=("StationName",))).facts.extra == (("StationName", "MR-WEST-3"),)


def test_days_count_from_the_patients_first_study(tmp_path: Path) -> None:
    write_series(tmp_path / "a", Phantom())
    write_series(tmp_path / "b", Phantom(study="later", name="b"), with_tags(StudyDate="20210413"))
    write_series(tmp_path / "c", Phantom(study="other", name="c"), with_tags(StudyDate="20200101", PatientID="X"))

    days = sorted(series.facts.days_since_first or 0 for series in read(tmp_path).series)

    assert days == [0, 0, 30]


@pytest.mark.parametrize(("age", "birth", "expected"), [("093Y", "", "90+"), ("", "19501231", "70"), ("", "", None)])
def test_age_comes_from_its_element_or_from_the_dates(
    tmp_path: Path, age: str, birth: str, expected: str | None
) -> None:
    write_series(tmp_path, Phantom(shape=(5, 7, 1)), with_tags(PatientAge=age, PatientBirthDate=birth))

    assert only_series(read(tmp_path)).facts.age_years == expected


VENDOR_B_VALUES = [
    ((0x0019, "SIEMENS MR HEADER", 0x0C, "IS"), "1000", 1000.0),
    ((0x0043, "GEMS_PARM_01", 0x39, "IS"), ["1000000800", "8", "0", "0"], 800.0),
    ((0x2001, "Philips Imaging DD 001", 0x03, "FL"), 750.0, 750.0),
    ((0x0065, "Image Private Header", 0x09, "FD"), 600.0, 600.0),
]


@pytest.mark.parametrize(("where", "value", "expected"), VENDOR_B_VALUES)
@pytest.mark.parametrize("occupied", [0, 3])
def test_a_vendors_b_value_is_found_by_the_creator_of_its_block(
    tmp_path: Path, where: tuple[int, str, int, str], value: object, expected: float, occupied: int
) -> None:
    group, creator, element, vr = where

    def private(_: int, dataset: Dataset) -> Dataset:
        # Blocks taken by others push the vendor's to another address.
        for other in range(occupied):
            dataset.private_block(group, f"OTHER {other}", create=True).add_new(element, "LO", "7")
        dataset.private_block(group, creator, create=True).add_new(element, vr, value)
        return dataset

    write_series(tmp_path, Phantom(), private)

    assert only_series(read(tmp_path)).facts.b_value_s_per_mm2 == expected


def test_a_block_of_somebody_else_at_the_usual_address_is_not_read(tmp_path: Path) -> None:
    def other(_: int, dataset: Dataset) -> Dataset:
        dataset.private_block(0x0019, "SOMEBODY ELSE", create=True).add_new(0x0C, "IS", "1000")
        return dataset

    write_series(tmp_path, Phantom(), other)

    assert only_series(read(tmp_path)).facts.b_value_s_per_mm2 is None


def test_selection_strings_are_there_for_rules(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom())

    selection = only_series(read(tmp_path)).selection

    assert selection["series_description"] == "t1 oblique"
    assert selection["protocol_name"] == "protocol"
    assert slice_of(Phantom(), 0).SeriesDescription == selection["series_description"]


def test_the_second_scale_of_philips_is_told(tmp_path: Path) -> None:
    def scaled(_: int, dataset: Dataset) -> Dataset:
        dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.0123)
        return dataset

    write_series(tmp_path, Phantom(), scaled)

    assert any("not the precise ones (scale slope)" in note for note in only_series(read(tmp_path)).notes)
