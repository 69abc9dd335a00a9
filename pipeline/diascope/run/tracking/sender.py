"""Sends tracking.jsonl to MLflow: with `tracking_model.py` the only module that imports it, and a process of its own.

`run/tracking.py` starts it and writes a line to its standard input whenever there is
something to send; at the end of the input it sends what is left and ends. In a process
of its own MLflow's import, its waiting for a server and its environment variables
cannot hold up or change a batch, and it can be ended when it takes too long.

Sending twice changes nothing: a run is found again by its tag, metrics carry their
own time and step, files and tags replace each other, and the tag `diascope.sent_seq`
says which events a run has even if the receipt in tracking.jsonl was lost.
"""

import csv
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from diascope.config import without_password
from diascope.run.tracking.pixels import without_pictures
from diascope.run.tracking.registry import register_bundle, tag_version
from diascope.run.tracking.result import SendResult, is_final
from diascope.run.tracking.spool import (
    Event,
    Receipt,
    Skipped,
    SpoolContent,
    add_receipt,
    batches,
    note_skipped,
    read_spool,
)
from diascope.run.tracking.target import Target, why_unreachable

# One call may wait this long; by default it would be minutes.
REQUEST_SECONDS = 5

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_SECONDS),
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

RUN_TAG = "diascope.run"
SENT_TAG = "diascope.sent_seq"

# MLflow's own limits for one call and for one value.
MOST_METRICS = 1000
MOST_PARAMS_AND_TAGS = 100
LONGEST_VALUE = 5000


def send_pending(root: Path, target: Target) -> SendResult:
    """Send what a destination does not have yet; never raises for what MLflow or the network does.

    Args:
        root: The output folder.
        target: Where to.
    """
    spool = root / "tracking.jsonl"
    content = read_spool(spool)
    last = content.last_run()
    known = content.receipt(target.digest, last.run) if last else None
    waiting = content.pending(target.digest)
    run_id = known.run_id if known else ""
    if not waiting:
        return SendResult(0, 0, run_id)
    if silent := why_unreachable(target):
        return SendResult(0, len(waiting), run_id, problem=silent)
    with _only_one(spool) as alone:
        if not alone:
            return SendResult(0, len(waiting), run_id, problem="another process is sending")
        return _send_guarded(root, target, content)


def close_interrupted(root: Path, target: Target) -> None:
    """Mark a run as killed whose batch ended without saying so; it goes on when the batch is resumed."""
    content = read_spool(root / "tracking.jsonl")
    last = content.last_run()
    known = content.receipt(target.digest, last.run) if last else None
    if known is None or content.events[-1].kind == "ended" or why_unreachable(target):
        return
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    # As above: a mark that cannot be made is no reason to fail.
    with suppress(Exception):
        MlflowClient(tracking_uri=target.uri).set_terminated(known.run_id, "KILLED", content.events[-1].at_ms)


def main() -> int:
    """Send at each line of the standard input and at its end; print how it went as one line of JSON."""
    os.environ.update(ENVIRONMENT)
    order = json.loads(sys.stdin.readline())
    root, target = Path(order["root"]), Target(**order["target"])
    result = SendResult(0, 0)
    # MLflow prints the address of a run when it ends: only the answer may stand on the standard output.
    with redirect_stdout(sys.stderr):
        for _ in _signals():
            result = result.then(send_pending(root, target))
        close_interrupted(root, target)
    sys.stdout.write(json.dumps(asdict(result)) + "\n")
    return 0


def _signals() -> Iterator[str]:
    yield from sys.stdin
    yield "end"


def _send_guarded(root: Path, target: Target, content: SpoolContent) -> SendResult:
    # The whole of MLflow, SQLAlchemy and requests may fail in there, each with errors of its own:
    # whatever it is, tracking must not fail the batch.
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - three seconds, and only where it is needed

    sending = None
    problem = ""
    try:
        sending = _Sending(root, target, content)
        sending.send_all()
    except MlflowException as error:
        problem = f"MLflow refused: {_first_line(error.message)}"
    except Exception as error:  # noqa: BLE001
        problem = _words(error)
    left = len(read_spool(root / "tracking.jsonl").pending(target.digest))
    if sending is None:
        return SendResult(0, left, problem=problem)
    result = SendResult(sending.sent, left, sending.whole_id, sending.experiment_id, problem, sending.kept_back)
    return replace(result, skipped=len(sending.skipped), why_skipped=next(iter(sending.skipped), ""))


