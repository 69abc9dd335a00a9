"""The worklist against the same questions put to every row, one after the other."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diascope.io.outfolder import OutFolder
from diascope.viewer.index import CaseIndex
from diascope.viewer.outs import open_outs
from diascope.viewer.worklist import NextRequest, WorklistRequest, neighbour, position, worklist_page

ME = "Reader One"


def many_cases(out: Path, count: int) -> Path:
    """A folder whose cases.csv has cases of every kind; their reports were never written."""
    rng = np.random.default_rng(8)
    OutFolder(out).cases.mkdir(parents=True)
    lines = ["case_id,status,seconds,confidence,confidence_kind,review_first,code,images,findings,reason"]
    for at in range(count):
        status = "done" if at % 10 else ("failed", "nothing_to_do")[at // 10 % 2]
        score = "" if at % 7 == 0 else f"{rng.integers(50) / 50:.2f}"  # equal ones among them
        findings = "" if at % 6 == 0 else str(rng.integers(4))
        doubt = "true" if score and float(score) < 0.2 else "false"
        reason = "slices 4 and 5 are far apart" if status == "failed" else ""
        lines.append(f"case-{at:04d},{status},1.0,{score},raw,{doubt},,1,{findings},{reason}")
    (out / "cases.csv").write_text("\n".join(lines) + "\n")
    return out


def open_index(out: Path) -> CaseIndex:
    """The folder's table, as it is when readers have been at work."""
    index = CaseIndex.opened(open_outs([out]), 0.2, 0)
    every = [row["case_id"] for row in index.query("SELECT case_id FROM cases")]
    verdicts = itertools.cycle(("accept", "reject", "needs_edit", "skip"))
    states = [("out", case_id, ME, next(verdicts), "a" * 64) for case_id in every[::3]]
    states += [("out", case_id, "Other", "accept", "a" * 64) for case_id in every[::5]]
    index.replace_states("out", states)
    for at, case_id in enumerate(every):
        index.note("out", case_id, "digest", ("a" if at % 4 else "b") * 64)
        index.note("out", case_id, "labels", '["glioma"]' if at % 2 else '["nodule", "lung_left"]')
    for case_id in every[4::9]:
        index.note("out", case_id, "claimed_by", "Other")
    for case_id in every[5::9]:
        index.note("out", case_id, "assigned_to", ME)
    index.set_urgent("out", every[6::50])
    return index


def listed(index: CaseIndex, asked: WorklistRequest) -> list[str]:
    """Every case of a list, page by page."""
    return [row["case_id"] for page in pages(index, asked.model_copy(update={"page_size": 37})) for row in page["rows"]]


def pages(index: CaseIndex, asked: WorklistRequest) -> Iterator[dict[str, Any]]:
    for number in itertools.count(1):
        page = worklist_page(index, asked.model_copy(update={"page": number}), ME, blinded=False)
        if not page["rows"]:
            return
        yield page


def every_row(index: CaseIndex) -> list[dict[str, Any]]:
    """Every row of the table, with what this reader says of it."""
    said = {row["case_id"]: row for row in index.query("SELECT * FROM states WHERE reviewer = ?", (ME,))}
    rows = [dict(row) for row in index.query("SELECT * FROM cases")]
    for row in rows:
        mine = said.get(row["case_id"])
        row["stale"] = bool(mine and row["digest"] and mine["digest"] != row["digest"])
        row["mine"] = mine["verdict"] if mine else None
        row["settled"] = bool(mine and mine["verdict"] != "skip" and not row["stale"])
    return rows


LISTS = {
    "open": lambda row: row["status"] == "done" and not row["settled"],
    "reviewed": lambda row: row["status"] == "done" and row["settled"],
    "failed": lambda row: row["status"] == "failed",
    "nothing_to_do": lambda row: row["status"] == "nothing_to_do",
    "all": lambda _: True,
    "urgent": lambda row: row["urgent"],
    "mine": lambda row: ME in {row["claimed_by"], row["assigned_to"]},
}

FILTERS: dict[str, tuple[dict[str, Any], Any]] = {
    "none": ({}, lambda _: True),
    "status": ({"status": "failed"}, lambda row: row["status"] == "failed"),
    "finding": ({"finding": "lung_left"}, lambda row: "lung_left" in row["labels"]),
    "assigned": ({"assigned": "me"}, lambda row: row["assigned_to"] == ME),
    "nobody's": ({"assigned": "nobody"}, lambda row: row["assigned_to"] == ""),
    "stale": ({"verdict": "stale"}, lambda row: row["stale"]),
    "no verdict": ({"verdict": "none"}, lambda row: row["mine"] is None or row["stale"]),
    "rejected": ({"verdict": "reject"}, lambda row: row["mine"] == "reject" and not row["stale"]),
    "words": ({"q": "SLICES 01"}, lambda row: "slices" in row["reason"] and "01" in row["case_id"]),
    "two": ({"q": "glioma", "assigned": "me"}, lambda row: "glioma" in row["labels"] and row["assigned_to"] == ME),
}


