"""Sends what readers said to the run of MLflow that the batch went to; the record itself stays the truth.

It never keeps a reader waiting: numbers are sent by a thread, some seconds after the
last verdict, and what cannot be sent waits in tracking.jsonl for `diascope sync`.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from diascope.errors import PipelineError
from diascope.run.tracking.additions import Extra, add_to_batch
from diascope.viewer.agreement import agreement
from diascope.viewer.outs import ServedOut
from diascope.viewer.review_export import Tables

log = logging.getLogger(__name__)

# A reader who goes from case to case gives a verdict every few seconds: they are sent together, at the next pause.
QUIET_SECONDS = 30.0

# Of more cases than these the newest are told one by one; nobody reads a page of thousands of tags.
MOST_TAGGED = 500

Send = Callable[[ServedOut, Extra], None]


class Mirror:
    """Waits until readers pause, then sends the numbers."""

    def __init__(self, read: Callable[[str], tuple[ServedOut, Tables]] | None, send: Send | None = None) -> None:
        """Start without anything to send.

        Args:
            read: Gives an output folder and its tables by out_id; None sends nothing.
            send: Sends them.
        """
        self._read = read
        self._send = send or _to_mlflow
        self._touched: dict[str, float] = {}
        self._tagged: dict[str, set[str]] = {}
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        if read is not None:
            self._thread.start()

    def touch(self, out_id: str) -> None:
        """Note that something was said; returns at once."""
        if self._read is not None:
            with self._changed:
                self._touched[out_id] = time.monotonic()
                self._changed.notify()

    def close(self) -> None:
        """Send what is left, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._touched and not self._is_closing:
                    self._changed.wait()
                if not self._touched:
                    return
                out_id, at = min(self._touched.items(), key=lambda item: item[1])
                left = QUIET_SECONDS - (time.monotonic() - at)
                if left > 0 and not self._is_closing:
                    self._changed.wait(left)
                    continue
                del self._touched[out_id]
            self._send_one(out_id)

    def _send_one(self, out_id: str) -> None:
        if self._read is None:
            return
        try:
            out, tables = self._read(out_id)
            tags = review_tags(tables.verdicts) | self._case_tags(out_id, tables)
            self._send(out, Extra(review_metrics(tables.verdicts), tags))
        except PipelineError as error:
            log.warning("verdicts are saved, but were not sent to MLflow: %s", error)
        except Exception:
            log.warning("verdicts are saved, but were not sent to MLflow", exc_info=True)

    def _case_tags(self, out_id: str, tables: Tables) -> dict[str, str]:
        # A verdict that was taken back since: a tag cannot be left out of MLflow, only say so.
        now = case_tags(tables.verdicts)
        gone = dict.fromkeys(self._tagged.get(out_id, set()) - now.keys(), "none")
        self._tagged[out_id] = set(now)
        return gone | now


def case_tags(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Say of each case what readers decided: `accept`, or all words where they differ; `stale` after a new result."""
    said: dict[str, set[str]] = {}
    newest: dict[str, str] = {}
    for row in rows:
        if row["read"] == "with_ai":
            said.setdefault(row["case_id"], set()).add("stale" if row["is_stale"] else row["verdict"])
            newest[row["case_id"]] = max(newest.get(row["case_id"], ""), str(row["when"]))
    kept = sorted(said, key=lambda case_id: newest[case_id], reverse=True)[:MOST_TAGGED]
    return {f"review.case.{case_id}": ", ".join(sorted(said[case_id])) for case_id in kept}


def review_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sum the record up, under the names of docs/mlflow.md."""
    fresh = [row for row in rows if not row["is_stale"] and row["read"] == "with_ai"]
    words = Counter(row["verdict"] for row in fresh)
    judged = [row for row in fresh if row["verdict"] != "skip"]
    numbers = {
        "review.cases": len({row["case_id"] for row in judged}),
        "review.readers": len({row["reviewer"] for row in judged}),
        "review.accepted": words["accept"],
        "review.rejected": words["reject"],
        "review.needs_edit": words["needs_edit"],
        "review.skipped": words["skip"],
        "review.stale": sum(row["is_stale"] for row in rows),
        "review.urgent": len({row["case_id"] for row in fresh if row["urgent"]}),
        **{
            f"review.{name}": sum(row[name] for row in judged)
            for name in ("findings_true", "findings_false", "findings_wrong_extent", "missed")
        },
    }
    found = {name: float(number) for name, number in numbers.items()}
    said: dict[str, dict[str, Hashable]] = {}
    for row in judged:
        said.setdefault(row["reviewer"], {})[row["case_id"]] = row["verdict"]
    alpha = agreement(said).alpha
    return found | ({"review.alpha": alpha} if alpha is not None else {})


def review_tags(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Say in words how far the review is."""
    if not rows:
        return {"review.status": "none"}
    newest = max(str(row["when"]) for row in rows)
    return {"review.status": "stale" if any(row["is_stale"] for row in rows) else "given", "review.newest": newest}


def _to_mlflow(out: ServedOut, extra: Extra) -> None:
    if out.run_facts().get("finished"):  # a batch that is still going owns its run
        add_to_batch(out.folder.root, extra, lambda text: log.info("%s", text))