class _Sending:
    """One visit to MLflow."""

    def __init__(self, root: Path, target: Target, content: SpoolContent) -> None:
        from mlflow.tracking import MlflowClient  # noqa: PLC0415

        self.root = root
        self.target = target
        self.content = content
        self.sent = 0
        self.kept_back = 0
        self.skipped: list[str] = []
        self.run_id = ""
        self.run_ids: dict[str, str] = {}
        self.whole_id = ""
        if target.store_file is not None:
            target.store_file.absolute().parent.mkdir(parents=True, exist_ok=True)
        self.client = MlflowClient(tracking_uri=target.uri)
        self.experiment_id = self._experiment()
        self.takes_pictures = False

    def send_all(self) -> None:
        waiting = self.content.pending(self.target.digest)
        for run in dict.fromkeys(event.run for event in waiting):
            self._open(run)
            done = self._sent_before()
            events = [event for event in waiting if event.run == run and event.seq > done]
            # What the server has and the receipts do not say is not sent again.
            self.sent += sum(event.run == run for event in waiting) - len(events)
            for batch in batches(events, MOST_METRICS):
                self._send_or_skip(batch)
                self._receipt(run, batch[-1].seq)
            if not events:
                self._receipt(run, done)

    def _send_or_skip(self, batch: Sequence[Event]) -> None:
        """Send events; one that can never be sent must not hold up all that come after it."""
        try:
            self._send(batch)
        except Exception as error:
            if not is_final(error):
                raise
            if len(batch) > 1:
                for event in batch:
                    self._send_or_skip([event])
                return
            # That the run takes the mark shows that the event is at fault, not the run: it may have been deleted.
            self._log(sent=batch[0].seq)
            self.skipped.append(f"{batch[0].kind} {batch[0].body.get('name', '')}".strip() + f": {_words(error)}")
            note_skipped(self.root / "tracking.jsonl", Skipped(self.target.digest, batch[0].seq, self.skipped[-1]))

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        name = self.target.experiment
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(
                    self.client.create_experiment(
                        name,
                        artifact_location=self.target.artifact_location,
                        # Without it MLflow's pages open on traces of language models, with the runs hidden.
                        tags={"mlflow.experimentKind": "custom_model_development"},
                    )
                )
            except MlflowException:
                # Somebody else was quicker.
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if "mlflow.experimentKind" not in found.tags:
            self.client.set_experiment_tag(found.experiment_id, "mlflow.experimentKind", "custom_model_development")
        return str(found.experiment_id)

    def _open(self, run: str) -> None:
        """Find the run, by receipt or by tag, or make it."""
        receipt = self.content.receipt(self.target.digest, run)
        begun = next(event for event in self.content.events if event.run == run and event.kind == "run")
        if receipt is not None:
            found = self.client.get_run(receipt.run_id)
        else:
            same = self.client.search_runs([self.experiment_id], f"tags.`{RUN_TAG}` = '{run}'", max_results=1)
            found = (
                same[0]
                if same
                else self.client.create_run(
                    self.experiment_id,
                    start_time=begun.at_ms,
                    run_name=begun.body["name"],
                    tags={RUN_TAG: run, **self._parent_tag(begun)},
                )
            )
        self.run_id = self.run_ids[run] = found.info.run_id
        if not begun.body.get("parent"):
            self.whole_id = self.run_id
        self.tags = dict(found.data.tags)
        self.params = dict(found.data.params)
        here = found.info.artifact_uri.startswith(("file:", "/"))
        self.takes_pictures = self.target.artifacts == "all" or (self.target.artifacts == "auto" and here)

    def _parent_tag(self, begun: Event) -> dict[str, str]:
        """Say of which run this one is a part."""
        parent = begun.body.get("parent")
        if not parent:
            return {}
        receipt = self.content.receipt(self.target.digest, parent)
        known = self.run_ids.get(parent) or (receipt.run_id if receipt else "")
        return {"mlflow.parentRunId": known} if known else {}

    def _sent_before(self) -> int:
        text = self.tags.get(SENT_TAG, "0")
        return int(text) if text.isdigit() else 0

    def _receipt(self, run: str, upto: int) -> None:
        receipt = Receipt(self.target.digest, run, self.run_id, upto, self.experiment_id)
        add_receipt(self.root / "tracking.jsonl", receipt)

    def _send(self, batch: Sequence[Event]) -> None:
        """Send events of one kind, the number of the last as a tag at the end."""
        first = batch[0]
        if first.kind == "metrics":
            self._log(metrics=[metric for event in batch for metric in _metrics(event)], sent=batch[-1].seq)
        else:
            {
                "run": self._begin,
                "resumed": self._resume,
                "tags": lambda event: self._log(tags=event.body, sent=event.seq),
                "dataset": self._dataset,
                "file": self._file,
                "table": self._table,
                "model": self._model,
                "model_tags": self._tag_model,
                "ended": self._end,
            }[first.kind](first)
        self.sent += len(batch)

    def _begin(self, event: Event) -> None:
        tags = {**event.body.get("tags", {}), "mlflow.note.content": event.body.get("note", "")}
        tags |= {"mlflow.source.name": "diascope", "mlflow.source.type": "LOCAL"}
        self._log(params=event.body.get("params", {}), tags=tags, sent=event.seq)

    def _resume(self, event: Event) -> None:
        self.client.update_run(self.run_id, status="RUNNING")
        self._log(tags={"diascope.resumed": str(event.body["count"])}, sent=event.seq)

    def _end(self, event: Event) -> None:
        if note := event.body.get("note"):
            self._log(tags={"mlflow.note.content": note}, sent=event.seq - 1)
        self.client.set_terminated(self.run_id, event.body["status"], event.at_ms)
        self._log(sent=event.seq)

    def _dataset(self, event: Event) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

        body = event.body
        source = json.dumps({"note": "the files are listed in private/ of the output folder"})
        dataset = Dataset(
            name=body["name"],
            digest=body["digest"],
            source_type="local",
            source=source,
            profile=json.dumps(body["profile"]),
        )
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", body["context"])])])
        self._log(sent=event.seq)

    def _file(self, event: Event) -> None:
        path = self.root / event.body["file"]
        pictures = event.body["pictures"]
        if self.target.artifacts != "none" and path.is_file():
            if pictures == "none" or self.takes_pictures:
                self.client.log_artifact(self.run_id, str(path), event.body["folder"] or None)
            elif pictures == "inside":
                bare = without_pictures(path.read_text(encoding="utf-8"))
                self._log_text(bare, event.body["folder"], path.name)
                self.kept_back += 1
            else:
                self.kept_back += 1
        self._log(sent=event.seq)

    def _table(self, event: Event) -> None:
        path = self.root / event.body["file"]
        if self.target.artifacts != "none" and path.is_file():
            with path.open(newline="", encoding="utf-8") as stream:
                columns, *rows = csv.reader(stream)
            self._log_text(json.dumps({"columns": columns, "data": rows}), "", event.body["name"])
            logged = json.dumps([{"path": event.body["name"], "type": "table"}])
            self._log(tags={"mlflow.loggedArtifacts": logged}, sent=event.seq)
        else:
            self._log(sent=event.seq)

    def _model(self, event: Event) -> None:
        folder = self.root / event.body["folder"]
        if self.target.artifacts != "none" and folder.is_dir():
            card = (self.root / event.body["card"]).read_text(encoding="utf-8")
            register_bundle(self.client, self.run_id, folder, {**event.body, "card": card}, LONGEST_VALUE)
        self._log(sent=event.seq)

    def _tag_model(self, event: Event) -> None:
        tag_version(self.client, self.run_id, event.body, LONGEST_VALUE)
        self._log(sent=event.seq)

    def _log_text(self, text: str, folder: str, name: str) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / name
            file.write_text(text, encoding="utf-8")
            self.client.log_artifact(self.run_id, str(file), folder or None)

    def _log(
        self,
        sent: int,
        metrics: Sequence[tuple[str, float, int, int]] = (),
        params: dict[str, Any] | None = None,
        tags: dict[str, Any] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

        # A value of a parameter never changes in MLflow: what is there already stays.
        new = [
            Param(key, str(value)[:LONGEST_VALUE]) for key, value in (params or {}).items() if key not in self.params
        ]
        marks = [RunTag(key, str(value)[:LONGEST_VALUE]) for key, value in (tags or {}).items()]
        for start in range(0, len(new), MOST_PARAMS_AND_TAGS):
            self.client.log_batch(self.run_id, params=new[start : start + MOST_PARAMS_AND_TAGS])
        for start in range(0, len(marks), MOST_PARAMS_AND_TAGS):
            self.client.log_batch(self.run_id, tags=marks[start : start + MOST_PARAMS_AND_TAGS])
        numbers = [Metric(key, value, at_ms, step) for key, value, at_ms, step in metrics]
        for start in range(0, len(numbers), MOST_METRICS):
            self.client.log_batch(self.run_id, metrics=numbers[start : start + MOST_METRICS])
        self.client.set_tag(self.run_id, SENT_TAG, str(sent))


def _metrics(event: Event) -> list[tuple[str, float, int, int]]:
    return [(key, value, event.at_ms, event.body["step"]) for key, value in event.body["values"].items()]


@contextmanager
def _only_one(spool: Path) -> Iterator[bool]:
    """Keep a second sender out; the system gives the lock back when a process ends, however it ends."""
    with spool.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {_first_line(str(error))}"


def _first_line(text: str) -> str:
    return without_password((text.strip().splitlines() or [""])[0])[:300]


if __name__ == "__main__":
    sys.exit(main())
