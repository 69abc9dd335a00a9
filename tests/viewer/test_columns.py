"""The columns say what the table says, also after every kind of change."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diascope.viewer.index import CaseIndex
from diascope.viewer.worklist import NextRequest, WorklistRequest, neighbour, position, worklist_page
from tests.viewer.test_worklist import ME, listed, many_cases, open_index


def call_all_ct(index: CaseIndex) -> None:
    for at in range(600):
        index.note("out", f"case-{at:04d}", "modality", "CT")


CHANGES: dict[str, Callable[[CaseIndex], None]] = {
    "a verdict": lambda index: index.replace_states(
        "out", [("out", "case-0007", who, "reject", "b" * 64) for who in (ME, "Other")], "case-0007"
    ),
    "a verdict that was taken back": lambda index: index.replace_states("out", [], "case-0003"),
    "every verdict anew": lambda index: index.replace_states("out", [("out", "case-0001", ME, "accept", "a" * 64)]),
    "an urgent case": lambda index: index.note("out", "case-0011", "urgent", 1),
    "other urgent cases": lambda index: index.set_urgent("out", ["case-0005", "case-0006"]),
    "a claim": lambda index: index.note("out", "case-0009", "claimed_by", "Other"),
    "an assignment": lambda index: index.note("out", "case-0009", "assigned_to", ME),
    "a new confidence": lambda index: index.note("out", "case-0009", "confidence", 0.001),
    "another result": lambda index: index.note("out", "case-0009", "digest", "c" * 64),
    "very many changes": call_all_ct,
}


@pytest.mark.parametrize("what", CHANGES)
def test_after_a_change_the_columns_are_those_of_a_table_read_anew(what: str, tmp_path: Path) -> None:
    index = open_index(many_cases(tmp_path / "out", 700))
    before = everything(index)

    CHANGES[what](index)
    after = everything(index)
    with index.columns() as columns:
        columns.touch(None)
    anew = everything(index)

    assert after == anew
    assert after != before


def everything(index: CaseIndex) -> list[object]:
    """What a reader is told in every list and order, and where each step leads."""
    found: list[object] = []
    for sort in ("review_first", "confidence", "findings", "status", "case_id"):
        asked = WorklistRequest(list="all", sort=sort, page_size=500)
        page = worklist_page(index, asked, ME, blinded=False)
        found += [page["rows"], page["counts"], listed(index, WorklistRequest(modality="CT", sort=sort))]
        step = NextRequest(out="out", after="case-0009", sort=sort, open=True)
        found += [neighbour(index, step, ME), position(index, step, ME)]
    return found


def test_a_case_that_appears_is_found_and_stands_where_its_name_puts_it(tmp_path: Path) -> None:
    out = many_cases(tmp_path / "out", 20)
    index = open_index(out)
    assert len(listed(index, WorklistRequest(list="all"))) == 20

    text = (out / "cases.csv").read_text()
    (out / "cases.csv").write_text(text + "case-000,done,1.0,0.5,raw,false,,1,2,\n")
    index.refresh(force=True)

    found = listed(index, WorklistRequest(list="all", sort="case_id"))
    assert found.index("case-000") + 1 == found.index("case-0000")
    with index.columns() as columns:
        assert np.array_equal(np.sort(columns.rank("findings", down=True)), np.arange(21))
