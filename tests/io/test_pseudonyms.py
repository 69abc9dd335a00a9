"""From record numbers to patient keys, naming nobody."""

import pytest

from diascope.errors import ConfigError
from diascope.io.pseudonyms import pseudonymised, whose
from diascope.io.series import CaseIdentity
from diascope.io.tables import Table

IDENTITIES = (
    CaseIdentity("case-1", "pat-a", "00017", "Meyer^Anna", "1.2.3", "A99", "20260102", "19800101"),
    CaseIdentity("case-2", "pat-a", "00017", "Meyer^Anna", "1.2.4", "A98", "20260301", "19800101"),
    CaseIdentity("case-3", "pat-b", "X-18", "Li^Bo", "1.2.5"),
    CaseIdentity("case-4", "pat-c", "twins", "", "1.2.6"),
    CaseIdentity("case-5", "pat-d", "twins", "", "1.2.7"),
    CaseIdentity("case-6", "pat-e", "Ageing/sub-01", "", "ds/sub-01"),
)


def table(*rows: dict[str, str]) -> Table:
    return Table(tuple(rows[0]), rows)


def test_record_numbers_become_patient_keys() -> None:
    made = pseudonymised(
        table({"MRN": " 00017 ", "outcome": "alive"}, {"MRN": "x-18", "outcome": "dead"}), "MRN", IDENTITIES
    )

    assert made.columns == ("patient_key", "outcome")
    assert made.rows == ({"patient_key": "pat-a", "outcome": "alive"}, {"patient_key": "pat-b", "outcome": "dead"})
    assert made.unmatched == ()


def test_rows_of_nobody_and_of_two_patients_are_named_by_their_lines() -> None:
    made = pseudonymised(
        table({"MRN": "99", "x": "1"}, {"MRN": "00017", "x": "2"}, {"MRN": "twins", "x": "3"}, {"MRN": "", "x": "4"}),
        "MRN",
        IDENTITIES,
    )

    assert made.unmatched == (2, 4, 5)
    assert len(made.rows) == 1


def test_leading_zeros_are_part_of_a_number() -> None:
    assert pseudonymised(table({"MRN": "17"}), "MRN", IDENTITIES).unmatched == (2,)


def test_columns_that_tell_who_it_is_by_name_or_by_value_are_left_out() -> None:
    made = pseudonymised(
        table({"MRN": "00017", "birth_date": "", "whom": "MEYER ANNA", "visit": "A98", "sex": "F"}), "MRN", IDENTITIES
    )

    assert made.dropped == ("birth_date", "whom", "visit")
    assert made.columns == ("patient_key", "sex")


def test_a_column_is_kept_where_somebody_says_so() -> None:
    made = pseudonymised(table({"MRN": "00017", "death_date": "2026"}), "MRN", IDENTITIES, keep=["death_date"])

    assert made.columns == ("patient_key", "death_date")


def test_a_subject_of_a_bids_folder_is_found_by_its_label() -> None:
    made = pseudonymised(table({"participant_id": "sub-01", "score": "3"}), "participant_id", IDENTITIES)

    assert made.rows == ({"patient_key": "pat-e", "score": "3"},)


def test_a_column_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="no column MRN") as caught:
        pseudonymised(table({"id": "1", "sex": "F"}), "MRN", IDENTITIES)
    assert "id, sex" in caught.value.hint


@pytest.mark.parametrize(
    ("asked", "cases"),
    [("case-1", ["case-1"]), ("pat-a", ["case-1", "case-2"]), ("X-18", ["case-3"]), ("Meyer^Anna", []), ("", [])],
)
def test_cases_are_found_by_case_patient_or_record_number(asked: str, cases: list[str]) -> None:
    assert [one.case_id for one in whose(asked, IDENTITIES)] == cases
