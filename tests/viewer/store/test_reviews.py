"""Rows are added, the newest counts; the same in SQLite here and in PostgreSQL in test_reviews_postgres."""

from pathlib import Path
from typing import Any

import pytest

from diascope.viewer.store.opening import open_engine
from diascope.viewer.store.reviews import Claim, Reviews
from diascope.viewer.store.verdicts import NewVerdict, VerdictAsked


def new(key: str, reviewer: str = "Reader One", case: str = "case-1", **said: Any) -> NewVerdict:
    asked = VerdictAsked.model_validate({"verdict": "accept", "digest": "a" * 64, "key": f"request-{key}", **said})
    return NewVerdict("out", case, "pat-1", reviewer, asked, True, "random", 0.1, (("bundle", "b" * 64),))


@pytest.fixture
def reviews(tmp_path: Path) -> Any:
    found = Reviews(open_engine(f"sqlite:///{tmp_path / 'r.sqlite'}"))
    yield found
    found.close()


def check_a_record_keeps_what_it_is_given(reviews: Reviews) -> None:
    """Also run against PostgreSQL."""
    first = reviews.add(
        new(
            "1",
            comment="ö 脳 'quoted' \"twice\"",
            missed=[{"image_id": "img", "label": "x", "box_ijk": [[0, 1, 2], [3, 4, 5]]}],
        )
    )
    reviews.add(new("2", verdict="reject", score=3, urgent=True))
    reviews.add(new("3", reviewer="Reader Two"))
    reviews.add(new("4", read="first"))
    reviews.add(new("5", case="case-2"))

    again = reviews.add(new("1"))
    standing = reviews.standing("out", "case-1")

    assert again == first
    assert first.new == new(
        "1",
        comment="ö 脳 'quoted' \"twice\"",
        missed=[{"image_id": "img", "label": "x", "box_ijk": [[0, 1, 2], [3, 4, 5]]}],
    )
    assert [(one.new.reviewer, one.new.asked.verdict, one.new.asked.read) for one in standing] == [
        ("Reader One", "reject", "with_ai"),
        ("Reader Two", "accept", "with_ai"),
        ("Reader One", "accept", "first"),
    ]
    taken = reviews.revoke("out", "case-1", "Reader One", "request-undo")
    assert taken is not None
    assert taken.new.asked.read == "first"
    assert reviews.revoke("out", "case-1", "Reader One", "request-undo") == taken
    assert reviews.revoke("out", "case-1", "Nobody", "request-undo") is None
    assert len(reviews.history("out")) == 5
    assert reviews.revoked("out") == {taken.verdict_id}
    assert reviews.standing("another") == ()


def check_claims(reviews: Reviews) -> None:
    """Also run against PostgreSQL."""
    reviews.note_claim("out", "case-1", "A", "claim", "A")
    reviews.note_claim("out", "case-2", "A", "claim", "A")
    reviews.note_claim("out", "case-2", "B", "release", "")
    reviews.note_claim("out", "case-2", "B", "assign", "C")

    assert set(reviews.claims("out")) == {Claim("case-1", "A", ""), Claim("case-2", "", "C")}


def test_a_record_keeps_what_it_is_given(reviews: Reviews) -> None:
    check_a_record_keeps_what_it_is_given(reviews)


def test_the_newest_claim_counts(reviews: Reviews) -> None:
    check_claims(reviews)


def test_two_readers_may_use_the_same_request_key(reviews: Reviews) -> None:
    one, two = reviews.add(new("1")), reviews.add(new("1", reviewer="Reader Two"))

    assert one.verdict_id != two.verdict_id
