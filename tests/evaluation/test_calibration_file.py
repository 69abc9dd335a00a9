from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import expit, logit, softmax

from diascope.errors import BundleError
from diascope.evaluation.calibration_file import (
    BundleCalibration,
    ConfidenceCurve,
    SetRule,
    TargetCalibration,
    cooled_classes,
    read_calibration,
    write_calibration,
)

RULE = SetRule(coverage=0.9, limit=0.7, cases=50)
PNEUMONIA = TargetCalibration(temperature=2.0, operating_point=0.4, sets=RULE)


def calibration(**changes: object) -> BundleCalibration:
    values = {"split": "calibration split", "patients": 80, "targets": {"pneumonia": PNEUMONIA}, **changes}
    return BundleCalibration.model_validate(values)


def test_a_temperature_halves_the_logit_and_leaves_other_classes_raw() -> None:
    found = calibration().calibrated({"pneumonia": 0.95, "fracture": 0.6})

    assert found == {"pneumonia": pytest.approx(expit(logit(0.95) / 2))}


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.95, ("pneumonia",)),
        (0.5, ("pneumonia", "no_pneumonia")),
        (0.1, ("no_pneumonia",)),
    ],
)
def test_a_class_stays_open_while_its_score_is_at_least_1_minus_the_limit(score: float, expected: tuple[str]) -> None:
    assert calibration().open_classes({"pneumonia": score}) == {"pneumonia": expected}


def test_a_small_limit_may_leave_no_class_open_and_a_missing_one_leaves_all() -> None:
    strict = TargetCalibration(temperature=1.0, sets=SetRule(coverage=0.5, limit=0.2, cases=50))
    unknown = TargetCalibration(temperature=1.0, sets=SetRule(coverage=0.99, limit=None, cases=8))
    silent = TargetCalibration(temperature=1.0)
    found = calibration(targets={"a": strict, "b": unknown, "c": silent}).open_classes({"a": 0.5, "b": 0.999, "c": 0.5})

    assert found == {"a": (), "b": ("b", "no_b")}


def test_classes_that_exclude_each_other_keep_adding_up_to_one() -> None:
    logits = np.array([2.0, 0.5, -1.0])
    raw = dict(zip(("glioma", "meningioma", "none"), softmax(logits).tolist(), strict=True))
    found = calibration(exclusive=True, targets={"": TargetCalibration(temperature=4.0, sets=RULE)})

    cooled = found.calibrated(raw)

    np.testing.assert_allclose(list(cooled.values()), softmax(logits / 4.0), rtol=1e-6)
    assert found.open_classes(cooled)["none"] == ("glioma", "meningioma")


def test_a_softmax_of_two_classes_is_cooled_like_one_score() -> None:
    p = np.array([0.01, 0.3, 0.999])

    two = cooled_classes(np.stack([1 - p, p], axis=1), 1.7)

    np.testing.assert_allclose(two[:, 1], expit(logit(p) / 1.7), rtol=1e-6)


def test_a_confidence_reads_the_curve_and_stays_level_beyond_its_ends() -> None:
    curve = ConfidenceCurve(raw=(0.5, 0.7, 0.9), seen=(0.4, 0.4, 0.8), cases=40)

    assert [curve.calibrated(raw) for raw in (0.1, 0.6, 0.8, 0.99)] == pytest.approx([0.4, 0.4, 0.6, 0.8])


def test_a_calibration_comes_back_as_it_was_written(tmp_path: Path) -> None:
    was = calibration(
        missed_volume={"tumour": {"bound": 0.1, "threshold": 0.2, "cases": 40}},
        confidence={"raw": (0.5, 0.9), "seen": (0.4, 0.8), "cases": 40},
    )
    file = tmp_path / "calibration.json"
    assert read_calibration(file) is None

    write_calibration(file, was)

    assert read_calibration(file) == was


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "JSON"),
        ('{"split": "x", "patients": 3, "tempratures": {}}', "tempratures"),
        ('{"split": "x", "patients": 3, "targets": {"a": {"temperature": 0}}}', "greater than 0"),
        ('{"format": 2, "split": "x", "patients": 3}', "format"),
    ],
)
def test_a_broken_calibration_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(text)

    with pytest.raises(BundleError, match=message) as caught:
        read_calibration(file)
    assert caught.value.code == "bad_calibration"


def test_what_cannot_be_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValidationError, match="no rising curve"):
        ConfidenceCurve(raw=(0.5, 0.9), seen=(0.8, 0.4), cases=40)
    with pytest.raises(ValidationError, match="classes exclude each other"):
        calibration(exclusive=True)
