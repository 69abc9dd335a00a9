"""Tracking: what a run was and how it went, kept in MLflow.

Everything is first written to tracking.jsonl in the output folder; a process of its own
(`sender.py`) sends it from there. A server that is down or hangs costs a batch
no time: what could not be sent waits in the file, and `sync` sends it later.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import diascope
from diascope.errors import InputError
from diascope.run.tracking.result import SPOOL, SendResult, left_text, skipped_text, where_text
from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.spool import EventKind, Spool, read_spool
from diascope.run.tracking.target import Target, announcement, target_of

# How often a running batch sends what has come up.
SEND_EVERY_SECONDS = 15.0

# How long the end of a batch waits for the last things to be sent: as long as something arrives, and
# not for ever. A local store is done within seconds, its first use included; 200 previews to a slow
# server may have to wait for `sync`.
PATIENCE_SECONDS = 90.0
FINISH_SECONDS = 300.0

Ending = Literal["FINISHED", "FAILED", "KILLED"]
Pictures = Literal["none", "is_one", "inside"]


@dataclass(frozen=True, slots=True)
class RunDescription:
    """What a run is, before it starts. No identifier and no path is in it.

    Attributes:
        name: To be read by people, such as the name of the config.
        same_as: Hash of everything that makes it the same run again: when a folder is
            run again with the same hash, the run over there is continued.
        params: Settings and other facts that do not change.
        tags: Versions, digests, licences.
        note: Markdown, shown at the head of MLflow's page.
    """

    name: str
    same_as: str
    params: Mapping[str, str | float | int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class DatasetDescription:
    """What a run was fed with.

    Attributes:
        name: Such as the name of the config or of a manifest.
        digest: At most 36 characters.
        profile: Numbers that describe it, such as cases and files.
        context: `inference`, `training`, ...
    """

    name: str
    digest: str
    profile: Mapping[str, int]
    context: str = "inference"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A bundle to be registered.

    Attributes:
        name: Of the bundle, and in the registry.
        folder: Below the output folder.
        card: File of its card below the output folder; its description in the registry.
        tags: Version, digest, licence.
    """

    name: str
    folder: str
    card: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaggedModel:
    """What became known of a bundle after it was registered.

    Attributes:
        name: Of the bundle, and in the registry.
        sha256: Digest of the bundle: the version that carries it is tagged.
        version: Of the bundle: stands in where a version carries no digest.
        tags: What became known, such as the verdict of an audit.
    """

    name: str
    sha256: str
    version: str
    tags: Mapping[str, str]


class Tracker(Protocol):
    """Where a run is tracked; the plug-in point for another system than MLflow. It never fails a run."""

    @property
    def attempt(self) -> int:
        """How often the run was resumed: the step of numbers about the whole."""

    @property
    def steps(self) -> int:
        """How many steps the run has, so that a resumed one counts on from there."""

    def start(self, run: RunDescription) -> str:
        """Begin a run, or go on with it; give its id, or an empty text while it has none."""

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log numbers of one step."""

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Log facts that became known only now."""

    def log_dataset(self, dataset: DatasetDescription) -> None:
        """Log what the run was fed with."""

    def log_file(self, file: str, folder: str = "", pictures: Pictures = "none") -> None:
        """Log a file of the output folder, with what is in it of pixels."""

    def log_table(self, file: str, name: str) -> None:
        """Log a csv file of the output folder as a table to look at."""

    def log_model(self, model: ModelDescription) -> None:
        """Log a bundle, and register it under its name."""

    def tag_model(self, model: TaggedModel) -> None:
        """Tag the registered version of a bundle; where none is registered nothing is tagged."""

    def nested(self, run: RunDescription) -> "Tracker":
        """Begin a part of this run, or go on with it: a fold, a trial."""

    def finish(self, status: Ending = "FINISHED", note: str = "") -> SendResult:
        """End the run and wait, not for long, until everything is sent."""


