"""tracking.jsonl: what was or is to be sent to MLflow, one line each, only ever appended to.

A line is an event with a number (1, 2, ...) and a digest over itself, or a receipt: up
to which number a destination has everything. Whatever happens to a process or a
server, the file says what is still to be sent. No identifier and no path is in it;
a destination is named by the digest of its address, which may hold a password.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from diascope.io.outfolder import output_errors

EventKind = Literal["run", "resumed", "metrics", "tags", "dataset", "file", "table", "model", "model_tags", "ended"]

DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Event:
    """Something MLflow is to know.

    Attributes:
        seq: From 1, without gaps.
        kind: What it is.
        at_ms: When, in milliseconds since 1970; sent with metrics, so that a second
            sending is the same as the first.
        run: Which run of this folder it belongs to.
        body: The facts.
    """

    seq: int
    kind: EventKind
    at_ms: int
    run: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a destination has.

    Attributes:
        destination: Digest of its address.
        run: Which run of this folder.
        run_id: Its id over there.
        upto: Number of the last event it has.
        experiment_id: MLflow's id of the experiment; empty in receipts of an older version.
    """

    destination: str
    run: str
    run_id: str
    upto: int
    experiment_id: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An event that a destination will never take.

    Attributes:
        destination: Digest of its address.
        seq: Number of the event, which stays in the file.
        reason: What it was and what was said to it.
    """

    destination: str
    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class SpoolContent:
    """What a spool holds.

    Attributes:
        events: By number.
        receipts: In the order they came.
        damaged: How many lines could not be read, such as one cut short by a power cut.
        skipped: Events that a destination will never take.
    """

    events: tuple[Event, ...]
    receipts: tuple[Receipt, ...]
    damaged: int
    skipped: tuple[Skipped, ...] = ()

    def last_run(self) -> Event | None:
        """The event that began the latest run of this folder; one that is part of another run is none."""
        begun = (event for event in reversed(self.events) if event.kind == "run" and not event.body.get("parent"))
        return next(begun, None)

    def run_like(self, same_as: str, parent: str) -> Event | None:
        """The event that began a part of a run; None if it never began."""
        begun = (event for event in self.events if event.kind == "run" and event.body.get("parent") == parent)
        return next((event for event in begun if event.body.get("same_as") == same_as), None)

    def receipt(self, destination: str, run: str) -> Receipt | None:
        """The latest receipt of a destination for a run."""
        of_run = [one for one in self.receipts if (one.destination, one.run) == (destination, run)]
        return max(of_run, key=lambda one: one.upto, default=None)

    def pending(self, destination: str) -> tuple[Event, ...]:
        """Events that a destination does not have yet."""
        upto = {one.run: 0 for one in self.events}
        for receipt in self.receipts:
            if receipt.destination == destination:
                upto[receipt.run] = max(upto.get(receipt.run, 0), receipt.upto)
        return tuple(event for event in self.events if event.seq > upto[event.run])


class Spool:
    """The file, open for appending."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Continue the numbers of what is there.

        Args:
            path: The file; made at the first event.
            clock: Seconds since 1970.
        """
        self.path = path
        self._clock = clock
        content = read_spool(path)
        self._next = content.events[-1].seq + 1 if content.events else 1

    def add(self, kind: EventKind, run: str, body: Mapping[str, Any]) -> Event:
        """Append an event.

        Raises:
            OutputError: The disk is full.
        """
        event = Event(self._next, kind, int(self._clock() * 1000), run, dict(body))
        line = {"seq": event.seq, "kind": kind, "at_ms": event.at_ms, "run": run, "body": event.body}
        append_line(self.path, line)
        self._next += 1
        return event


def add_receipt(path: Path, receipt: Receipt) -> None:
    """Append a receipt.

    Raises:
        OutputError: The disk is full.
    """
    append_line(path, {"kind": "sent", **asdict(receipt)})


def note_skipped(path: Path, skipped: Skipped) -> None:
    """Append that a destination will never take an event.

    Raises:
        OutputError: The disk is full.
    """
    append_line(path, {"kind": "skipped", **asdict(skipped)})


def read_spool(path: Path) -> SpoolContent:
    """Read a spool; an empty one where there is no file."""
    if not path.is_file():
        return SpoolContent((), (), 0)
    events: dict[int, Event] = {}
    receipts: list[Receipt] = []
    skipped: list[Skipped] = []
    damaged = 0
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        line = _checked(text)
        if line is None:
            damaged += bool(text.strip())
        elif line["kind"] == "sent":
            told = (line["destination"], line["run"], line["run_id"], line["upto"])
            receipts.append(Receipt(*told, line.get("experiment_id", "")))
        elif line["kind"] == "skipped":
            skipped.append(Skipped(line["destination"], line["seq"], line["reason"]))
        else:
            events[line["seq"]] = Event(line["seq"], line["kind"], line["at_ms"], line["run"], line["body"])
    return SpoolContent(tuple(events[seq] for seq in sorted(events)), tuple(receipts), damaged, tuple(skipped))


def batches(events: Sequence[Event], most: int) -> Iterator[list[Event]]:
    """Put metrics that follow each other together, at most so many numbers; every other event stands alone."""
    batch: list[Event] = []
    size = 0
    for event in events:
        count = max(1, len(event.body["values"])) if event.kind == "metrics" else most
        if batch and size + count > most:
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += count
    if batch:
        yield batch


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Append a line with its digest; a half line before it is closed first, so that only that one is lost."""
    text = json.dumps({**line, "digest": _digest(line)}, ensure_ascii=True) + "\n"
    with output_errors(path.name), path.open("a+b") as stream:
        if stream.tell() > 0:
            stream.seek(-1, 2)
            if stream.read(1) != b"\n":
                text = "\n" + text
        stream.write(text.encode())


def _checked(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
        digest = line.pop("digest")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return line if digest == _digest(line) else None


def _digest(line: Mapping[str, Any]) -> str:
    canonical = json.dumps(line, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_DIGITS]
