"""Two servers over one record: each sees what the other saved, and nothing is lost between them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.viewer.conftest import Serve, verdict
from tests.viewer.test_record import judge


def test_what_another_server_saved_in_the_same_database_is_seen(serve: Serve) -> None:
    one = serve()
    two = serve(one.phantoms)
    judge(one.browser("Reader One"), one.address("head"), urgent=True)

    two.desk.record.follow()
    seen = two.browser("Reader One").get("/api/worklist?list=urgent").json["rows"]
    one.browser("Reader One").post(f"{one.address('head')}/undo", {"key": "undo-it-1"})
    two.desk.record.follow()

    assert [(row["case_id"], row["verdict"]) for row in seen] == [(one.case_id("head"), "accept")]
    assert two.browser("Reader One").get("/api/worklist?list=urgent").json["rows"] == []


def test_after_the_start_only_what_is_new_is_read_of_the_record(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    one = serve()
    two = serve(one.phantoms)
    judge(one.browser("Reader One"), one.address("followup"))
    two.desk.record.follow()
    monkeypatch.setattr(two.desk.record, "_load", lambda _: pytest.fail("the whole record was read again"))

    judge(one.browser("Reader One"), one.address("head"), verdict="reject")
    one.browser("Reader One").post(f"{one.address('radiograph')}/claim")
    two.desk.record.follow()

    rows = {row["case_id"]: row for row in two.browser("Reader One").get("/api/worklist?list=all").json["rows"]}
    assert [rows[one.case_id(role)]["verdict"] for role in ("followup", "head")] == ["accept", "reject"]
    assert rows[one.case_id("radiograph")]["claimed_by"] == "Reader One"


def test_of_two_first_reads_at_two_servers_one_is_saved_and_other_readers_lose_nothing(serve: Serve) -> None:
    one = serve(blinded=True)
    two = serve(one.phantoms, blinded=True)
    # Two readers, each signed in at both servers: four reads at the same moment.
    seats = [(server.browser(name), server) for name in ("Reader One", "Reader Two") for server in (one, two)]
    said = [
        verdict(browser, server.address("head"), read="first", comment=f"{at}")
        for at, (browser, server) in enumerate(seats)
    ]
    # Neither server's own lock is in the way of the other: the database itself has to say no.
    for server in (one, two):
        server.desk.record._hidden_for = lambda *_: True  # type: ignore[method-assign]

    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda seat, body: seat[0].post(f"{seat[1].address('head')}/verdict", body), seats, said)
        )

    assert sorted(answer.status for answer in answers) == [200, 200, 409, 409]
    assert {answer.code for answer in answers if answer.status == 409} == {"stale"}
    shelf = one.desk.record.shelves["out"]
    history = shelf.reviews.history(shelf.key, one.case_id("head"))
    saved = {body["comment"] for body, answer in zip(said, answers, strict=True) if answer.status == 200}
    assert {found.new.asked.comment for found in history} == saved
    assert sorted(found.new.reviewer for found in history) == ["Reader One", "Reader Two"]
