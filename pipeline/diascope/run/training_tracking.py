"""A training in MLflow: settings, every epoch, curves and overlays, the data's digest, the machine, the bundle.

The training knows nothing of it: it calls a function after each epoch. What is written
goes through tracking.jsonl, as with a batch: a server that is down stalls nothing.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

from diascope import __version__
from diascope.bundles.lock import digest_bundle, whole_digest
from diascope.config import parse_settings, read_yaml, settings_hash
from diascope.run.record import versions
from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.tracker import DatasetDescription, Ending, ModelDescription, RunDescription, Tracker
from diascope.train.bundle_training import train_bundle
from diascope.train.cross_validation import SUMMARY, TABLE, cross_validate
from diascope.train.folds import training_cases
from diascope.train.handlers import EpochCallback
from diascope.train.manifest import ManifestCase
from diascope.train.parts import Part, PartEndedError
from diascope.train.pictures import CURVES, OVERLAYS, PICTURES
from diascope.train.score_tables import MEAN, measured
from diascope.train.search import BEST, TRIALS, search_settings
from diascope.train.settings import TrainConfig
from diascope.train.team import Team

# Words for people (they are on the card) and folders of this machine.
LEFT_OUT = frozenset({"bundle", "manifest", "data_root", "search"})

# MLflow takes no longer one.
DIGEST_DIGITS = 36

MIB = 2**20


def tracking_wishes(source: Path, overrides: Sequence[str]) -> TrackingSettings:
    """Read what a training's yaml says under `tracking`.

    Raises:
        ConfigError: A key or value does not fit.
    """
    told = read_yaml(source).get("tracking") or {}
    mine = [one.removeprefix("tracking.") for one in overrides if one.startswith("tracking.")]
    return parse_settings(TrackingSettings, told, mine, where=f"{source.name}: tracking")


def train_tracked(
    config: TrainConfig,
    out: Path,
    tracker: Tracker | None,
    callbacks: Sequence[EpochCallback] = (),
    *,
    models: Path | None = None,
    team: Team | None = None,
) -> Path:
    """Do what a config asks for, be it a training, folds or a search, and track it.

    Args:
        config: The training.
        out: Folder of everything it makes.
        tracker: Not started yet; None where nothing is tracked, and in all processes but the first.
        callbacks: Called after each epoch with its number and its metrics.
        models: Folder into which the bundle is copied and locked; None leaves it in OUT.
        team: The processes that train together; None for this one alone.

    Returns:
        The bundle's folder, the summary of a cross-validation, or the best config of a search.

    Raises:
        PipelineError: The config, a case or the output folder cannot be used.
    """
    if tracker is None:
        return _done(config, out, _Silent(), callbacks, models, team)
    tracker.start(_description(config, config.bundle.name))
    with _ending(tracker):
        for dataset in datasets(training_cases(_any_fold(config)), config.manifest.stem):
            tracker.log_dataset(dataset)
        made = _done(config, out, _Watcher(tracker, config, out), callbacks, models, team)
        _log_end(tracker, config, out)
    return made


class EpochTracker:
    """Tells a tracker of each epoch: its numbers, the machine's, and the pictures as they are then."""

    def __init__(self, tracker: Tracker, out: Path, below: str = "") -> None:
        """Keep where to look; `below` is the folder of a part of the training."""
        self._tracker, self._out, self._below = tracker, out / below, below
        self._drawn_ns: dict[str, int] = {}
        psutil.cpu_percent()  # counts from here

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch; its number is the step."""
        self._tracker.log_metrics({**metrics, **machine_load()}, epoch)
        for name in (CURVES, OVERLAYS):
            file = self._out / PICTURES / name
            drawn_ns = file.stat().st_mtime_ns if file.is_file() else 0
            if drawn_ns > self._drawn_ns.get(name, 0):
                self._drawn_ns[name] = drawn_ns
                shown = Path(self._below) / PICTURES / name
                self._tracker.log_file(str(shown), PICTURES, "none" if name == CURVES else "is_one")


def machine_load() -> dict[str, float]:
    """Measure the machine since the last call, by the names under which MLflow shows them as system metrics."""
    memory = psutil.virtual_memory()
    found = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / MIB,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_usage_megabytes": psutil.Process().memory_info().rss / MIB,
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch's
        found["system/gpu_0_memory_usage_megabytes"] = torch.cuda.max_memory_allocated() / MIB
    return {name: float(value) for name, value in found.items()}


def flat_settings(config: TrainConfig) -> dict[str, str | float | int]:
    """Give a config's settings by key as in `--set`, without words and folders."""
    found: dict[str, str | float | int] = {"bundle": config.bundle.name, "manifest": config.manifest.name}
    values = config.model_dump(mode="json", exclude_none=True)
    for key, value in values.items():
        if key not in LEFT_OUT:
            found |= dict(_flat(key, value))
    return found


