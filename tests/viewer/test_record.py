"""Verdicts over the wire: saved once, never lost, stale after a redo, blinded when it is asked."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from tests.phantoms import Phantoms
from tests.viewer.browser import Browser
from tests.viewer.conftest import Serve, Viewer, verdict
from tests.viewer.test_index import mark_odd_in_batch


def judge(browser: Browser, address: str, **said: Any) -> dict[str, Any]:
    answer = browser.post(f"{address}/verdict", verdict(browser, address, **said))
    assert answer.status == 200, answer.body
    return answer.json


def redo(viewer: Viewer, role: str) -> None:
    """Do a case again, with another result."""
    file = viewer.phantoms.case_folder(role) / "case.json"
    file.write_text(file.read_text().replace('"diascope_version": "0.1.0"', '"diascope_version": "0.2.0"'))


def test_a_verdict_is_who_when_what_and_the_case_leaves_the_open_list(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")

    answer = judge(
        browser,
        address,
        verdict="needs_edit",
        score=2,
        reasons=["wrong_extent"],
        comment="the lower pole",
        findings=[{"finding_id": "flair_glioma_detection-1", "verdict": "wrong_extent", "label": "metastasis"}],
        labels=[{"bundle": "brain_structures_segmentation", "label": "left_brain", "verdict": "true"}],
        missed=[{"image_id": viewer.image_id("head"), "label": "glioma", "box_ijk": [[1, 2, 3], [4, 6, 8]]}],
    )
    listed = browser.get("/api/worklist?list=open").json
    table = browser.get("/api/export/verdicts.json").json
    judged = browser.get("/api/export/judged.json").json

    assert viewer.case_id("head") not in {row["case_id"] for row in listed["rows"]}
    assert answer["next"]["case_id"] in {row["case_id"] for row in listed["rows"]}
    (row,) = table
    assert (row["verdict"], row["score"], row["findings_wrong_extent"], row["findings_true"], row["missed"]) == (
        "needs_edit", 2, 1, 1, 1,
    )  # fmt: skip
    assert row["sampling"] == "chosen"
    assert row["ai_visible"] == 1
    assert row["when"].endswith("+00:00")
    assert [(one["kind"], one["verdict"], one.get("corrected_label")) for one in judged] == [
        ("finding", "wrong_extent", "metastasis"),
        ("label", "true", None),
        ("missed", "missed", None),
    ]


def test_how_a_case_came_before_its_reader_is_kept_with_the_verdict(serve: Serve) -> None:
    viewer = serve(sample_part=1.0)
    browser = viewer.browser()
    for role in ("head", "followup"):
        judge(browser, viewer.address(role))

    rows = {row["case_id"]: row for row in browser.get("/api/export/verdicts.json").json}

    assert (rows[viewer.case_id("head")]["sampling"], rows[viewer.case_id("head")]["sampling_probability"]) == (
        "random",
        1.0,
    )
    assert rows[viewer.case_id("followup")]["sampling"] == "review_first"


def test_a_case_that_is_odd_only_beside_its_batch_is_judged_as_one_that_every_reader_sees(
    serve: Serve, phantoms: Phantoms
) -> None:
    mark_odd_in_batch(phantoms, "head")
    viewer = serve(sample_part=0.0)
    browser = viewer.browser()
    for role in ("head", "no_geometry"):
        judge(browser, viewer.address(role))

    said = {row["case_id"]: row for row in browser.get("/api/export/verdicts.json").json}
    listed = {row["case_id"]: row["review_first"] for row in browser.get("/api/worklist?list=all").json["rows"]}

    odd, usual = said[viewer.case_id("head")], said[viewer.case_id("no_geometry")]
    assert (odd["sampling"], odd["sampling_probability"]) == ("review_first", 1.0)
    assert (usual["sampling"], usual["sampling_probability"]) == ("chosen", None)
    assert listed[viewer.case_id("head")]
    assert not listed[viewer.case_id("no_geometry")]
    shown = [browser.get(viewer.address(role)).json["review_first"] for role in ("head", "no_geometry")]
    assert shown == [True, False]


def test_an_answer_that_got_lost_is_asked_for_again_and_nothing_is_doubled(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    said = verdict(browser, address)

    first, again = (browser.post(f"{address}/verdict", said).json["verdict_id"] for _ in range(2))

    assert first == again
    assert len(browser.get("/api/export/verdicts.json").json) == 1


def test_after_a_redo_a_verdict_is_stale_and_the_case_returns(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    old = verdict(browser, address)
    judge(browser, address)
    redo(viewer, "head")

    case = browser.get(address).json
    listed = browser.get("/api/worklist?list=open&verdict=stale").json["rows"]
    refused = browser.post(f"{address}/verdict", {**old, "key": "another-key"})

    assert [one["is_stale"] for one in case["verdicts"]] == [True]
    assert [(row["case_id"], row["stale"]) for row in listed] == [(viewer.case_id("head"), True)]
    assert (refused.status, refused.code) == (409, "stale")
    assert refused.json["digest"] == case["result_digest"]
    judge(browser, address, verdict="reject")
    rows = browser.get("/api/export/verdicts.json").json
    assert [(row["verdict"], row["is_stale"]) for row in rows] == [("accept", 1), ("reject", 0)]


def test_undo_is_a_row_of_its_own_and_the_verdict_before_counts_again(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    judge(browser, address, verdict="accept")
    judge(browser, address, verdict="reject")

    undone = browser.post(f"{address}/undo", {"key": "undo-key-1"}).json
    again = browser.post(f"{address}/undo", {"key": "undo-key-1"}).json

    assert undone["revoked"]["verdict"] == again["revoked"]["verdict"] == "reject"
    assert [one["verdict"] for one in undone["case"]["verdicts"]] == ["accept"]
    assert browser.post(f"{address}/undo", {"key": "undo-key-2"}).json["case"]["verdicts"] == []
    assert browser.post(f"{address}/undo", {"key": "undo-key-3"}).code == "nothing_to_undo"
    shelf = viewer.desk.record.shelves["out"]
    assert [one.new.asked.verdict for one in shelf.reviews.history(shelf.key)] == ["accept", "reject"]


def test_an_urgent_case_stands_first_everywhere(viewer: Viewer) -> None:
    browser = viewer.browser()
    judge(browser, viewer.address("no_geometry"), urgent=True)

    for sort in ("review_first", "confidence", "case_id", "findings", "status"):
        for order in ("asc", "desc"):
            rows = browser.get(f"/api/worklist?list=all&sort={sort}&order={order}").json["rows"]
            assert rows[0]["case_id"] == viewer.case_id("no_geometry"), (sort, order)
    other = viewer.browser("Reader Two")
    assert other.get("/api/next").json["case_id"] == viewer.case_id("no_geometry")


def test_blinded_readers_see_neither_the_network_nor_each_other(serve: Serve) -> None:
    viewer = serve(blinded=True)
    one, two, address = viewer.browser("Reader One"), viewer.browser("Reader Two"), viewer.address("head")

    before = one.get(address).json
    row = next(
        row for row in one.get("/api/worklist?list=all").json["rows"] if row["case_id"] == viewer.case_id("head")
    )
    early = one.post(f"{address}/verdict", verdict(one, address))
    judge(one, address, verdict="reject", read="first")
    after = one.get(address).json

    assert before["hides_ai"]
    assert before["segmentations"] == before["heatmaps"] == before["findings"] == before["predictions"] == []
    assert before["confidence"] is None
    assert row["confidence"] is None
    assert row["labels"] == []
    assert early.code == "hidden"
    for path in ("/volume/seg-0-1.nii.gz", "/volume/heat-0.nii.gz", "/preview.png"):
        assert two.get(address + path).code == "hidden", path
    assert two.get(f"{address}/slice/{viewer.image_id('head')}/axial/5.png?seg=x").code == "hidden"
    assert two.post(f"{address}/draft", {"name": "seg-0-1"}).code == "hidden"
    assert not after["hides_ai"]
    assert after["findings"]
    assert two.get(address).json["verdicts"] == []
    assert two.get("/api/export/verdicts.json").json == []
    assert two.get("/api/agreement").code == "hidden"


def test_a_first_read_does_not_settle_a_case_and_is_told_from_the_second(serve: Serve) -> None:
    viewer = serve(blinded=True)
    browser, address = viewer.browser(), viewer.address("head")
    judge(browser, address, verdict="reject", read="first")
    still_open = browser.get("/api/worklist?list=open").json["total"]

    judge(browser, address, verdict="accept", read="with_ai")

    assert still_open == 5
    assert browser.get("/api/worklist?list=open").json["total"] == 4
    rows = browser.get("/api/export/verdicts.json").json
    assert [(row["verdict"], row["ai_visible"]) for row in rows] == [("reject", 0), ("accept", 1)]


def test_a_first_read_that_was_taken_back_is_not_given_again_after_the_ai_was_seen(serve: Serve) -> None:
    viewer = serve(blinded=True)
    browser, address = viewer.browser(), viewer.address("head")
    judge(browser, address, verdict="reject", read="first")
    undone = browser.post(f"{address}/undo", {"key": "undo-key-1"}).json["case"]

    again = browser.post(f"{address}/verdict", verdict(browser, address, read="first"))
    judge(browser, address, verdict="accept", read="with_ai")

    assert not undone["hides_ai"]
    assert not browser.get(address).json["hides_ai"]
    assert (again.status, again.code) == (409, "stale")
    assert again.json["error"]["cure"]
    rows = browser.get("/api/export/verdicts.json").json
    assert [(row["read"], row["verdict"], row["ai_visible"]) for row in rows] == [("with_ai", "accept", 1)]


@pytest.mark.parametrize("blinded_later", [True, False])
def test_a_second_first_read_never_takes_the_place_of_the_true_one(serve: Serve, blinded_later: bool) -> None:
    before = serve(blinded=True)
    address = before.address("head")
    reader = before.browser()
    said = verdict(reader, address, verdict="reject", read="first")
    number = reader.post(f"{address}/verdict", said).json["verdict_id"]
    browser = serve(before.phantoms, blinded=blinded_later).browser()

    second = browser.post(f"{address}/verdict", verdict(browser, address, verdict="accept", read="first"))
    # The answer to the true one got lost: the page asks again, and gets the same row.
    lost = browser.post(f"{address}/verdict", said).json["verdict_id"]

    assert (second.status, second.code) == (409, "stale")
    assert lost == number
    rows = browser.get("/api/export/verdicts.json").json
    assert [(row["read"], row["verdict"], row["ai_visible"]) for row in rows] == [("first", "reject", 0)]


def test_of_two_first_reads_at_the_same_moment_one_is_saved(serve: Serve) -> None:
    viewer = serve(blinded=True)
    browser, address = viewer.browser(), viewer.address("head")
    said = [verdict(browser, address, read="first") for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: browser.post(f"{address}/verdict", one).status, said))

    assert sorted(answers) == [200, *[409] * 7]
    assert len(browser.get("/api/export/verdicts.json").json) == 1


def test_in_a_blinded_worklist_nothing_can_be_found_by_what_the_network_says(serve: Serve) -> None:
    browser = serve(blinded=True).browser()

    everything = [row["case_id"] for row in browser.get("/api/worklist?list=all").json["rows"]]

    for asked in ("finding=glioma", "q=glioma", "sort=confidence", "sort=findings&order=desc"):
        found = [row["case_id"] for row in browser.get(f"/api/worklist?list=all&{asked}").json["rows"]]
        assert found in ([], everything, everything[::-1]), asked


def test_two_readers_on_one_case_both_count_and_their_agreement_is_told(viewer: Viewer) -> None:
    one, two = viewer.browser("Reader One"), viewer.browser("Reader Two")
    said = {"head": ("accept", "accept"), "followup": ("reject", "reject"), "radiograph": ("accept", "reject")}
    for role, words in said.items():
        for browser, word in zip((one, two), words, strict=True):
            judge(browser, viewer.address(role), verdict=word)

    told = one.get("/api/agreement").json

    # Agreed 2/3; by chance 2/3 * 1/3 + 1/3 * 2/3 = 4/9; kappa = (2/3 - 4/9) / (1 - 4/9) = 0.4.
    (pair,) = told["verdict"]["pairs"]
    assert pair["kappa"] == pytest.approx(0.4)
    assert told["readers"] == {"reader-1": "Reader One", "reader-2": "Reader Two"}


def test_a_case_is_taken_given_and_let_go(viewer: Viewer) -> None:
    one, two, address = viewer.browser("Reader One"), viewer.browser("Reader Two"), viewer.address("followup")

    one.post(f"{address}/claim")
    refused = two.post(f"{address}/claim")
    past = two.get("/api/next").json["case_id"]
    one.post(f"{address}/release")
    one.post(f"{address}/assign", {"reviewer": "Reader Two"})

    assert (refused.status, refused.code) == (409, "claimed")
    assert past != viewer.case_id("followup")
    assert two.get("/api/next").json["case_id"] == viewer.case_id("followup")
    assert one.get("/api/next").json["case_id"] != viewer.case_id("followup")
    assert two.get("/api/worklist?assigned=me").json["total"] == 1


def test_the_record_is_there_after_a_restart(serve: Serve) -> None:
    first = serve()
    browser = first.browser()
    judge(browser, first.address("head"), urgent=True)
    browser.post(f"{first.address('followup')}/claim")

    second = serve(first.phantoms)
    rows = {row["case_id"]: row for row in second.browser().get("/api/worklist?list=all").json["rows"]}

    assert rows[first.case_id("head")]["verdict"] == "accept"
    assert rows[first.case_id("head")]["urgent"]
    assert rows[first.case_id("followup")]["claimed_by"] == "Reader One"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"verdict": "perhaps"}, "bad_request"),
        ({"score": 6}, "bad_request"),
        ({"findings": [{"finding_id": "of-another-case", "verdict": "true"}]}, "bad_request"),
        ({"labels": [{"bundle": "x", "label": "y", "verdict": "true"}]}, "bad_request"),
        ({"missed": [{"image_id": "x", "label": "y", "box_ijk": [[0, 0, 0], [1, 1, 1]]}]}, "bad_request"),
        ({"digest": "0" * 64}, "stale"),
        ({"digest": "x"}, "bad_request"),
        ({"unknown": 1}, "bad_request"),
        ({"comment": "x" * 10_001}, "bad_request"),
    ],
)
def test_a_verdict_that_makes_no_sense_is_refused(viewer: Viewer, changed: dict[str, Any], code: str) -> None:
    browser, address = viewer.browser(), viewer.address("head")

    answer = browser.post(f"{address}/verdict", {**verdict(browser, address), **changed})

    assert answer.code == code
    assert browser.get("/api/export/verdicts.json").json == []


def test_a_failed_case_is_not_judged(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("failed")

    assert browser.post(f"{address}/verdict", verdict(browser, address)).code == "bad_request"


def test_a_table_is_data_to_a_spreadsheet_and_never_a_formula(viewer: Viewer) -> None:
    browser, address = viewer.browser("=HYPERLINK(1)"), viewer.address("head")
    judge(browser, address, comment='=cmd|"/c calc"!A1')

    text = browser.get("/api/export/verdicts.csv").body.decode()

    assert "\"'=cmd|" in text
    assert json.dumps("=HYPERLINK(1)") not in text


def test_many_readers_at_once_lose_nothing(viewer: Viewer) -> None:
    addresses = [viewer.address(role) for role in ("head", "followup", "radiograph", "no_geometry")]

    def read(number: int) -> None:
        browser = viewer.browser(f"Reader {number}")
        for address in addresses:
            judge(browser, address, score=1 + number % 5)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))

    rows = viewer.browser().get("/api/export/verdicts.json").json
    assert len(rows) == 32
    assert len({(row["reviewer"], row["case_id"]) for row in rows}) == 32


def test_a_record_that_cannot_be_written_is_told_and_never_called_saved(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    said = verdict(browser, address)
    with viewer.desk.record.shelves["out"].reviews._engine.begin() as connection:
        connection.execute(text("ALTER TABLE verdicts RENAME TO elsewhere"))

    answer = browser.post(f"{address}/verdict", said)
    with viewer.desk.record.shelves["out"].reviews._engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO verdicts"))

    assert (answer.status, answer.code) == (503, "not_saved")
    assert answer.json["error"]["cure"]
    assert browser.post(f"{address}/verdict", said).status == 200
