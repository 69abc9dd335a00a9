"""The record of an output folder as tables, with what has become of the results since."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from diascope.io.outfolder import file_digest
from diascope.viewer.outs import ServedOut
from diascope.viewer.review_table import judged_rows, pseudonyms, standing_rows, verdict_rows
from diascope.viewer.store.reviews import Reviews


@dataclass(frozen=True, slots=True)
class Tables:
    """The record of one output folder.

    Attributes:
        out: Its name.
        verdicts: Rows of `review_table.COLUMNS`.
        judged: Rows of `review_table.JUDGED_COLUMNS`.
        names: Name of each reader by pseudonym.
    """

    out: str
    verdicts: list[dict[str, Any]]
    judged: list[dict[str, Any]]
    names: dict[str, str]


def tables_of(out: ServedOut, reviews: Reviews, key: str, only_reader: str | None = None) -> Tables:
    """Make the tables.

    Args:
        out: The folder.
        reviews: Its record.
        key: Its name in the record.
        only_reader: Leave out all others.
    """

    @cache
    def digest_now(case_id: str) -> str:
        file = out.folder.case(case_id) / "case.json"
        return file_digest(file) if file.is_file() else ""

    history = reviews.history(key)
    names = pseudonyms(history)
    rows = [
        one
        for one in standing_rows(history, reviews.revoked(key))
        if only_reader is None or one.new.reviewer == only_reader
    ]
    shown = {names[one.new.reviewer]: one.new.reviewer for one in rows}
    return Tables(
        out.out_id, verdict_rows(rows, names, out.out_id, digest_now), judged_rows(rows, names, digest_now), shown
    )