def order_of(sort: str, order: str) -> Any:
    """How a list is sorted, as a key."""
    sign = -1 if order == "desc" else 1

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        number = row["n_findings" if sort == "findings" else "confidence"]
        stands = {
            "review_first": (row["status"] != "done", sign * row["place"]),
            "confidence": (number is None, sign * (number or 0)),
            "findings": (number is None, sign * (number or 0)),
            "case_id": (sign * int(row["case_id"][5:]),),
            "status": (sign * sorted(("done", "failed", "nothing_to_do")).index(row["status"]),),
        }
        return (-row["urgent"], *stands[sort], row["case_id"])

    return key


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> CaseIndex:
    return open_index(many_cases(tmp_path_factory.mktemp("many") / "out", 400))


@pytest.mark.parametrize("filtered", FILTERS)
@pytest.mark.parametrize("name", LISTS)
def test_a_list_holds_what_passes_and_counts_it(index: CaseIndex, name: Any, filtered: str) -> None:
    asked, passes = FILTERS[filtered]
    wanted = sorted(row["case_id"] for row in every_row(index) if LISTS[name](row) and passes(row))

    found = listed(index, WorklistRequest(list=name, sort="case_id", **asked))
    page = worklist_page(index, WorklistRequest(list=name, **asked), ME, blinded=False)

    assert sorted(found) == wanted
    assert page["counts"][name] == page["total"] == len(wanted)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["review_first", "confidence", "findings", "case_id", "status"])
def test_pages_follow_each_other_in_the_order_that_was_asked_for(index: CaseIndex, sort: Any, order: Any) -> None:
    wanted = [row["case_id"] for row in sorted(every_row(index), key=order_of(sort, order))]

    assert listed(index, WorklistRequest(list="all", sort=sort, order=order)) == wanted


@pytest.mark.parametrize("sort", ["review_first", "confidence", "case_id"])
def test_next_and_previous_go_the_way_of_the_list_past_what_others_have(index: CaseIndex, sort: Any) -> None:
    rows = sorted(every_row(index), key=order_of(sort, "asc"))
    free = [
        row["case_id"]
        for row in rows
        if row["status"] == "done" and not row["settled"] and {row["claimed_by"], row["assigned_to"]} <= {"", ME}
    ]
    there = NextRequest(out="out", sort=sort, open=True)

    seen = [""]
    while len(seen) <= len(free):
        seen.append(neighbour(index, there.model_copy(update={"after": seen[-1]}), ME)["case_id"])
    assert seen[1:] == free
    # Around the end, and the same way back.
    assert neighbour(index, there.model_copy(update={"after": free[-1]}), ME)["case_id"] == free[0]
    back = there.model_copy(update={"direction": "previous", "after": free[3]})
    assert neighbour(index, back, ME)["case_id"] == free[2]


def test_a_case_is_the_nth_of_those_that_are_done(index: CaseIndex) -> None:
    rows = sorted(every_row(index), key=order_of("confidence", "asc"))
    done = [row["case_id"] for row in rows if row["status"] == "done"]

    for at in (0, 1, 100, len(done) - 1):
        asked = NextRequest(out="out", after=done[at], sort="confidence")
        assert position(index, asked, ME) == {"index": at + 1, "of": len(done)}
    assert position(index, NextRequest(out="out", after="case-none"), ME)["index"] is None


def test_the_only_open_case_has_no_other_after_it(tmp_path: Path) -> None:
    index = open_index(many_cases(tmp_path / "out", 12))
    for row in every_row(index):
        index.replace_states("out", [("out", row["case_id"], ME, "accept", row["digest"])], row["case_id"])
    index.replace_states("out", [], "case-0001")

    found = neighbour(index, NextRequest(out="out", after="case-0001", open=True), ME)

    assert found == {"done": True, "of": 10}


def test_a_reader_without_a_name_has_no_cases_of_their_own(index: CaseIndex) -> None:
    assert worklist_page(index, WorklistRequest(), "", blinded=False)["counts"]["mine"] == 0
