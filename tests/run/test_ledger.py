"""What has been done, and what counts as done."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from diascope.errors import OutputError
from diascope.run.ledger import Ledger, LedgerRow, task_key


def done(case_id: str, task: str = "brain", key: str = "k1", digest: str = "d1") -> LedgerRow:
    return LedgerRow(case_id, task, "done", key, digest, "", 1.5)


def test_a_case_is_done_when_each_of_its_tasks_is(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.put([done("case-1", "brain"), done("case-1", "glioma")])

        assert ledger.is_done("case-1", {"brain": "k1", "glioma": "k1"}, "d1")
        assert not ledger.is_done("case-1", {"brain": "k1", "lung": "k1"}, "d1")


@pytest.mark.parametrize(
    ("keys", "digest"),
    [({"brain": "another"}, "d1"), ({"brain": "k1"}, "altered"), ({}, "d1")],
    ids=["key", "report", "no task"],
)
def test_another_key_an_altered_report_or_no_task_is_not_done(
    tmp_path: Path, keys: dict[str, str], digest: str
) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.put([done("case-1")])

        assert not ledger.is_done("case-1", keys, digest)


def test_a_failed_case_is_tried_again(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.put([LedgerRow("case-1", "brain", "failed", "k1", "d1", "gap", 0.2)])

        assert not ledger.is_done("case-1", {"brain": "k1"}, "d1")
        assert ledger.rows("case-1")["brain"].code == "gap"


def test_a_later_row_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.put([LedgerRow("case-1", "brain", "failed", "k1", "d1", "gap", 0.2)])
        ledger.put([done("case-1")])

        assert ledger.rows("case-1") == {"brain": done("case-1")}


def _write_and_die(file: Path) -> None:
    ledger = Ledger(file)
    ledger.put([done("case-1")])
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_driver_keeps_what_it_wrote(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    driver = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(file,))
    driver.start()
    driver.join(60)

    assert driver.exitcode == -signal.SIGKILL
    with Ledger(file) as ledger:
        assert ledger.is_done("case-1", {"brain": "k1"}, "d1")


def test_a_file_that_is_no_ledger_is_refused_with_the_cure(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    file.write_text("not a database, but longer than the header of one " * 20)

    with pytest.raises(OutputError, match="cannot be used as a ledger") as caught:
        Ledger(file)

    assert "move the file away" in caught.value.hint


def test_a_key_tells_where_one_part_ends() -> None:
    assert task_key(["ab", "c"]) != task_key(["a", "bc"])