def datasets(cases: Sequence[ManifestCase], name: str) -> tuple[DatasetDescription, ...]:
    """Describe what a training sees: per split a digest over its cases and files.

    Args:
        cases: Of the manifest.
        name: Of the manifest.
    """
    found = []
    for split, context in (("train", "training"), ("calibration", "validation"), ("test", "test")):
        mine = sorted((case for case in cases if case.split == split), key=lambda case: case.case)
        lines = "".join(f"{json.dumps([case.case, sorted(case.sha256.items())])}\n" for case in mine)
        digest = hashlib.sha256(lines.encode()).hexdigest()[:DIGEST_DIGITS]
        profile = {"cases": len(mine), "patients": len({case.patient for case in mine})}
        if mine:
            found.append(DatasetDescription(f"{name}.{split}", digest, profile, context))
    return tuple(found)


class _Silent:
    """Watches no part, and is told of no epoch."""

    @contextmanager
    def __call__(self, _part: Part) -> Iterator[Sequence[EpochCallback]]:
        yield ()

    def of_whole(self) -> Sequence[EpochCallback]:
        return ()


class _Watcher(_Silent):
    """Makes each part a run of its own, nested in that of the whole."""

    def __init__(self, tracker: Tracker, config: TrainConfig, out: Path) -> None:
        self._tracker, self._config, self._out = tracker, config, out

    @contextmanager
    def __call__(self, part: Part) -> Iterator[Sequence[EpochCallback]]:
        params = {key: value if isinstance(value, int | float) else str(value) for key, value in part.settings.items()}
        same_as = settings_hash(self._config) + part.name
        nested = self._tracker.nested(RunDescription(part.name, same_as, params, {"diascope.part": part.name}))
        with _ending(nested):
            yield [EpochTracker(nested, self._out, part.name)]

    def of_whole(self) -> Sequence[EpochCallback]:
        return [EpochTracker(self._tracker, self._out)]


def _done(
    config: TrainConfig,
    out: Path,
    watcher: _Silent,
    callbacks: Sequence[EpochCallback],
    models: Path | None,
    team: Team | None,
) -> Path:
    if config.search is not None:
        return search_settings(config, out, watcher, team)
    if config.folds is not None and config.folds.only is None:
        return cross_validate(config, out, watcher, team)
    return train_bundle(config, out, [*callbacks, *watcher.of_whole()], models=models, team=team)


def _description(config: TrainConfig, name: str) -> RunDescription:
    kind = "search" if config.search else "cross-validation" if config.folds else "training"
    tags = {
        "diascope.version": __version__,
        "diascope.command": "train",
        "diascope.kind": kind,
        "config.sha256": settings_hash(config),
        **{f"version.{package}": version for package, version in versions().items()},
    }
    shown = name if kind == "training" else f"{name} ({kind})"
    note = f"{kind} of: {config.bundle.title}"
    return RunDescription(shown, settings_hash(config), flat_settings(config), tags, note)


def _any_fold(config: TrainConfig) -> TrainConfig:
    # The digest of a cross-validation is that of the manifest's own splits.
    return config if config.folds is None or config.folds.only else config.model_copy(update={"folds": None})


def _log_end(tracker: Tracker, config: TrainConfig, out: Path) -> None:
    for table in ("test_scores.csv", TABLE, TRIALS):
        if (out / table).is_file():
            tracker.log_table(table, Path(table).stem)
            if table != TRIALS:
                tracker.log_metrics(_score_metrics(config, out / table))
    for file in (SUMMARY, BEST, "log.jsonl"):
        if (out / file).is_file():
            tracker.log_file(file)
    folder = Path(config.bundle.name)
    card = folder / "docs" / "README.md"
    if (out / card).is_file() and config.search is None:
        tags = {"version": config.bundle.version, "licence": config.bundle.licence}
        tags["research_only"] = str(config.bundle.research_only).lower()
        tags["sha256"] = whole_digest(digest_bundle(out / folder))  # an audit finds its version by it
        tracker.log_model(ModelDescription(config.bundle.name, str(folder), str(card), tags))


def _score_metrics(config: TrainConfig, table: Path) -> dict[str, float]:
    part = "test" if table.name.startswith("test") else "out_of_fold"
    found = measured(config, table)
    return {
        f"{part}.{found.measure}{'' if key == MEAN else '.' + key}": estimate.value
        for key, estimate in found.estimates.items()
        if estimate.value is not None
    }


@contextmanager
def _ending(tracker: Tracker) -> Iterator[None]:
    status: Ending = "FAILED"
    try:
        yield
        status = "FINISHED"
    except (PartEndedError, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        tracker.finish(status)


def _flat(key: str, value: Any) -> Iterator[tuple[str, str | float | int]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}", inner)
    elif isinstance(value, list):
        yield key, json.dumps(value, ensure_ascii=False)
    else:
        yield key, value
