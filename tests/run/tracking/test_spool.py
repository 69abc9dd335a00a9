"""tracking.jsonl: numbered, checked, only ever appended to."""

from pathlib import Path

from diascope.run.tracking.spool import Receipt, Spool, add_receipt, read_spool


def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "tracking.jsonl", clock=lambda: 1_700_000_000.5)


def test_events_are_numbered_from_one_and_carry_their_time(tmp_path: Path) -> None:
    one = spool(tmp_path)

    one.add("run", "r1", {"name": "brain_mri"})
    one.add("metrics", "r1", {"values": {"a": 1.5}, "step": 3})

    events = read_spool(one.path).events
    assert [(event.seq, event.kind, event.at_ms) for event in events] == [
        (1, "run", 1_700_000_000_500),
        (2, "metrics", 1_700_000_000_500),
    ]
    assert events[1].body == {"values": {"a": 1.5}, "step": 3}


def test_numbers_go_on_where_an_earlier_process_stopped(tmp_path: Path) -> None:
    spool(tmp_path).add("run", "r1", {})

    assert spool(tmp_path).add("tags", "r1", {}).seq == 2


def test_what_has_a_receipt_is_not_pending_for_that_destination_only(tmp_path: Path) -> None:
    one = spool(tmp_path)
    for kind in ("run", "tags", "ended"):
        one.add(kind, "r1", {})
    add_receipt(one.path, Receipt("here", "r1", "id-1", 2))

    content = read_spool(one.path)

    assert [event.seq for event in content.pending("here")] == [3]
    assert [event.seq for event in content.pending("elsewhere")] == [1, 2, 3]
    assert content.receipt("here", "r1") == Receipt("here", "r1", "id-1", 2)
    assert content.receipt("elsewhere", "r1") is None


def test_a_second_run_of_a_folder_has_receipts_of_its_own(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.add("run", "r1", {})
    one.add("run", "r2", {})
    add_receipt(one.path, Receipt("here", "r1", "id-1", 1))

    content = read_spool(one.path)

    assert [event.run for event in content.pending("here")] == ["r2"]
    last = content.last_run()
    assert last is not None
    assert last.run == "r2"


def test_a_line_cut_short_by_a_power_cut_is_lost_alone(tmp_path: Path) -> None:
    one = spool(tmp_path)
    for kind in ("run", "tags", "tags"):
        one.add(kind, "r1", {})
    text = one.path.read_text()
    one.path.write_text(text[:-20])

    spool(tmp_path).add("ended", "r1", {})

    content = read_spool(one.path)
    assert [(event.seq, event.kind) for event in content.events] == [(1, "run"), (2, "tags"), (3, "ended")]
    assert content.damaged == 1


def test_a_line_that_was_changed_does_not_count(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.add("metrics", "r1", {"values": {"dice": 0.5}, "step": 0})
    one.path.write_text(one.path.read_text().replace("0.5", "0.9"))

    content = read_spool(one.path)

    assert (content.events, content.damaged) == ((), 1)


def test_a_spool_that_is_not_there_is_empty(tmp_path: Path) -> None:
    content = read_spool(tmp_path / "tracking.jsonl")

    assert (content.events, content.receipts, content.last_run()) == ((), (), None)
