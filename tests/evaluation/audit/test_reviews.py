"""What reviewers said, weighed by how their cases came to be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diascope.errors import InputError
from diascope.evaluation.audit.audit import Evidence, audit
from diascope.evaluation.audit.gate import review_ruling
from diascope.evaluation.audit.publish import published
from diascope.evaluation.audit.report import audit_html
from diascope.evaluation.audit.reviews import HIDDEN, IN_VIEW, read_reviews, summarise_reviews
from diascope.evaluation.audit.settings import AuditSettings, Gate
from diascope.evaluation.audit.write import audit_scalars, model_card, write_audit
from diascope.viewer.review_table import COLUMNS, as_csv
from tests.evaluation.audit.cohorts import cohort


def archive(seed: int, cases: int = 4000, part: float = 0.1) -> tuple[pd.DataFrame, float, frozenset[str]]:
    """A queue as the viewer makes it: doubtful cases are wrong twice in three, the others once in twenty.

    Returns the verdicts, the share of all cases that deserve acceptance, and the doubtful cases.
    """
    rng = np.random.default_rng(seed)
    doubtful = rng.random(cases) < 0.25
    is_right = np.where(doubtful, rng.random(cases) < 0.35, rng.random(cases) < 0.95)
    drawn = ~doubtful & (rng.random(cases) < part)
    frame = pd.DataFrame(
        {
            "case_id": [f"case-{n}" for n in range(cases)],
            "patient_key": [f"p{n}" for n in range(cases)],
            "reviewer": "reader-1",
            "is_stale": 0,
            "verdict": np.where(is_right, "accept", "reject"),
            "sampling": np.where(doubtful, "review_first", "random"),
            "sampling_probability": np.where(doubtful, 1.0, part),
            "ai_visible": 1,
            "findings_true": is_right.astype(int),
            "findings_false": (~is_right).astype(int),
            "findings_wrong_extent": 0,
            "missed": (~is_right).astype(int),
        }
    )
    names = frozenset(frame["case_id"][doubtful])
    return frame[doubtful | drawn].reset_index(drop=True), float(is_right.mean()), names


def test_weighing_gives_the_rate_of_all_cases_where_counting_does_not() -> None:
    estimates, truths, covered = [], [], []
    for seed in range(30):
        frame, truth, doubtful = archive(seed)
        found = summarise_reviews(frame, {}, doubtful).figure("accepted", IN_VIEW)
        assert found is not None
        estimates.append(found.value)
        truths.append(truth)
        covered.append(found.low <= truth <= found.high)
    frame, truth, _ = archive(0)

    assert (frame["verdict"] == "accept").mean() < truth - 0.2  # what counting says: doubtful cases are read first
    assert np.mean(estimates) == pytest.approx(np.mean(truths), abs=0.01)
    assert np.mean(covered) >= 0.85


def test_reads_with_and_without_the_network_in_view_are_apart() -> None:
    frame, _, doubtful = archive(1)
    hidden = frame.assign(ai_visible=0, verdict="reject", verdict_id=0)

    found = summarise_reviews(pd.concat([frame, hidden], ignore_index=True), {}, doubtful)

    assert found.figure("accepted", HIDDEN).value == 0.0
    assert found.figure("accepted", IN_VIEW).value > 0.7
    assert found.random_patients[HIDDEN] == found.random_patients[IN_VIEW] == (frame["sampling"] == "random").sum()


def test_stale_skipped_and_picked_verdicts_are_left_out_and_counted() -> None:
    frame, _, _ = archive(2, cases=200)
    frame.loc[0, "is_stale"] = 1
    frame.loc[1, "verdict"] = "skip"
    frame.loc[2, ["sampling", "sampling_probability"]] = ["chosen", np.nan]

    found = summarise_reviews(frame, {})

    assert (found.stale, found.skipped, found.unsampled, found.verdicts) == (1, 1, 1, len(frame) - 3)


def test_doubtful_cases_that_were_partly_read_do_not_stand_for_the_rest() -> None:
    # Only the easiest half of the doubtful cases was read: their share says nothing of the other half.
    frame, _, doubtful = archive(3)
    is_doubtful = frame["sampling"] == "review_first"
    half = frame[~(is_doubtful & (frame["verdict"] == "reject"))].reset_index(drop=True)

    found = summarise_reviews(half, {}, doubtful)

    assert found.figure("accepted", IN_VIEW).value == pytest.approx(0.95, abs=0.03)
    assert "did not look doubtful" in found.notes[0]


def test_groups_are_told_apart() -> None:
    frame, _, doubtful = archive(4)
    sex = {case: "F" if int(case.split("-")[1]) % 2 else "M" for case in frame["case_id"]}
    frame.loc[frame["case_id"].map(sex) == "F", "verdict"] = "reject"

    found = summarise_reviews(frame, {"sex": sex}, doubtful)

    assert found.figure("accepted", IN_VIEW, "sex", "F").value == 0.0
    assert found.figure("accepted", IN_VIEW, "sex", "M").value > 0.7


@pytest.mark.parametrize(
    ("part", "least", "verdict", "word"),
    [
        (0.1, 0.6, "pass", "network in view"),
        (0.1, 0.95, "fail", "draws readers to agree"),
        (0.1, 0.8, "insufficient", "reaches over the limit"),
        (0.002, 0.6, "insufficient", "20 are needed"),
        (0.0, 0.6, "insufficient", "0 patients of a random sample"),
    ],
)
def test_the_gate_takes_reviews_only_with_a_random_sample(part: float, least: float, verdict: str, word: str) -> None:
    frame, _, doubtful = archive(5, part=max(part, 1e-9))

    ruling = review_ruling(summarise_reviews(frame, {}, doubtful), least, 20)

    assert ruling.verdict == verdict
    assert word in ruling.reason


def test_a_gate_that_asks_for_reviews_without_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no table of reviews is named"):
        AuditSettings(groups=("sex",), gate=Gate(reviews_accepted=0.9))


def test_the_viewer_s_export_is_what_the_audit_reads(tmp_path: Path) -> None:
    frame, _, _ = archive(6, cases=100)
    rows = [{name: row.get(name) for name in COLUMNS} for row in frame.to_dict("records")]
    rows[0]["sampling_probability"] = None  # of a case that somebody picked: an empty cell
    (tmp_path / "verdicts.csv").write_text(as_csv(COLUMNS, rows))

    found = summarise_reviews(read_reviews(tmp_path / "verdicts.csv"), {})

    assert (found.verdicts, found.unsampled, found.readers) == (len(frame) - 1, 1, 1)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("verdict", "acept", "acept is none of accept, reject"),
        ("sampling_probability", "1.5", "1 of 3 sampling probabilities"),
        ("sampling_probability", "0", "1 of 3 sampling probabilities"),
        ("sampling_probability", "often", "1 of 3 sampling probabilities"),
    ],
)
def test_what_would_be_weighed_wrongly_is_refused(tmp_path: Path, column: str, value: str, message: str) -> None:
    frame, _, _ = archive(7, cases=100)
    frame = frame.head(3).astype({"sampling_probability": object})
    frame.loc[1, column] = value
    frame.to_csv(tmp_path / "verdicts.csv", index=False)

    with pytest.raises(InputError, match=message):
        read_reviews(tmp_path / "verdicts.csv")


def test_a_table_without_the_probability_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    archive(8, cases=50)[0].drop(columns="sampling_probability").to_csv(tmp_path / "verdicts.csv", index=False)

    with pytest.raises(InputError, match="no column sampling_probability") as caught:
        read_reviews(tmp_path / "verdicts.csv")
    assert "--export" in caught.value.hint


def test_an_audit_tells_reviews_apart_from_truth_and_publishes_no_small_groups(tmp_path: Path) -> None:
    made = cohort(0, 600).assign(case_id=[f"case-{n}" for n in range(600)])
    frame, _, doubtful = archive(9, cases=600)
    plan = AuditSettings(
        groups=("sex",), rounds=10, reviews="verdicts.csv", gate=Gate(reviews_accepted=0.9), smallest_group=5
    )

    found = audit(made, plan, evidence=Evidence(frame, doubtful))
    write_audit(found, tmp_path)

    assert [one.attribute for one in found.rulings] == ["reviews"]
    assert found.verdict == "fail"
    html = audit_html(found)
    assert "7. What reviewers said" in html
    assert (
        "a reader&#39;s verdict is no independent truth" in html or "a reader's verdict is no independent truth" in html
    )
    assert "no independent truth" in model_card(found)
    assert audit_scalars(found)["audit.reviews.accepted.network_in_view"] == pytest.approx(
        found.reviews.figure("accepted", IN_VIEW).value
    )
    assert (tmp_path / "reviews.csv").read_text().count("sex") > 0
    assert not any(one.attribute for one in published(found).reviews.figures)