class MlflowTracker:
    """Tracks in MLflow, through tracking.jsonl and a process that sends it."""

    def __init__(self, root: Path, target: Target, tell: Callable[[str], None]) -> None:
        """Open the spool; nothing is sent yet.

        Args:
            root: The output folder.
            target: Where to.
            tell: Shows a text to the person at the keyboard.
        """
        self.root = root
        self.target = target
        self._tell = tell
        self._spool = Spool(root / SPOOL)
        self._run = ""
        self._attempt = self._steps = 0
        self._sender: _Sender | None = None

    @property
    def attempt(self) -> int:
        """How often the run was resumed: the step of numbers about the whole."""
        return self._attempt

    @property
    def steps(self) -> int:
        """How many steps the run has, so that a resumed one counts on from there."""
        return self._steps

    def start(self, run: RunDescription) -> str:
        """Begin a run, or go on with the same one; say where everything goes, before anything does."""
        content = read_spool(self._spool.path)
        last = content.last_run()
        is_known = last is not None and content.receipt(self.target.digest, last.run) is not None
        self._tell(announcement(self.target, is_known=is_known))
        if last is not None and last.body.get("same_as") == run.same_as:
            self._run = last.run
            mine = [event for event in content.events if event.run == self._run]
            self._attempt = sum(event.kind == "resumed" for event in mine) + 1
            self._steps = max((event.body["step"] for event in mine if event.kind == "metrics"), default=0)
            self._spool.add("resumed", self._run, {"count": self._attempt})
        else:
            self._run = uuid.uuid4().hex
            self._spool.add("run", self._run, {**asdict(run), **self._wishes()})
        self._sender = _Sender(self.root, self.target)
        self._sender.wake()
        known = content.receipt(self.target.digest, self._run)
        return known.run_id if known else ""

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log numbers of one step."""
        self._steps = max(self._steps, step)
        self._add("metrics", {"values": dict(values), "step": step})

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Log facts that became known only now."""
        self._add("tags", dict(tags))

    def log_dataset(self, dataset: DatasetDescription) -> None:
        """Log what the run was fed with."""
        self._add("dataset", {**asdict(dataset), "profile": dict(dataset.profile)})

    def log_file(self, file: str, folder: str = "", pictures: Pictures = "none") -> None:
        """Log a file of the output folder, with what is in it of pixels."""
        self._add("file", {"file": file, "folder": folder, "pictures": pictures})

    def log_table(self, file: str, name: str) -> None:
        """Log a csv file of the output folder as a table to look at."""
        self._add("table", {"file": file, "name": f"{name.removesuffix('.json')}.json"})

    def log_model(self, model: ModelDescription) -> None:
        """Log a bundle, and register it under its name."""
        self._add("model", asdict(model))

    def tag_model(self, model: TaggedModel) -> None:
        """Tag the registered version of a bundle; where none is registered nothing is tagged."""
        self._add("model_tags", asdict(model))

    def nested(self, run: RunDescription) -> "Tracker":
        """Begin a part of this run, or go on with it; it ends with its own `finish`."""
        return _Part(self, self._run, run)

    def finish(self, status: Ending = "FINISHED", note: str = "") -> SendResult:
        """End the run, wait until everything is sent, and say so if it was not."""
        self._add("ended", {"status": status, "note": note})
        if self._sender is None:
            return SendResult(0, len(read_spool(self._spool.path).pending(self.target.digest)))
        result = self._sender.finish(FINISH_SECONDS)
        self._tell(left_text(result) if result.left else where_text(self.target, result))
        if text := skipped_text(result):
            self._tell(text)
        return result

    def _wishes(self) -> dict[str, str]:
        # `sync` keeps to them: what was not to leave the machine must not leave it later.
        return {"experiment": self.target.experiment, "artifacts": self.target.artifacts}

    def _add(self, kind: EventKind, body: dict[str, object]) -> None:
        self._spool.add(kind, self._run, body)
        if self._sender is not None:
            self._sender.wake()


