"""What was learnt about a bundle, applied in a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.bundles.lock import write_lock
from diascope.errors import BundleError
from diascope.evaluation.calibration_file import CALIBRATION, BundleCalibration, write_calibration
from diascope.findings import Finding, Prediction
from diascope.imaging.resample import GridOfLogits, labels_on_grid
from diascope.run.calibrated import (
    calibrate_findings,
    calibrate_predictions,
    confidence_in_classes,
    confidence_in_findings,
    confidence_in_outline,
    least_sure,
    not_applied,
    with_promised_misses,
)
from diascope.tasks.uncertainty import probabilities, segmentation_confidence
from tests.tiny_bundle import write_tiny_bundle

PNEUMONIA = {"temperature": 2.0, "operating_point": 0.4, "sets": {"coverage": 0.9, "limit": 0.7, "cases": 50}}
LEARNT = {
    "split": "calibration split",
    "patients": 50,
    "targets": {"pneumonia": PNEUMONIA},
    "missed_volume": {"bright": {"bound": 0.1, "threshold": 0.2, "cases": 40}},
    "confidence": {"raw": [0.5, 1.0], "seen": [0.3, 0.7], "cases": 40},
}


TWO_RULES = {
    **LEARNT,
    "missed_volume": {
        "bright": {"bound": 0.1, "threshold": 0.2, "cases": 40},
        "dark": {"bound": 0.1, "threshold": 0.3, "cases": 40},
    },
}


def bundle(models: Path, learnt: dict[str, object] | None) -> BundleInfo:
    folder = write_tiny_bundle(models)
    if learnt is not None:
        write_calibration(folder / CALIBRATION, BundleCalibration.model_validate(learnt))
        write_lock(models / "bundles.lock", folder)
    return find_bundle(folder.name, models)


def said(target: str, score: float, slice_k: int | None = None) -> Prediction:
    return Prediction("tiny_bright", "img-1", target, score, slice_k)


def test_a_score_about_which_something_was_learnt_becomes_a_probability_with_a_set(tmp_path: Path) -> None:
    raw = (said("pneumonia", 0.5), said("pneumonia", 0.5, slice_k=3), said("fracture", 0.9))

    image, of_slice, other = calibrate_predictions(bundle(tmp_path, LEARNT), raw)

    assert image.score == pytest.approx(0.5)
    assert (image.score_kind, image.operating_point, image.promised_coverage) == ("calibrated", 0.4, 0.9)
    assert image.conformal_set == ("pneumonia", "no_pneumonia")
    assert (of_slice, other) == raw[1:]  # what was learnt is about images, and of another class nothing is known


def test_what_was_learnt_about_slices_gives_them_meaning_and_leaves_the_image_s_highest_raw(tmp_path: Path) -> None:
    learnt = {"split": "calibration split", "patients": 8, "slices": {"tumour": {**PNEUMONIA, "temperature": 0.5}}}
    raw = (said("tumour", 0.9), said("tumour", 0.9, slice_k=0), said("tumour", 0.3, slice_k=1))

    found = calibrate_predictions(bundle(tmp_path, learnt), raw)

    assert found[0] == raw[0]
    assert [one.score for one in found[1:]] == pytest.approx([expit(2 * logit(0.9)), expit(2 * logit(0.3))])
    assert [one.conformal_set for one in found[1:]] == [("tumour",), ("no_tumour",)]
    assert found[2].promised_coverage == 0.9
    assert confidence_in_classes(found) == (pytest.approx(1 - expit(2 * logit(0.3))), "calibrated")
    assert confidence_in_classes(raw) == (0.9, "raw")


def test_without_a_calibration_everything_stays_raw(tmp_path: Path) -> None:
    plain = bundle(tmp_path, None)
    raw = (said("pneumonia", 0.8),)

    assert calibrate_predictions(plain, raw) == raw
    assert confidence_in_classes(raw) == (0.8, "raw")


def test_a_calibration_beside_somebody_else_s_bundle_takes_the_place_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "calibration.tiny_bright.json"
    hotter = {**LEARNT, "targets": {"pneumonia": {"temperature": 4.0}}}
    write_calibration(file, BundleCalibration.model_validate(hotter))
    given = replace(bundle(tmp_path / "models", LEARNT), calibration=file)

    (image,) = calibrate_predictions(given, [said("pneumonia", 0.95)])

    assert image.score == pytest.approx(expit(logit(0.95) / 4))
    assert image.conformal_set is None


def test_a_calibration_that_changes_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    given = replace(bundle(tmp_path / "models", None), calibration=file)
    found = []
    for heat in (2.0, 4.0):
        learnt = {**LEARNT, "targets": {"pneumonia": {"temperature": heat}}}
        write_calibration(file, BundleCalibration.model_validate(learnt))
        found.append(calibrate_predictions(given, [said("pneumonia", 0.95)])[0].score)

    assert found == [pytest.approx(expit(logit(0.95) / heat)) for heat in (2.0, 4.0)]


def test_a_broken_calibration_is_an_error_and_not_a_raw_score(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    file.write_text("{}")

    with pytest.raises(BundleError, match="no calibration that can be used"):
        calibrate_predictions(replace(bundle(tmp_path / "models", None), calibration=file), [said("pneumonia", 0.9)])


def test_classes_that_exclude_each_other_are_cooled_together_with_none_of_them(tmp_path: Path) -> None:
    rule = {"temperature": 2.0, "sets": {"coverage": 0.9, "limit": 0.6, "cases": 50}}
    exclusive = bundle(tmp_path, {"split": "s", "patients": 50, "exclusive": True, "targets": {"": rule}})

    glioma, meningioma = calibrate_predictions(exclusive, [said("glioma", 0.64), said("meningioma", 0.04)])

    # Shares of sqrt(0.64), sqrt(0.04) and sqrt(0.32), the rest being none of them.
    total = 0.8 + 0.2 + np.sqrt(0.32)
    assert (glioma.score, meningioma.score) == (pytest.approx(0.8 / total), pytest.approx(0.2 / total))
    assert glioma.conformal_set == meningioma.conformal_set == ("glioma",)


def test_scores_of_slices_that_add_up_to_more_than_one_stay_raw(tmp_path: Path) -> None:
    rule = {"temperature": 2.0}
    exclusive = bundle(tmp_path, {"split": "s", "patients": 50, "exclusive": True, "targets": {"": rule}})
    raw = (said("glioma", 0.8), said("meningioma", 0.7))

    assert calibrate_predictions(exclusive, raw) == raw


def test_a_lesion_s_score_becomes_the_share_of_such_marks_that_are_true(tmp_path: Path) -> None:
    lesion = Finding("tiny_bright-1", "tiny_bright", "img-1", "pneumonia", 0.95, ((0, 0, 0), (1, 2, 3)))
    other = replace(lesion, finding_id="tiny_bright-2", label="cyst")

    found = calibrate_findings(bundle(tmp_path, LEARNT), [lesion, other])

    assert found[0].score == pytest.approx(expit(logit(0.95) / 2))
    assert [one.score_kind for one in found] == ["calibrated", "raw"]
    assert confidence_in_findings(found) == (pytest.approx(min(found[0].score, 0.95)), "raw")
    assert confidence_in_findings(found[:1])[1] == "calibrated"
    assert confidence_in_findings([]) == (None, "none")


def test_the_confidence_of_an_outline_is_the_dice_such_cases_had(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(0, 3, size=(2, 4, 5, 6)).astype(np.float32)
    seen = GridOfLogits(logits, np.eye(4))
    raw = segmentation_confidence(logits)

    assert confidence_in_outline(bundle(tmp_path / "a", None), seen) == (raw, "raw")
    assert confidence_in_outline(bundle(tmp_path / "b", LEARNT), seen) == (
        pytest.approx(0.3 + (raw - 0.5) * 0.8),
        "calibrated",
    )


def test_a_promise_about_misses_moves_the_outline_and_is_named(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(0, 3, size=(2, 5, 7, 11)).astype(np.float32)
    seen = GridOfLogits(logits, np.diag([0.7, 0.8, 2.5, 1.0]))

    drawn, promised = with_promised_misses(bundle(tmp_path / "a", LEARNT), seen)
    plain, nothing = with_promised_misses(bundle(tmp_path / "b", None), seen)

    assert promised == {"bright": 0.1}
    assert (plain, nothing) == (seen, {})
    found = labels_on_grid(drawn, (5, 7, 11), seen.affine) == 1
    np.testing.assert_array_equal(found, probabilities(logits)[1] >= 0.2)


def test_a_bound_for_which_no_threshold_suffices_promises_nothing(tmp_path: Path) -> None:
    learnt = {**LEARNT, "missed_volume": {"bright": {"bound": 0.01, "threshold": None, "cases": 12}}}
    seen = GridOfLogits(np.zeros((2, 2, 3, 4), dtype=np.float32), np.eye(4))

    assert with_promised_misses(bundle(tmp_path, learnt), seen) == (seen, {})


def two_labels(models: Path, learnt: dict[str, object]) -> BundleInfo:
    found = bundle(models, learnt)
    return replace(found, block=found.block.model_copy(update={"labels": {1: "bright", 2: "dark"}}))


def test_of_two_labels_with_a_rule_each_none_is_moved_and_nothing_is_promised(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(0, 3, size=(3, 5, 7, 11)).astype(np.float32)
    seen = GridOfLogits(logits, np.diag([0.7, 0.8, 2.5, 1.0]))
    several = two_labels(tmp_path / "a", TWO_RULES)

    drawn, promised = with_promised_misses(several, seen)

    assert promised == {}
    np.testing.assert_array_equal(drawn.logits, logits)
    (said_so,) = not_applied(several, controls_misses=True)
    assert "bright, dark" in said_so
    assert not_applied(several, controls_misses=False) == ()


def test_a_label_beside_one_for_which_no_threshold_suffices_keeps_its_promise(tmp_path: Path) -> None:
    rules = {**TWO_RULES["missed_volume"], "dark": {"bound": 0.1, "threshold": None, "cases": 12}}
    logits = np.random.default_rng(0).normal(0, 3, size=(3, 5, 7, 11)).astype(np.float32)
    one_rule = two_labels(tmp_path, {**TWO_RULES, "missed_volume": rules})

    drawn, promised = with_promised_misses(one_rule, GridOfLogits(logits, np.eye(4)))

    assert promised == {"bright": 0.1}
    np.testing.assert_array_equal(drawn.logits.argmax(axis=0) == 1, probabilities(logits)[1] >= 0.2)
    assert not_applied(one_rule, controls_misses=True) == ()


@pytest.mark.parametrize("how", ["ensemble", "repeated"])
@pytest.mark.parametrize("whose", ["its own", "given"])
def test_what_was_learnt_on_one_plain_answer_is_not_applied_to_an_average(tmp_path: Path, how: str, whose: str) -> None:
    plain = bundle(tmp_path / "models", LEARNT)
    if whose == "given":
        plain = replace(plain, calibration=plain.folder / CALIBRATION)
    averaged = replace(plain, **({"members": (plain,)} if how == "ensemble" else {"is_repeated": True}))
    logits = np.random.default_rng(0).normal(0, 3, size=(2, 4, 5, 6)).astype(np.float32)
    seen = GridOfLogits(logits, np.eye(4))
    raw = (said("pneumonia", 0.95),)
    lesion = Finding("tiny_bright-1", "tiny_bright", "img-1", "pneumonia", 0.95, ((0, 0, 0), (1, 2, 3)))

    assert calibrate_predictions(plain, raw)[0].score_kind == "calibrated"
    assert calibrate_predictions(averaged, raw) == raw
    assert calibrate_findings(averaged, [lesion]) == (lesion,)
    assert confidence_in_outline(averaged, seen) == (segmentation_confidence(logits), "raw")
    assert with_promised_misses(averaged, seen) == (seen, {})
    assert not_applied(plain, controls_misses=True) == ()
    (said_so,) = not_applied(averaged, controls_misses=True)
    assert "one plain answer" in said_so


def test_where_nothing_was_learnt_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert not_applied(replace(bundle(tmp_path, None), is_repeated=True), controls_misses=True) == ()


def test_a_case_is_as_sure_as_its_least_sure_network_and_calibrated_only_if_all_are() -> None:
    assert least_sure([(0.9, "calibrated"), (0.7, "calibrated"), (None, "none")]) == (0.7, "calibrated")
    assert least_sure([(0.9, "calibrated"), (0.95, "raw")]) == (0.9, "raw")
    assert least_sure([(None, "none")]) == (None, "none")
    assert least_sure([]) == (None, "none")
