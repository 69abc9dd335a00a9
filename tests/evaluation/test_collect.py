"""Results against truth: each label, class and lesion once, and every hole named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diascope.evaluation.collect import compare
from diascope.evaluation.rows import Compared
from diascope.evaluation.settings import DetectionTruth, EvaluationSettings
from diascope.findings import Finding, read_report
from diascope.geometry import Grid, IndexGrid
from diascope.io.outfolder import OutFolder
from diascope.volume import Mask
from tests.evaluation.outputs import GRID, LABELS, SHAPE, map_of, write_case, write_failed_case, write_truth

TUMOUR = (1, (1, 1, 1), (4, 4, 3))
EDEMA = (2, (6, 6, 3), (2, 3, 2))


@pytest.fixture
def out(tmp_path: Path) -> OutFolder:
    folder = OutFolder(tmp_path / "out")
    folder.create()
    return folder


def compared(out: OutFolder, rows: list[dict[str, object]], **settings: object) -> Compared:
    manifest = write_truth(out.root.parent / "truth", rows)
    return compare(out, manifest, EvaluationSettings.model_validate(settings))


def test_each_label_is_compared_once_with_patient_and_facts(out: OutFolder) -> None:
    write_case(out, "c1", map_of(TUMOUR, EDEMA), patient="pat-1")

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR)}], truth_labels={1: "tumour", 2: "edema"})

    scores = {row.score.label: row.score for row in found.labels}
    assert (scores["tumour"].dice, scores["edema"].outcome) == (1.0, "false_alarm")
    assert found.labels[0].origin.patient == "pat-1"
    assert found.labels[0].origin.facts.manufacturer == "SIEMENS"
    assert scores["tumour"].truth_volume == pytest.approx(48 * 0.7 * 0.8 * 2.5)


def test_a_truth_in_another_axis_order_is_laid_onto_the_image(out: OutFolder) -> None:
    write_case(out, "c1", map_of(TUMOUR))
    affine = GRID.affine @ np.array([[0, 0, 1, 0], [0, -1, 0, 10], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    turned = Mask(np.ascontiguousarray(map_of(TUMOUR).transpose(2, 1, 0)[:, ::-1]), Grid((7, 11, 9), affine), LABELS)

    found = compared(out, [{"case": "c1", "truth": turned}], truth_labels={1: "tumour"})

    assert [row.score.dice for row in found.labels] == [1.0]


def test_a_truth_on_other_voxels_is_a_problem_with_its_line_not_a_bad_score(out: OutFolder) -> None:
    write_case(out, "c1", map_of(TUMOUR))
    off = Mask(map_of(TUMOUR), Grid(SHAPE, GRID.affine + np.array([[0, 0, 0, 0.2]] * 3 + [[0, 0, 0, 0]])), LABELS)

    found = compared(out, [{"case": "c1", "truth": off}])

    assert found.labels == ()
    assert [(one.line, one.case_id, one.code) for one in found.problems] == [(2, "c1", "grid_mismatch")]


def test_failed_cases_and_cases_without_truth_are_named(out: OutFolder) -> None:
    write_failed_case(out, "c1")
    write_case(out, "c2", map_of(TUMOUR))
    write_case(out, "c3", None)

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR)}, {"case": "c3", "truth": map_of(TUMOUR)}])

    assert [(one.case_id, one.code) for one in found.problems] == [("c1", "incomplete_series"), ("c3", "no_result")]
    assert found.without_truth == ("c2",)


def test_a_second_truth_for_the_same_image_is_named(out: OutFolder) -> None:
    write_case(out, "c1", map_of(TUMOUR))

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR)}, {"case": "c1", "truth": map_of(EDEMA)}])

    assert [(one.line, one.code) for one in found.problems] == [(3, "duplicate_case")]


def test_a_map_of_one_value_takes_the_name_of_the_column_label(out: OutFolder) -> None:
    write_case(out, "c1", map_of(TUMOUR, EDEMA))

    found = compared(out, [{"case": "c1", "truth": map_of((1, EDEMA[1], EDEMA[2])), "label": "edema"}])

    assert [(row.score.label, row.score.dice) for row in found.labels] == [("edema", 1.0)]
    assert found.notes == ()


def test_numbers_taken_for_the_network_s_own_are_told(out: OutFolder) -> None:
    write_case(out, "c1", map_of(TUMOUR, EDEMA))

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR, EDEMA)}])

    assert [row.score.dice for row in found.labels] == [1.0, 1.0]
    assert "values were taken for the network's own numbers" in found.notes[0]


def test_an_empty_truth_is_a_truth(out: OutFolder) -> None:
    write_case(out, "c1", map_of())
    write_case(out, "c2", map_of(TUMOUR))

    found = compared(out, [{"case": name, "truth": map_of(), "label": "tumour"} for name in ("c1", "c2")])

    assert [row.score.outcome for row in found.labels] == ["absent", "false_alarm"]


def test_labels_are_paired_by_the_config(out: OutFolder) -> None:
    write_case(out, "c1", map_of(TUMOUR, EDEMA))

    found = compared(
        out,
        [{"case": "c1", "truth": map_of(TUMOUR, EDEMA)}],
        truth_labels={1: "whole", 2: "whole"},
        same_label={"tumour": "whole", "edema": "whole"},
    )

    assert [(row.score.label, row.score.dice) for row in found.labels] == [("whole", 1.0)]


def test_without_a_common_name_the_case_is_a_problem(out: OutFolder) -> None:
    write_case(out, "c1", map_of(TUMOUR))

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR)}], truth_labels={1: "liver"})

    assert found.problems[0].reason == "no label in common: predicted are ['edema', 'tumour'], true are ['liver']"


def test_images_without_a_frame_are_compared_in_voxels(out: OutFolder) -> None:
    space = IndexGrid(SHAPE)
    write_case(out, "c1", map_of(TUMOUR), space=space)

    found = compared(out, [{"case": "c1", "truth": Mask(map_of(TUMOUR), space, LABELS)}], truth_labels={1: "tumour"})

    assert (found.labels[0].score.distance_unit, found.labels[0].score.truth_volume) == ("voxel", 48.0)


def test_lesions_are_the_parts_of_the_truth_and_marks_the_findings(out: OutFolder) -> None:
    mark = Finding("f-1", "net", "img-c1", "tumour", 0.8, ((1, 1, 1), (5, 5, 4)))
    elsewhere = Finding("f-2", "net", "img-other", "tumour", 0.9, ((1, 1, 1), (5, 5, 4)))
    small = (1, (7, 9, 5), (1, 1, 1))
    write_case(out, "c1", map_of(TUMOUR), findings=(mark, elsewhere))

    (row,) = compared(
        out,
        [{"case": "c1", "truth": map_of(TUMOUR, small), "label": "tumour"}],
        detection={"smallest_size": 2.0},
    ).scans

    assert [(one.low, one.high, one.is_judged) for one in row.scan.lesions] == [
        ((1, 1, 1), (5, 5, 4), True),
        ((7, 9, 5), (8, 10, 6), False),
    ]
    assert row.scan.lesions[1].size == pytest.approx((6 * 1.4 / np.pi) ** (1 / 3))
    assert [one.score for one in row.scan.marks] == [0.8]


def test_classes_take_the_score_of_their_target(out: OutFolder) -> None:
    write_case(out, "c1", None, scores={"nodule": 0.9, "effusion": 0.2})

    found = compared(
        out, [{"case": "c1", "target": "nodule", "positive": 1}, {"case": "c1", "target": "hernia", "positive": 0}]
    )

    assert [(row.target, row.is_positive, row.score) for row in found.classes] == [("nodule", True, 0.9)]
    assert found.problems[0].reason == "the case is done and has no score for hernia"


def test_the_settings_of_detection_become_its_rules() -> None:
    rules = EvaluationSettings(
        threshold=0.3, detection=DetectionTruth(rule="radius", size_edges=(6.0,))
    ).detection_rules()

    assert (rules.rule, rules.threshold, rules.size_edges) == ("radius", 0.3, (6.0,))


def test_a_truth_is_compared_with_the_network_that_draws_it_beside_one_that_draws_something_else(
    out: OutFolder,
) -> None:
    write_case(out, "c1", map_of(TUMOUR))
    folder = out.case("c1")
    report = read_report(folder / "case.json")
    (drawn,) = report.segmentations or ()
    anatomy = tuple(replace(label, name=f"part_{label.value}") for label in drawn.labels)
    other = replace(drawn, bundle="anatomy", labels=anatomy)
    both = replace(report, segmentations=(other, drawn))
    (folder / "case.json").write_text(both.to_json(), encoding="utf-8")

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR)}], truth_labels={1: "tumour", 2: "edema"})

    assert {row.origin.bundle for row in found.labels} == {drawn.bundle}
    assert found.problems == ()


FOUND = Finding("finder-1", "finder", "img-c1", "tumour", 0.9, ((1, 1, 1), (5, 5, 4)))


def test_a_run_that_only_marks_lesions_is_judged_by_a_truth_that_is_a_label_map(out: OutFolder) -> None:
    write_case(out, "c1", None, findings=(FOUND,), is_stored=True, chosen_for=("finder",))
    write_case(out, "c2", None, findings=(), is_stored=True, chosen_for=("finder",))

    rows = [{"case": name, "truth": map_of(TUMOUR), "label": "tumour"} for name in ("c1", "c2")]
    found = compared(out, rows)

    assert found.problems == ()
    assert [(row.origin.case_id, row.origin.bundle, row.label) for row in found.scans] == [
        ("c1", "finder", "tumour"),
        ("c2", "finder", "tumour"),
    ]
    assert [len(row.scan.marks) for row in found.scans] == [1, 0]
    assert found.scans[1].scan.lesions[0].low == (1.0, 1.0, 1.0)


def test_a_detector_that_found_nothing_anywhere_has_missed_what_the_row_names(out: OutFolder) -> None:
    write_case(out, "c1", None, findings=(), is_stored=True, chosen_for=("finder",))

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR), "label": "tumour"}])

    assert [(row.origin.bundle, len(row.scan.lesions), len(row.scan.marks)) for row in found.scans] == [
        ("finder", 1, 0)
    ]


def test_a_network_that_only_draws_has_missed_no_lesion(out: OutFolder) -> None:
    # A detector ran on another image of the case, and marked nothing.
    write_case(out, "c1", map_of(TUMOUR), findings=(), chosen_for=("net",))

    assert compared(out, [{"case": "c1", "truth": map_of(TUMOUR), "label": "tumour"}]).scans == ()


def test_marks_belong_to_the_network_that_made_them_and_not_to_the_one_that_draws(out: OutFolder) -> None:
    write_case(out, "c1", map_of(TUMOUR), findings=(FOUND,), chosen_for=("net", "finder"))

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR), "label": "tumour"}])

    assert [row.origin.bundle for row in found.labels if row.score.label == "tumour"] == ["net"]
    assert [(row.origin.bundle, len(row.scan.marks)) for row in found.scans] == [("finder", 1)]


def test_a_truth_that_is_a_label_map_says_whether_a_class_is_there(out: OutFolder) -> None:
    for name in ("c1", "c2"):
        write_case(out, name, None, scores={"tumour": 0.7}, is_stored=True, chosen_for=("net",))

    rows = [{"case": "c1", "truth": map_of(TUMOUR)}, {"case": "c2", "truth": map_of()}]
    found = compared(out, rows)

    assert [(row.origin.case_id, row.target, row.is_positive, row.score) for row in found.classes] == [
        ("c1", "tumour", True, 0.7),
        ("c2", "tumour", False, 0.7),
    ]


def test_what_the_numbers_of_several_classes_mean_is_not_guessed(out: OutFolder) -> None:
    write_case(out, "c1", None, scores={"tumour": 0.7, "edema": 0.2}, is_stored=True)

    guessed = compared(out, [{"case": "c1", "truth": map_of(TUMOUR)}])
    named = compared(out, [{"case": "c1", "truth": map_of(TUMOUR)}], truth_labels={1: "tumour", 2: "edema"})

    assert [(one.code, "truth_labels" in one.cure) for one in guessed.problems] == [("no_common_label", True)]
    assert guessed.classes == ()
    assert {row.target: row.is_positive for row in named.classes}["tumour"]


def test_of_several_parts_of_a_slice_the_surest_speaks_for_it(out: OutFolder) -> None:
    write_case(out, "c1", None, slices={"tumour": [0.9] + [0.1] * 6})
    file = out.case("c1") / "case.json"
    report = read_report(file)
    left = [replace(one, part="left") for one in report.predictions or ()]
    right = [replace(one, part="right", score=0.3) for one in left]
    file.write_text(replace(report, predictions=(*left, *right)).to_json())

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR), "label": "tumour"}])

    assert {row.slice_k: row.score for row in found.slices} == {0: 0.9} | dict.fromkeys(range(1, 7), 0.3)


def test_a_class_that_the_manifest_names_wins_over_the_label_map(out: OutFolder) -> None:
    write_case(out, "c1", None, scores={"tumour": 0.7}, is_stored=True)

    rows = [{"case": "c1", "truth": map_of(TUMOUR)}, {"case": "c1", "target": "tumour", "positive": 0}]

    assert [row.is_positive for row in compared(out, rows).classes] == [False]


def test_a_truth_of_what_is_drawn_is_no_truth_of_another_class(out: OutFolder) -> None:
    write_case(out, "c1", map_of(TUMOUR), scores={"pneumonia": 0.7})

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR)}], truth_labels={1: "tumour"})

    assert found.classes == ()
    assert [row.score.label for row in found.labels] == ["tumour"]


def test_without_the_image_nothing_says_where_the_truth_lies(out: OutFolder) -> None:
    write_case(out, "c1", None, findings=(FOUND,), chosen_for=("finder",))

    found = compared(out, [{"case": "c1", "truth": map_of(TUMOUR), "label": "tumour"}])

    assert [(one.case_id, one.code) for one in found.problems] == [("c1", "no_image")]
    assert found.scans == ()