class _Part(MlflowTracker):
    """A part of a run: in the same file, sent by the same process."""

    def __init__(self, whole: MlflowTracker, parent: str, run: RunDescription) -> None:
        self.root, self.target = whole.root, whole.target
        self._tell, self._spool, self._sender = whole._tell, whole._spool, whole._sender  # noqa: SLF001 - its own kind
        self._attempt = self._steps = 0
        begun = read_spool(self._spool.path).run_like(run.same_as, parent)
        if begun is None:
            self._run = uuid.uuid4().hex
            self._spool.add("run", self._run, {**asdict(run), "parent": parent})
        else:
            self._run = begun.run
            self._attempt = 1
            self._spool.add("resumed", self._run, {"count": self._attempt})

    def finish(self, status: Ending = "FINISHED", note: str = "") -> SendResult:
        """End the part; the whole waits until everything is sent."""
        self._add("ended", {"status": status, "note": note})
        return SendResult(0, 0)


def open_tracker(root: Path, settings: TrackingSettings, tell: Callable[[str], None]) -> Tracker | None:
    """Open the tracker of an output folder; None where the settings want none."""
    return MlflowTracker(root, target_of(settings), tell) if settings.enabled else None


def sync(root: Path, settings: TrackingSettings) -> SendResult:
    """Send what is left of an earlier run; what is there already is not doubled.

    Args:
        root: The output folder.
        settings: Where to. What they leave open is as the run had it: the experiment,
            and which files may be sent.

    Raises:
        InputError: The folder holds no tracking.jsonl.
    """
    return _Sender(root, sync_target(root, settings)).finish(float("inf"))


def sync_target(root: Path, settings: TrackingSettings) -> Target:
    """Find where `sync` sends a folder's entries.

    Raises:
        InputError: The folder holds no tracking.jsonl.
    """
    last = read_spool(root / SPOOL).last_run()
    if last is None:
        raise InputError(
            f"there is no {SPOOL} with a run in this folder",
            hint="give the folder that `diascope run -o` wrote",
            code="no_spool",
        )
    as_the_run = {key: last.body[key] for key in ("experiment", "artifacts") if key not in settings.model_fields_set}
    return target_of(TrackingSettings.model_validate({**settings.model_dump(), **as_the_run}))


class _Sender:
    """The process that sends."""

    def __init__(self, root: Path, target: Target) -> None:
        package = str(Path(diascope.__file__).parents[1])
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
        self._process = subprocess.Popen(
            # -P: a csv.py or mlflow.py that lies in the working folder is not run.
            [sys.executable, "-P", "-m", "diascope.run.tracking.sender"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            # Ctrl-C stops the batch; what was done until then is still sent.
            start_new_session=True,
        )
        self._root, self._target = root, target
        self._last = -SEND_EVERY_SECONDS
        # Through the input and not the command line: the address may hold a password.
        self._write(json.dumps({"root": str(root.absolute()), "target": asdict(target)}))

    def wake(self) -> None:
        """Have it send what there is, if it was not asked to a moment ago."""
        if time.monotonic() - self._last >= SEND_EVERY_SECONDS:
            self._last = time.monotonic()
            self._write("send")

    def finish(self, seconds: float) -> SendResult:
        """Have it send the rest and end; end it where nothing arrives any more, or it takes too long."""
        started = time.monotonic()
        before = -1
        while (arrived := self._receipts()) > before and time.monotonic() - started < seconds:
            before = arrived
            try:
                answer, _ = self._process.communicate(timeout=min(PATIENCE_SECONDS, seconds))
                return SendResult(**json.loads(answer))
            except subprocess.TimeoutExpired:
                continue
            except (ValueError, TypeError):
                return self._cut_short("the process that sends ended early")
        self._process.kill()
        self._process.communicate()
        return self._cut_short("it took too long")

    def _receipts(self) -> int:
        return len(read_spool(self._root / SPOOL).receipts)

    def _write(self, line: str) -> None:
        # A sender that died is found out at the end; the batch goes on.
        if self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()

    def _cut_short(self, problem: str) -> SendResult:
        content = read_spool(self._root / SPOOL)
        last = content.last_run()
        known = content.receipt(self._target.digest, last.run) if last else None
        return SendResult(0, len(content.pending(self._target.digest)), known.run_id if known else "", problem=problem)
