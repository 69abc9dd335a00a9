"""The record of verdicts and claims: rows are added, never changed, and the newest counts."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Engine, Row, func, insert, select
from sqlalchemy.exc import IntegrityError

from diascope.viewer.store.schema import CLAIMS, VERDICTS
from diascope.viewer.store.verdicts import NewVerdict, SavedVerdict, VerdictAsked

ClaimAction = Literal["claim", "release", "assign"]


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has a case.

    Attributes:
        case_id: The case.
        claimed_by: Who took it; empty if nobody.
        assigned_to: Whom it was given to; empty if nobody.
    """

    case_id: str
    claimed_by: str
    assigned_to: str


@dataclass(frozen=True, slots=True)
class State:
    """How far the record of a folder has got.

    Attributes:
        verdict: Number of the newest row.
        verdicts: How many rows there are.
        claim: Number of the newest row of claims.
        claims: How many of them there are.
    """

    verdict: int
    verdicts: int
    claim: int
    claims: int


# PostgreSQL hands numbers out when rows are written, not when they are committed: an older one may appear later.
_OVERLAP = 100


class Reviews:
    """The record in one database."""

    def __init__(self, engine: Engine, now: Callable[[], datetime] | None = None) -> None:
        """Use an opened database.

        Args:
            engine: Of `opening.open_engine`.
            now: The clock.
        """
        self._engine = engine
        self._now = now or (lambda: datetime.now(UTC))
        self._one_revocation = threading.Lock()

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def add(self, new: NewVerdict) -> SavedVerdict:
        """Save a verdict; when this returns it is on the disk. The same request gives the same row."""
        asked = new.asked
        details = asked.model_dump(mode="json", include={"reasons", "findings", "labels", "missed"})
        values = {
            "revokes": None,
            "verdict": asked.verdict,
            "score": asked.score,
            "comment": asked.comment,
            "urgent": int(asked.urgent),
            "shown_ms": asked.shown_ms,
            "details": json.dumps({**details, "bundles": new.bundles}, ensure_ascii=False),
        }
        row = self._insert(new, values)
        return _saved(row)

    def revoke(self, out_key: str, case_id: str, reviewer: str, request_key: str) -> SavedVerdict | None:
        """Take back a reader's newest verdict of a case; give it, or None where there is none."""
        with self._one_revocation:
            mine = [one for one in self.standing(out_key, case_id) if one.new.reviewer == reviewer]
            if not mine:
                return None
            newest = max(mine, key=lambda one: one.verdict_id)
            empty = {"verdict": "", "score": None, "comment": "", "urgent": 0, "shown_ms": None, "details": "{}"}
            again = replace(newest.new, asked=newest.new.asked.model_copy(update={"key": request_key}))
            row = self._insert(again, {**empty, "revokes": newest.verdict_id})
            # The same request again: what it took back is told again, and nothing more is taken back.
            return newest if row.revokes == newest.verdict_id else self._one(row.revokes)

    def standing(self, out_key: str, case_id: str | None = None) -> tuple[SavedVerdict, ...]:
        """List the verdicts that stand: the newest of each reader, case and kind of read, oldest first."""
        taken_back = select(VERDICTS.c.revokes).where(VERDICTS.c.revokes.is_not(None))
        kept = [VERDICTS.c.out_key == out_key, VERDICTS.c.revokes.is_(None), VERDICTS.c.id.not_in(taken_back)]
        if case_id is not None:
            kept.append(VERDICTS.c.case_id == case_id)
        who = (VERDICTS.c.out_key, VERDICTS.c.case_id, VERDICTS.c.reviewer, VERDICTS.c.read)
        newest = select(func.max(VERDICTS.c.id)).where(*kept).group_by(*who)
        return self._select(VERDICTS.c.id.in_(newest))

    def history(self, out_key: str, case_id: str | None = None) -> tuple[SavedVerdict, ...]:
        """List every verdict ever given, also those that were taken back."""
        kept = [VERDICTS.c.out_key == out_key, VERDICTS.c.revokes.is_(None)]
        if case_id is not None:
            kept.append(VERDICTS.c.case_id == case_id)
        return self._select(*kept)

    def revoked(self, out_key: str) -> frozenset[int]:
        """List the verdicts that were taken back."""
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(VERDICTS.c.revokes).where(VERDICTS.c.out_key == out_key, VERDICTS.c.revokes.is_not(None))
            )
            return frozenset(row[0] for row in rows)

    def note_claim(self, out_key: str, case_id: str, saved_by: str, action: ClaimAction, reviewer: str) -> None:
        """Note who took, let go of, or was given a case."""
        values = {
            "out_key": out_key,
            "case_id": case_id,
            "saved_by": saved_by,
            "saved_at": self._stamp(),
            "action": action,
            "reviewer": reviewer,
        }
        with self._engine.begin() as connection:
            connection.execute(insert(CLAIMS).values(values))

    def claims(self, out_key: str, case_id: str | None = None) -> tuple[Claim, ...]:
        """List who has which case."""
        kept = [CLAIMS.c.out_key == out_key]
        if case_id is not None:
            kept.append(CLAIMS.c.case_id == case_id)
        with self._engine.connect() as connection:
            rows = connection.execute(select(CLAIMS).where(*kept).order_by(CLAIMS.c.id))
            claimed: dict[str, str] = {}
            assigned: dict[str, str] = {}
            for row in rows:
                if row.action == "assign":
                    assigned[row.case_id] = row.reviewer
                else:
                    claimed[row.case_id] = row.reviewer if row.action == "claim" else ""
        return tuple(
            Claim(case_id, claimed.get(case_id, ""), assigned.get(case_id, "")) for case_id in {**claimed, **assigned}
        )

    def state(self, out_key: str) -> State:
        """Tell the record's state: another one, when another server has written."""
        with self._engine.connect() as connection:
            (verdict, verdicts), (claim, claims) = (
                connection.execute(
                    select(func.coalesce(func.max(table.c.id), 0), func.count()).where(table.c.out_key == out_key)
                ).one()
                for table in (VERDICTS, CLAIMS)
            )
        return State(verdict, verdicts, claim, claims)

    def changed_since(self, out_key: str, state: State) -> set[str]:
        """List the cases that something was said of after a state; some from before it may be among them."""
        found: set[str] = set()
        with self._engine.connect() as connection:
            for table, newest in ((VERDICTS, state.verdict), (CLAIMS, state.claim)):
                kept = (table.c.out_key == out_key, table.c.id > newest - _OVERLAP)
                found.update(connection.execute(select(table.c.case_id).where(*kept)).scalars())
        return found

    def _insert(self, new: NewVerdict, values: Mapping[str, object]) -> Row[tuple[object, ...]]:
        asked = new.asked
        common = {
            "out_key": new.out_key,
            "case_id": new.case_id,
            "patient_key": new.patient_key,
            "reviewer": new.reviewer,
            "saved_at": self._stamp(),
            "request_key": asked.key,
            "digest": asked.digest,
            "read": asked.read,
            "ai_visible": int(new.ai_visible),
            "sampling": new.sampling,
            "sampling_probability": new.sampling_probability,
        }
        same = (
            VERDICTS.c.out_key == new.out_key,
            VERDICTS.c.reviewer == new.reviewer,
            VERDICTS.c.request_key == asked.key,
        )
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(VERDICTS).values({**common, **values}))
        except IntegrityError:
            # Asked again after an answer that got lost: the row is there already, or this is another fault.
            with self._engine.connect() as connection:
                if connection.execute(select(VERDICTS.c.id).where(*same)).first() is None:
                    raise
        with self._engine.connect() as connection:
            return connection.execute(select(VERDICTS).where(*same)).one()

    def _one(self, verdict_id: int) -> SavedVerdict:
        return self._select(VERDICTS.c.id == verdict_id)[0]

    def _select(self, *kept: object) -> tuple[SavedVerdict, ...]:
        with self._engine.connect() as connection:
            rows = connection.execute(select(VERDICTS).where(*kept).order_by(VERDICTS.c.id))  # type: ignore[arg-type]  # conditions of columns
            return tuple(_saved(row) for row in rows)

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


def newest_per_reader(standing: Iterable[SavedVerdict]) -> tuple[SavedVerdict, ...]:
    """Keep what settles a case: each reader's verdict with the AI seen; first reads are left out."""
    return tuple(one for one in standing if one.new.asked.read == "with_ai")


def _saved(row: Row[tuple[object, ...]]) -> SavedVerdict:
    details = json.loads(row.details)
    bundles = details.pop("bundles", ())
    plain = {
        name: getattr(row, name) for name in ("verdict", "score", "comment", "urgent", "read", "digest", "shown_ms")
    }
    new = NewVerdict(
        row.out_key,
        row.case_id,
        row.patient_key,
        row.reviewer,
        VerdictAsked.model_validate({**plain, **details, "key": row.request_key}),
        bool(row.ai_visible),
        row.sampling,
        row.sampling_probability,
        tuple((name, sha256) for name, sha256 in bundles),
    )
    return SavedVerdict(row.id, new, row.saved_at)
