"""case.json says everything a case has to say, and reads back as the same."""

import dataclasses
import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diascope.errors import InputError
from diascope.findings import (
    FORMAT,
    BundleStamp,
    CaseReport,
    Check,
    Failure,
    Finding,
    HeatmapRecord,
    ImageFacts,
    ImageRecord,
    Label,
    Measurement,
    Prediction,
    Segmentation,
    UncertaintyMap,
    read_report,
)
from diascope.image_facts import SliceRun

FACTS = ImageFacts(
    modality="MR", body_part="BRAIN", sex="O", age_years="90+", ethnic_group="höher", manufacturer="SIEMENS",
    scanner_model="Skyra", site_key="site-0123456789abcde", field_strength_t=2.89, kvp=120.0, slice_thickness_mm=5.5,
    kernel="H30s", view="PA", plane="oblique", sequence="SE/SK", contrast=True, repetition_time_ms=9000.0,
    echo_time_ms=0.1, inversion_time_ms=2500.0, flip_angle_deg=150.0, b_value_s_per_mm2=1000.0,
    image_type=("ORIGINAL", "PRIMARY"), days_since_first=31, patient_key="pat-0123456789abcde", burned_in="unknown",
    extra=(("handedness", "left"),),
)  # fmt: skip
ENDS_RAS_MM = ((-3.5, 0.1, 7.0), (11.25, -0.3, 7.0))
REPORT = CaseReport(
    case_id="case-0123456789abcde",
    status="failed",
    images=(
        ImageRecord(
            image_id="img-0123456789abcde", facts=FACTS, space="grid", shape=(5, 7, 11), spacing_mm=(0.7, 0.8, 2.5),
            axcodes="LPS", is_sheared=True, files=11, chosen_for=("a",), not_chosen=("b: sagittal",), notes=("tilted",),
            stored="images/img-0123456789abcde.nii.gz", display_window=(40.0, 400.5), is_inverted=True,
            interpolated_slices=2, channel_of=("a: flair, brought onto the grid of t1",), series_number=301,
            slices_named_by="instance_number", slice_runs=(SliceRun(11, -1, 11),),
        ),
    ),
    bundles=(BundleStamp("a", "0.1.0", "f" * 64, "Apache-2.0", research_only=True, is_averaged=True),),
    segmentations=(
        Segmentation(
            "a", "img-0123456789abcde", "a.seg.nii.gz", (Label(1, "tumour", "#aa0b3c"),), ("tumour",), "d" * 64,
            (("tumour", 0.1),), probabilities=(("tumour", "a.probability.tumour.nii.gz"),),
        ),
    ),
    measurements=(Measurement("img-0123456789abcde", "a", "tumour", "volume", 4188.79, "mm3"),),
    findings=(
        Finding(
            finding_id="a-1", bundle="a", image_id="img-0123456789abcde", label="tumour", score=0.75,
            box_ijk=((0, 1, 2), (5, 7, 11)), centre_ras_mm=(1.5, -2.0, 0.25), box_ras_mm=ENDS_RAS_MM,
            volume_mm3=4188.79, longest_diameter_mm=20.1, longest_ends_ras_mm=ENDS_RAS_MM,
            perpendicular_diameter_mm=19.9, perpendicular_ends_ras_mm=ENDS_RAS_MM, size_voxels=4189,
            score_kind="calibrated", slice_boxes_ijk=(((0, 1, 2), (5, 7, 3)), ((0, 1, 3), (4, 7, 4))),
        ),
    ),
    predictions=(
        Prediction("a", "img-0123456789abcde", "glioma", 0.1, 3, ("glioma", "none"), "calibrated", 0.4, 0.9, "left"),
    ),
    heatmaps=(
        HeatmapRecord(
            "a", "img-0123456789abcde", "glioma", "grad_cam", "a.heatmap.glioma.nii.gz", (-0.5, 2.25), True, "doubtful",
            "moves little", (Check("depends_on_weights", False, 0.31, "rank correlation of 0.31"),), finding_id="a-1",
        ),
    ),
    uncertainty=(
        UncertaintyMap(
            "a", "img-0123456789abcde", "disagreement", "a.uncertainty.disagreement.nii.gz", "bit", 3, ("mirrors",),
            0.25, 1.0,
        ),
    ),
    checks=(Check("one_brain", None, 2.0, "two parts"),),
    confidence=0.81,
    confidence_kind="calibrated",
    out_of_distribution=3.2,
    review_first=True,
    review_reasons=("cut off at the border",),
    failure=Failure("out_of_memory", "needs 9 GiB", "take a smaller window"),
    config_sha256="e" * 64,
    diascope_version="0.1.0",
)  # fmt: skip


