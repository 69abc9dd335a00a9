"""`diascope evaluate` from end to end: files in, tables and figures out."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diascope.errors import InputError
from diascope.evaluation.calibration_file import read_calibration
from diascope.evaluation.evaluate import as_json, evaluate, scalars, write_evaluation
from diascope.evaluation.settings import EvaluationSettings
from diascope.findings import CaseReport, Finding, ImageFacts, ImageRecord, Prediction, read_report
from diascope.io.outfolder import OutFolder
from tests.evaluation.outputs import map_of, write_case, write_truth

SETTINGS = EvaluationSettings(rounds=50)


@pytest.fixture
def out(tmp_path: Path) -> OutFolder:
    """Six patients: a tumour each, found in four, missed in one, invented in one; scores of a class."""
    folder = OutFolder(tmp_path / "out")
    folder.create()
    tumour = (1, (1, 1, 1), (4, 4, 3))
    for n in range(6):
        drawn = map_of() if n == 4 else map_of(tumour)
        mark = Finding("f", "net", f"img-c{n}", "tumour", 0.5 + n / 20, ((1, 1, 1), (5, 5, 4)))
        write_case(
            out=folder,
            case_id=f"c{n}",
            predicted=drawn,
            findings=() if n == 4 else (mark,),
            scores={"tumour": n / 10},
            patient=f"p{n}",
        )
    return folder


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    tumour = (1, (1, 1, 1), (4, 4, 3))
    rows = [{"case": f"c{n}", "truth": map_of() if n == 5 else map_of(tumour), "label": "tumour"} for n in range(6)]
    classes = [{"case": f"c{n}", "target": "tumour", "positive": int(n != 5)} for n in range(6)]
    return write_truth(tmp_path / "truth", [*rows, *classes])


def test_every_task_is_summed_up_by_network_and_label(out: OutFolder, manifest: Path) -> None:
    found = evaluate(out, manifest, SETTINGS)

    label = found.segmentation["net", "tumour"]
    assert label.counts == {"found": 4, "missed": 1, "false_alarm": 1, "absent": 0}
    assert label.metrics["dice_mean"].value == pytest.approx(4 / 6)
    assert found.classification["net", "tumour"].metrics["auc"].value == 0.0
    lesions = found.detection["net", "tumour"]
    assert (lesions.lesions, lesions.scans, lesions.scans_without_lesions) == (5, 6, 1)
    assert lesions.metrics["sensitivity"].value == pytest.approx(0.8)
    assert lesions.metrics["false_positives_per_scan"].value == pytest.approx(1 / 6)


def test_tables_and_figures_are_written_with_groups_and_read_back(out: OutFolder, manifest: Path) -> None:
    found = evaluate(out, manifest, SETTINGS)

    write_evaluation(found, out.root / "evaluation")

    folder = out.root / "evaluation"
    assert json.loads((folder / "evaluation.json").read_text()) == json.loads(json.dumps(as_json(found)))
    with (folder / "segmentation.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6
    assert (rows[0]["sex"], rows[0]["manufacturer"], rows[0]["clinic"], rows[0]["patient"]) == (
        "F",
        "SIEMENS",
        "north",
        "p0",
    )
    assert (rows[4]["outcome"], float(rows[4]["dice"])) == ("missed", 0.0)
    with (folder / "classification.csv").open() as stream:
        assert [(row["y"], row["score"]) for row in csv.DictReader(stream)][5] == ("0", "0.5")
    with (folder / "lesions.csv").open() as stream:
        assert sorted({row["kind"] for row in csv.DictReader(stream)}) == ["lesion", "mark"]
    assert not (folder / "problems.csv").exists()


def test_the_same_seed_gives_the_same_bytes(out: OutFolder, manifest: Path) -> None:
    one, other = (json.dumps(as_json(evaluate(out, manifest, SETTINGS))) for _ in range(2))

    assert one == other


def test_figures_for_tracking_are_flat_and_hold_only_what_is_defined(out: OutFolder, manifest: Path) -> None:
    found = scalars(evaluate(out, manifest, SETTINGS))

    assert found["net.tumour.dice_mean"] == pytest.approx(4 / 6)
    assert all(np.isfinite(value) for value in found.values())


def test_where_nothing_can_be_compared_the_first_reason_is_given(out: OutFolder, tmp_path: Path) -> None:
    manifest = write_truth(tmp_path / "other", [{"case": "nobody", "truth": map_of()}])

    with pytest.raises(
        InputError, match=r"none of 1 truths could be compared; the first: line 2 .* names none of the 6 cases"
    ):
        evaluate(out, manifest, SETTINGS)


def test_slices_are_compared_with_the_label_map_and_written_to_a_table_of_their_own(tmp_path: Path) -> None:
    folder = OutFolder(tmp_path / "out")
    folder.create()
    tumour = (1, (1, 1, 2), (4, 4, 3))  # in the slices 2, 3 and 4 of 7
    for n in range(6):
        said = [0.1, 0.2, 0.9, 0.9, 0.4, 0.3, 0.0]
        write_case(folder, f"c{n}", None, slices={"tumour": said}, patient=f"p{n}")
    truth = write_truth(
        tmp_path / "truth", [{"case": f"c{n}", "truth": map_of(tumour), "label": "tumour"} for n in range(6)]
    )

    found = evaluate(folder, truth, SETTINGS)
    write_evaluation(found, tmp_path / "evaluation")

    summary = found.slices["net", "tumour"]
    assert (summary.n, summary.patients, summary.positives) == (42, 6, 18)
    assert summary.metrics["sensitivity"].value == pytest.approx(2 / 3)
    assert summary.metrics["specificity"].value == 1.0
    assert found.classification["net", "tumour"].n == 6  # the images, by their highest slice, are another matter
    with (tmp_path / "evaluation" / "slices.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["y"] for row in rows[:7]] == ["0", "0", "1", "1", "1", "0", "0"]
    assert rows[4]["slice_k"] == "4"

    # What another truth says nothing of does not stay behind for an audit to read.
    images = [{"case": f"c{n}", "target": "tumour", "positive": 1} for n in range(6)]
    write_evaluation(evaluate(folder, write_truth(tmp_path / "images", images), SETTINGS), tmp_path / "evaluation")
    assert not (tmp_path / "evaluation" / "slices.csv").exists()
    assert (tmp_path / "evaluation" / "classification.csv").exists()


def test_marks_are_the_detector_s_figures_and_not_those_of_the_network_that_drew(tmp_path: Path) -> None:
    folder = OutFolder(tmp_path / "out")
    folder.create()
    tumour = (1, (1, 1, 1), (4, 4, 3))
    mark = Finding("f", "detector", "img-c0", "tumour", 0.9, ((1, 1, 1), (5, 5, 4)))
    write_case(folder, "c0", map_of(tumour), findings=(mark,))
    truth = write_truth(tmp_path / "truth", [{"case": "c0", "truth": map_of(tumour), "label": "tumour"}])

    found = evaluate(folder, truth, SETTINGS)

    assert list(found.detection) == [("detector", "tumour")]
    assert list(found.segmentation) == [("net", "tumour")]


def missed_volumes(folder: OutFolder, patients: int, *, is_averaged: bool = False) -> None:
    """Of each lesion a growing part has a probability below one half."""
    for n in range(patients):
        shares = map_of((180, (1, 1, 1), (4, 4, 3)))
        shares[1, 1:5, 1] = 40 + n % 5  # 4 of 48 voxels: 0.2 and a little more
        shares[2, 1:5, 1] = 90
        drawn = (shares > 100).astype(np.uint8)
        write_case(folder, f"c{n}", drawn, probability=shares, is_averaged=is_averaged)


def test_the_bound_on_missed_volume_is_learnt_of_kept_probabilities(tmp_path: Path) -> None:
    folder = OutFolder(tmp_path / "out")
    folder.create()
    missed_volumes(folder, 24)
    tumour = map_of((1, (1, 1, 1), (4, 4, 3)))
    truth = write_truth(tmp_path / "truth", [{"case": f"c{n}", "truth": tumour, "label": "tumour"} for n in range(24)])

    found = evaluate(folder, truth, EvaluationSettings(rounds=20, calibrate=True, missed_bound=0.13))
    write_evaluation(found, tmp_path / "evaluation")

    learnt = found.learnt.misses["net", "tumour"]
    assert learnt.before.value == pytest.approx(8 / 48)
    assert learnt.after.value < 0.13
    assert learnt.learnt.threshold == pytest.approx(0.45)  # the second four are drawn, the first four may be missed
    kept = read_calibration(tmp_path / "evaluation" / "calibration.net.json")
    assert kept.missed_volume["tumour"].cases == 24
    assert "calibration_of_misses" in as_json(found)


@pytest.mark.parametrize(("patients", "is_averaged", "why"), [(10, False, "14 are needed"), (24, True, "asks once")])
def test_too_few_patients_and_averaged_answers_teach_nothing_and_say_why(
    tmp_path: Path, patients: int, is_averaged: bool, why: str
) -> None:
    folder = OutFolder(tmp_path / "out")
    folder.create()
    missed_volumes(folder, patients, is_averaged=is_averaged)
    tumour = map_of((1, (1, 1, 1), (4, 4, 3)))
    rows = [{"case": f"c{n}", "truth": tumour, "label": "tumour"} for n in range(patients)]

    found = evaluate(
        folder, write_truth(tmp_path / "truth", rows), EvaluationSettings(rounds=20, calibrate=True, missed_bound=0.13)
    )
    write_evaluation(found, tmp_path / "evaluation")

    assert found.learnt.misses["net", "tumour"].learnt is None
    assert why in found.learnt.misses["net", "tumour"].reason
    assert not (tmp_path / "evaluation" / "calibration.net.json").exists()


def test_a_calibration_of_averaged_answers_is_not_learnt_as_it_would_be_applied_to_plain_ones(tmp_path: Path) -> None:
    folder = OutFolder(tmp_path / "out")
    folder.create()
    rng = np.random.default_rng(0)
    for n in range(100):
        write_case(folder, f"c{n}", None, scores={"tumour": float(rng.random())}, is_averaged=True)
    rows = [{"case": f"c{n}", "target": "tumour", "positive": n % 2} for n in range(100)]

    found = evaluate(folder, write_truth(tmp_path / "truth", rows), EvaluationSettings(rounds=20, calibrate=True))

    assert found.learnt.images["net", "tumour"].learnt is None
    assert "averaged several answers" in found.learnt.images["net", "tumour"].reason


def test_a_calibration_is_learnt_when_asked_for_and_written_as_json(tmp_path: Path) -> None:
    folder = OutFolder(tmp_path / "out")
    folder.create()
    rng = np.random.default_rng(0)
    ill = np.arange(100) < 50
    for n in range(100):
        write_case(
            folder, f"c{n}", None, scores={"tumour": float(rng.uniform(0.4, 1) if ill[n] else rng.uniform(0, 0.6))}
        )
    rows = [{"case": f"c{n}", "target": "tumour", "positive": int(ill[n])} for n in range(100)]

    found = evaluate(
        folder, write_truth(tmp_path / "truth", rows), EvaluationSettings(rounds=20, calibrate=True, coverage=0.995)
    )

    (learnt,) = as_json(found)["calibration"]
    assert learnt["learnt"]["temperature"] > 0
    assert learnt["learnt"]["sets"]["limit"] is None
    assert found.learnt.images["net", "tumour"].coverage.value == 1.0
    json.dumps(as_json(found), allow_nan=False)
    write_evaluation(found, tmp_path / "evaluation")
    kept = read_calibration(tmp_path / "evaluation" / "calibration.net.json")
    assert kept is not None
    assert kept.patients == 100
    assert kept.targets["tumour"].model_dump(mode="json") == learnt["learnt"]


def predicted(out: OutFolder, case_id: str, *, score: float, kept_open: tuple[str, ...], sex: str) -> None:
    """Write a case whose score is calibrated and promises to hold the truth in 90 % of cases."""
    said = Prediction("net", f"img-{case_id}", "tumour", score, None, kept_open, "calibrated", 0.5, 0.9)
    facts = ImageFacts(sex=sex, patient_key=f"p-{case_id}")
    report = CaseReport(case_id, "done", images=(ImageRecord(f"img-{case_id}", facts),), predictions=(said,))
    out.case(case_id).mkdir(parents=True)
    (out.case(case_id) / "case.json").write_text(report.to_json())


def test_a_promise_that_is_broken_for_one_sex_is_told_overall_and_by_group(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out")
    out.create()
    for n in range(80):
        # Of the women every second set does not hold the truth, of the men all do.
        held = ("tumour",) if n % 2 or n % 4 == 0 else ("no_tumour",)
        predicted(out, f"c{n}", score=0.7, kept_open=held, sex="M" if n % 2 else "F")
    rows = [{"case": f"c{n}", "target": "tumour", "positive": 1} for n in range(80)]

    found = evaluate(out, write_truth(tmp_path / "truth", rows), SETTINGS)

    (promise,) = found.promises
    assert (promise.kind, promise.promised, promise.is_broken) == ("coverage", 0.9, True)
    assert promise.seen.value == pytest.approx(0.75)
    assert {group: seen.value for group, seen in promise.by_group["sex"].items()} == {"F": 0.5, "M": 1.0}
    json.dumps(as_json(found), allow_nan=False)


def test_a_healthy_case_is_covered_if_the_absence_stays_open(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out")
    out.create()
    for case_id, kept_open in (("both", ("tumour", "no_tumour")), ("absence", ("no_tumour",)), ("wrong", ("tumour",))):
        predicted(out, case_id, score=0.4, kept_open=kept_open, sex="F")
    predicted(out, "other", score=0.1, kept_open=("meningioma",), sex="F")  # classes that exclude each other
    rows = [{"case": name, "target": "tumour", "positive": 0} for name in ("both", "absence", "wrong", "other")]

    found = evaluate(out, write_truth(tmp_path / "truth", rows), SETTINGS)

    assert {row.origin.case_id: row.covered for row in found.compared.classes} == {
        "both": True,
        "absence": True,
        "wrong": False,
        "other": None,
    }


def test_a_promise_about_slices_is_not_mixed_with_one_about_images(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out")
    out.create()
    tumour = (1, (1, 1, 2), (4, 4, 3))
    for n in range(12):
        write_case(out, f"c{n}", None, slices={"tumour": [0.9] * 7}, patient=f"p{n}")
        file = out.case(f"c{n}") / "case.json"
        report = read_report(file)
        kept = {"conformal_set": ("tumour",), "score_kind": "calibrated", "promised_coverage": 0.9}
        of_slices = [replace(one, **kept) for one in report.predictions or ()]
        of_image = replace(of_slices[0], slice_k=None)
        file.write_text(replace(report, predictions=(of_image, *of_slices)).to_json())
    rows = [{"case": f"c{n}", "truth": map_of(tumour)} for n in range(12)]

    promises = {one.name: one for one in evaluate(out, write_truth(tmp_path / "truth", rows), SETTINGS).promises}

    # Each image shows it, and three of its seven slices.
    assert {name: one.seen.value for name, one in promises.items()} == {
        "tumour": 1.0,
        "tumour in slices": pytest.approx(3 / 7),
    }
    assert {name: one.is_broken for name, one in promises.items()} == {"tumour": False, "tumour in slices": True}


def test_the_missed_volume_is_held_against_its_promise(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out")
    out.create()
    truth = map_of((1, (1, 1, 1), (4, 2, 1)))
    for n in range(12):
        write_case(out, f"c{n}", map_of((1, (1, 1, 1), (2 if n % 3 else 4, 2, 1))))
        file = out.case(f"c{n}") / "case.json"
        report = read_report(file)
        drawn = tuple(replace(one, promised_misses=(("tumour", 0.1),)) for one in report.segmentations or ())
        file.write_text(replace(report, segmentations=drawn).to_json())
    rows = [{"case": f"c{n}", "truth": truth, "label": "tumour"} for n in range(12)]

    (promise,) = evaluate(out, write_truth(tmp_path / "truth", rows), SETTINGS).promises

    # Two cases of three miss half of the lesion.
    assert (promise.kind, promise.name, promise.promised) == ("missed_volume", "tumour", 0.1)
    assert promise.seen.value == pytest.approx(1 / 3)
    assert promise.is_broken


def test_calibrated_scores_are_not_calibrated_again(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out")
    out.create()
    predicted(out, "c0", score=0.4, kept_open=("tumour",), sex="F")
    manifest = write_truth(tmp_path / "truth", [{"case": "c0", "target": "tumour", "positive": 1}])

    with pytest.raises(InputError, match="calibrated already"):
        evaluate(out, manifest, EvaluationSettings(rounds=20, calibrate=True))
