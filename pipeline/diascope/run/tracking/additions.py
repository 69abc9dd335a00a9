"""What comes later goes where its batch went: into the same run of MLflow, which ends as it had ended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diascope.run.tracking.result import SPOOL, SendResult
from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.spool import read_spool
from diascope.run.tracking.tracker import (
    DatasetDescription,
    Ending,
    MlflowTracker,
    RunDescription,
    TaggedModel,
    Tracker,
    sync_target,
)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Extra:
    """What is added to a run that has ended.

    Attributes:
        metrics: Numbers by their flat name; see docs/mlflow.md.
        tags: Facts, such as the verdict.
        folder: Artifact folder, such as `audit`.
        files: Files of the output folder, without pixels.
        tables: Csv files of the output folder, to look at as tables.
        pictures: Files of the output folder that hold pixels: they go only where pixels may.
        datasets: What it rests on.
        models: Bundles whose registered version is tagged.
    """

    metrics: Mapping[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    files: Sequence[str] = ()
    tables: Sequence[str] = ()
    pictures: Sequence[str] = ()
    datasets: Sequence[DatasetDescription] = ()
    models: Sequence[TaggedModel] = ()


def add_to_batch(root: Path, extra: Extra, tell: Tell) -> SendResult | None:
    """Add to the run of a batch; None where the batch was not tracked.

    Args:
        root: The output folder.
        extra: What to add.
        tell: Shows a text to the person at the keyboard.
    """
    if not (root / SPOOL).is_file():
        return None
    content = read_spool(root / SPOOL)
    last = content.last_run()
    if last is None:
        return None
    ended = [event.body["status"] for event in content.events if event.run == last.run and event.kind == "ended"]
    tracker = MlflowTracker(root, sync_target(root, settings_of(root)), tell)
    tracker.start(RunDescription(str(last.body.get("name", "")), str(last.body["same_as"])))
    return log_extra(tracker, extra, ended[-1] if ended else "KILLED")


def settings_of(root: Path) -> TrackingSettings:
    """Find where a batch was tracked that says no more of it: the demo keeps a store of its own in its folder."""
    own = root / "mlflow" / "mlflow.db"
    return TrackingSettings(uri=f"sqlite:///{own.absolute()}") if own.is_file() else TrackingSettings()


def log_extra(tracker: Tracker, extra: Extra, status: Ending) -> SendResult:
    """Log to a run that was started again, and end it as it had ended."""
    tracker.log_metrics(extra.metrics, step=tracker.attempt)
    tracker.log_tags(extra.tags)
    for dataset in extra.datasets:
        tracker.log_dataset(dataset)
    for file in extra.files:
        tracker.log_file(file, extra.folder)
    for file in extra.pictures:
        tracker.log_file(file, extra.folder, "is_one")
    for file in extra.tables:
        tracker.log_table(file, f"{extra.folder}_{Path(file).stem}")  # MLflow makes no folders for tables
    for model in extra.models:
        tracker.tag_model(model)
    return tracker.finish(status)