def test_the_report_of_these_tests_fills_every_field_there_is() -> None:
    """So that a field that is added later is seen to make the round trip."""
    assert [name for name in empty_fields(REPORT) if name != "CaseReport.format"] == []


def test_a_full_report_reads_back_as_the_same(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text(REPORT.to_json(), encoding="utf-8")

    assert read_report(tmp_path / "case.json") == REPORT


def test_what_no_step_filled_is_null_and_reads_back_as_none(tmp_path: Path) -> None:
    report = CaseReport("case-0123456789abcde", "nothing_to_do")
    (tmp_path / "case.json").write_text(report.to_json(), encoding="utf-8")

    written = json.loads(report.to_json())

    assert {name for name, value in written.items() if value is None} == {
        "segmentations", "measurements", "findings", "predictions", "heatmaps", "uncertainty", "checks", "confidence",
        "out_of_distribution", "review_first", "failure",
    }  # fmt: skip
    assert read_report(tmp_path / "case.json") == report


def test_the_same_report_gives_the_same_bytes_with_the_keys_in_their_order() -> None:
    assert REPORT.to_json() == pickle.loads(pickle.dumps(REPORT)).to_json()
    assert list(json.loads(REPORT.to_json())) == [field.name for field in dataclasses.fields(CaseReport)]


@given(
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    score=st.floats(0, 1),
    text=st.text(st.characters(codec="utf-8")),
    corner=st.tuples(*[st.integers(0, 4096)] * 3),
)
def test_numbers_and_words_survive_exactly(
    tmp_path_factory: pytest.TempPathFactory, value: float, score: float, text: str, corner: tuple[int, int, int]
) -> None:
    report = dataclasses.replace(
        REPORT,
        measurements=(Measurement("img", "a", text, "volume", value, "mm3"),),
        findings=(Finding("a-1", "a", "img", text, score, ((0, 0, 0), corner)),),
    )
    file = tmp_path_factory.getbasetemp() / "case.json"
    file.write_text(report.to_json(), encoding="utf-8")

    assert read_report(file) == report


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_null_in_the_file(value: float) -> None:
    report = dataclasses.replace(REPORT, measurements=(Measurement("img", "a", "x", "mean_intensity", value, "HU"),))

    assert json.loads(report.to_json(), parse_constant=pytest.fail)["measurements"][0]["value"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"status": "perhaps"},
        {"case_id": None},
        {"images": [{"image_id": "img"}]},
        {"findings": [{"finding_id": "a-1"}]},
        {"status": "done"},
        {"format": FORMAT + 1},
    ],
)
def test_a_file_that_is_no_report_of_this_format_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "case.json").write_text(json.dumps({**json.loads(REPORT.to_json()), **change}))

    with pytest.raises(InputError, match="case") as refused:
        read_report(tmp_path / "case.json")

    assert refused.value.code == "bad_report"


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "case.json").write_bytes(content)

    with pytest.raises(InputError, match=r"case\.json is not a case report"):
        read_report(tmp_path / "case.json")


def test_a_failed_case_says_why_and_no_other_case_does() -> None:
    with pytest.raises(InputError, match="a case that is failed has failure None"):
        CaseReport("case-0123456789abcde", "failed")
    with pytest.raises(InputError, match="a case that is done has failure Failure"):
        CaseReport("case-0123456789abcde", "done", failure=Failure("x", "y", "z"))


def test_two_findings_of_one_id_are_refused_since_a_verdict_would_be_on_both(tmp_path: Path) -> None:
    (finding,) = REPORT.findings or ()
    second = dataclasses.replace(finding, finding_id="a-2", image_id="img-2")
    held = dataclasses.replace(REPORT, findings=(finding, second))
    text = held.to_json()

    with pytest.raises(ValueError, match="case-0123456789abcde: several findings are called a-1; an id names one"):
        dataclasses.replace(held, findings=(finding, second, dataclasses.replace(finding, image_id="img-2")))
    (tmp_path / "case.json").write_text(text.replace('"a-2"', '"a-1"'))
    with pytest.raises(InputError, match=r"case\.json is not a case report"):
        read_report(tmp_path / "case.json")


def empty_fields(value: object) -> list[str]:
    """Names of fields, at any depth, that hold nothing or their default."""
    if isinstance(value, tuple):
        return [name for each in value for name in empty_fields(each)]
    if not dataclasses.is_dataclass(value):
        return []
    empty = []
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if inner is None and (type(value).__name__, field.name) == ("Check", "passed"):
            continue
        if inner in (None, ()) or inner == field.default:
            empty.append(f"{type(value).__name__}.{field.name}")
        empty += empty_fields(inner)
    return empty
