"""Anybody's predictions: what is wrong with a table is said, with numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diascope.errors import InputError
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.audit.table import prepare, read_table

PLAN = AuditSettings(groups=("sex",), smallest_group=2)


def table(**columns: object) -> pd.DataFrame:
    plain = {
        "case_id": ["a", "b", "c", "d"],
        "y": [1, 0, 1, 0],
        "score": [0.9, 0.2, 0.4, 0.6],
        "sex": ["F", "M", "F", "M"],
    }
    return pd.DataFrame({**plain, **columns})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"score": [0.9, 1.7, 0.4, -0.6]}, r"score goes from -0\.6 to 1\.7, expected 0 to 1"),
        ({"score": [0.9, None, 0.4, "high"]}, "2 of 4 values of score are not a number"),
        ({"y": [1, 0, 2, None]}, "2 of 4 values of y are neither 0 nor 1"),
        ({"case_id": ["a", "b", "a", "a"]}, r"2 of 4 rows name a case that stands there already \(by case_id\)"),
    ],
)
def test_bad_values_are_refused_with_how_many(columns: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(table(**columns), PLAN)


def test_an_absent_column_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no column sex; it has case_id, y, score"):
        prepare(table().drop(columns="sex"), PLAN)


def test_one_class_only_is_no_error_but_leaves_its_metrics_undefined() -> None:
    found = prepare(table(y=[1, 1, 1, 1]), PLAN)

    assert {one.name: one.value for one in found.measures}["specificity"] is None


def test_without_a_patient_column_cases_are_patients_and_it_is_told() -> None:
    found = prepare(table(), PLAN)

    assert found.patients == 4
    assert "there is no column patient: every case counts as a patient" in found.notes


def test_rows_without_a_patient_do_not_become_one_large_patient() -> None:
    assert prepare(table(patient=["p", "p", None, None]), PLAN).patients == 3


def test_rows_are_chosen_by_where_and_the_others_counted() -> None:
    found = prepare(
        table(target=["nodule", "nodule", "hernia", "nodule"]), PLAN.model_copy(update={"where": {"target": "nodule"}})
    )

    assert found.rows == 3
    assert "1 rows are not of {'target': 'nodule'}" in found.notes
    with pytest.raises(InputError, match="no row of 4 is left"):
        prepare(table(sex=list("FMFM")), PLAN.model_copy(update={"where": {"sex": "X"}}))


def test_a_clinical_table_is_joined_and_what_does_not_match_is_counted() -> None:
    plan = AuditSettings.model_validate({"groups": ["smoker"], "join": {"file": "x.csv", "on": "case_id"}})
    clinical = pd.DataFrame({"case_id": ["a", "b", "z"], "smoker": ["yes", "no", "no"]})

    found = prepare(table(), plan, clinical)

    (smoker,) = found.attributes
    assert [smoker.levels[code] for code in smoker.code] == ["yes", "no", "missing", "missing"]
    assert "2 of 4 rows have no row in the clinical table: their groups are missing" in found.notes
    assert "1 rows of the clinical table have no prediction" in found.notes


def test_a_clinical_table_with_a_case_twice_is_refused() -> None:
    plan = AuditSettings.model_validate({"groups": ["smoker"], "join": {"file": "x.csv", "on": "case_id"}})

    with pytest.raises(InputError, match="1 rows of the clinical table share their case_id"):
        prepare(table(), plan, pd.DataFrame({"case_id": ["a", "a"], "smoker": ["yes", "no"]}))


def test_a_column_of_one_value_is_told_and_not_paired() -> None:
    plan = AuditSettings(groups=("sex", "site"))

    found = prepare(table(site=["x"] * 4), plan)

    assert found.intersections == ()
    assert "site: all rows are x, there is nothing to compare" in found.notes


def test_a_csv_is_read_as_it_is_spelt(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("case_id,sex,score\n007,NA,0.5\nx,,0.25\n")

    found = read_table(tmp_path / "t.csv")

    assert found["case_id"].tolist() == ["007", "x"]
    assert found["sex"][0] == "NA"
    assert pd.isna(found["sex"][1])
    assert found["score"].dtype == np.float64
    with pytest.raises(InputError, match="cannot be read: FileNotFoundError"):
        read_table(tmp_path / "absent.csv")


def test_boxes_become_scans_with_their_groups_and_empty_scans_count() -> None:
    plan = AuditSettings(groups=("sex",), task="detection")
    box = {"i0": 0, "j0": 0, "k0": 0, "i1": 4, "j1": 4, "k1": 4}
    rows = [
        {"scan": "s1", "sex": "F", "kind": "lesion", **box, "size": 5.0},
        {"scan": "s1", "sex": "F", "kind": "mark", **box, "score": 0.8},
        {"scan": "s2", "sex": "M", "kind": "empty"},
        {"scan": "s3", "sex": "M", "kind": "mark", **box, "score": 0.9},
    ]

    found = prepare(pd.DataFrame(rows), plan)

    assert found.rows == 3
    assert {one.name: one.value for one in found.measures} == {"sensitivity": 1.0, "false_positives_per_scan": 1 / 3}
    with pytest.raises(InputError, match=r"the table also has \['blob'\]"):
        prepare(pd.DataFrame([{**rows[0], "kind": "blob"}]), plan)


def test_a_segmentation_table_counts_what_was_missed() -> None:
    frame = pd.DataFrame(
        {
            "case_id": list("abc"),
            "dice": [0.9, 0.0, None],
            "outcome": ["found", "missed", "absent"],
            "sex": ["F", "M", "M"],
        }
    )

    found = prepare(frame, AuditSettings(groups=("sex",), task="segmentation"))

    assert {one.name: one.value for one in found.measures} == {"dice": 0.45, "miss_rate": 0.5, "false_alarm_rate": 0.0}


def test_heatmap_hits_and_coverage_are_measured_where_the_table_holds_them() -> None:
    found = prepare(table(heatmap_hit=[1, None, 0, 1], covered=[1, 1, 1, 0]), PLAN)

    measured = {one.name: one.value for one in found.measures}
    assert measured["heatmap_hit_rate"] == pytest.approx(2 / 3)
    assert measured["covered_rate"] == 0.75
    with pytest.raises(InputError, match="1 of 4 values of covered are neither 0 nor 1"):
        prepare(table(covered=[1, 1, 1, 0.5]), PLAN)


def test_distances_say_their_unit_and_mixed_ones_are_not_averaged() -> None:
    plan = AuditSettings(groups=("sex",), task="segmentation")
    frame = table(dice=[0.9, 0.8, 0.7, 0.6], hd95=[1.0, 2.0, 3.0, 4.0], distance_unit=["voxel"] * 4)

    one = {measure.name: measure for measure in prepare(frame, plan).measures}
    mixed = {measure.name for measure in prepare(frame.assign(distance_unit=["mm", "voxel"] * 2), plan).measures}

    assert one["hd95"].words.endswith("in voxel")
    assert "hd95" not in mixed
