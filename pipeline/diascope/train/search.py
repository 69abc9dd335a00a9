"""A search for better settings by Optuna: each trial a short training, the poor ones ended early.

Everything is in OUT: search.db (Optuna's own, so a search that was killed goes on),
trials.csv, and best.yaml, a config that `diascope train` takes as it is.
"""

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from diascope.config import parse_settings, settings_hash
from diascope.errors import ConfigError
from diascope.train.handlers import EpochCallback
from diascope.train.parts import Part, PartEndedError, PartWatcher, unwatched
from diascope.train.progress import read_log
from diascope.train.recipe import Choices, Range, SearchSettings
from diascope.train.settings import TrainConfig
from diascope.train.team import Team
from diascope.train.training import train_network, what_matters

log = logging.getLogger(__name__)

BEST = "best.yaml"
TRIALS = "trials.csv"


def search_settings(config: TrainConfig, out: Path, watcher: PartWatcher = unwatched, team: Team | None = None) -> Path:
    """Try settings, or go on with a search that was interrupted.

    Args:
        config: The training with its `search`.
        out: Folder of the trials.
        watcher: Entered around each trial.
        team: This process alone: trials are not divided.

    Returns:
        The config with the best settings.

    Raises:
        ConfigError: Optuna is not installed, a key is no setting, or OUT holds another search.
    """
    told = config.search
    if told is None:
        raise ConfigError("the config names nothing to search for", hint="set search: {space: {...}}")
    if team is not None and team.size > 1:
        raise ConfigError("a search runs in one process", hint="start it without torchrun")
    for key in told.space:
        _check(config, key, told.space[key])
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{(out / 'search.db').absolute()}")
    name = _identity(config, told)
    if (known := optuna.get_all_study_names(storage)) and name not in known:
        raise ConfigError("the output folder holds another search", hint="give -o another folder, or empty this one")
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        load_if_exists=True,
        direction="maximize",
        pruner=_pruner(optuna, told),
    )
    # With the same seed again a search that goes on would ask what it has asked before.
    seed = config.seed + len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(told.trials // 3, 1)))
    states = optuna.trial.TrialState
    for stale in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        study.tell(stale.number, state=states.FAIL)  # killed in the middle
    while len(study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))) < told.trials:
        _try(study, config, told, out, watcher)
        _write_trials(study, out / TRIALS)
    return _write_best(study, config, out / BEST)


def changed(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """Give a config with other settings.

    Args:
        config: What is not named stays as here.
        settings: Values by key as in `--set`.

    Raises:
        ConfigError: A key is no setting, or a value does not fit.
    """
    values = config.model_dump(mode="json")
    return parse_settings(TrainConfig, values, [f"{key}={_spelt(value)}" for key, value in settings.items()])


def _identity(config: TrainConfig, told: SearchSettings) -> str:
    # More trials of the same search are the same search.
    same = told.model_copy(update={"trials": 1})
    return settings_hash(what_matters(config).model_copy(update={"search": same}))


def _try(study: Any, config: TrainConfig, told: SearchSettings, out: Path, watcher: PartWatcher) -> None:
    trial = study.ask()
    settings = {key: _suggest(trial, key, told.space[key]) for key in told.space}
    part = Part(f"trial_{trial.number:03d}", settings)
    epochs = told.epochs or config.epochs
    once = changed(config.model_copy(update={"search": None, "epochs": epochs}), settings)
    states = _optuna().trial.TrialState
    try:
        with watcher(part) as callbacks:
            train_network(once, out / part.name, [*callbacks, _judge(trial, told)])
    except PartEndedError:
        study.tell(trial, state=states.PRUNED)
        log.info("%s %s: ended early", part.name, settings)
        return
    values = [line[told.measure] for line in read_log(out / part.name / "log.jsonl") if told.measure in line]
    if not values:
        study.tell(trial, state=states.FAIL)
        raise ConfigError(
            f"no validation of a trial measured {told.measure}",
            hint="set search.measure to a name in log.jsonl, or search.epochs so that a validation takes place",
        )
    study.tell(trial, max(values))
    log.info("%s %s: %s %.4f", part.name, settings, told.measure, max(values))


def _judge(trial: Any, told: SearchSettings) -> EpochCallback:
    def judge(epoch: int, metrics: Mapping[str, float]) -> None:
        if told.measure in metrics:
            trial.report(metrics[told.measure], epoch)
            if told.prune_after_epochs is not None and trial.should_prune():
                raise PartEndedError

    return judge


def _pruner(optuna: ModuleType, told: SearchSettings) -> Any:
    if told.prune_after_epochs is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=told.prune_after_epochs)


def _suggest(trial: Any, key: str, space: Choices | Range) -> Any:
    if isinstance(space, Choices):
        # Optuna's categories are plain values: lists and the like go by their place.
        return space.choices[trial.suggest_categorical(key, list(range(len(space.choices))))]
    if space.scale == "whole":
        return trial.suggest_int(key, int(space.low), int(space.high))
    return trial.suggest_float(key, space.low, space.high, log=space.scale == "log")


def _check(config: TrainConfig, key: str, space: Choices | Range) -> None:
    """Refuse a key or a value that no training would take, before the first trial."""
    if key.partition(".")[0] in {"bundle", "manifest", "data_root", "search", "folds", "seed", "epochs"}:
        raise ConfigError(f"search.space: {key} cannot be searched")
    for value in space.choices if isinstance(space, Choices) else (space.low, space.high):
        whole = isinstance(space, Range) and space.scale == "whole"
        changed(config, {key: int(value) if whole else value})
    if isinstance(space, Range) and (space.low >= space.high or (space.scale == "log" and space.low <= 0)):
        raise ConfigError(f"search.space: {key} runs from {space.low} to {space.high}, which is no range")


def _write_trials(study: Any, target: Path) -> None:
    trials = study.get_trials(deepcopy=False)
    keys = sorted({key for trial in trials for key in trial.user_attrs or trial.params})
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["trial", "state", "value", *keys])
        for trial in trials:
            value = "" if trial.value is None else f"{trial.value:.6g}"
            writer.writerow([trial.number, trial.state.name.lower(), value, *(trial.params.get(key) for key in keys)])


def _write_best(study: Any, config: TrainConfig, target: Path) -> Path:
    told = config.search
    assert told is not None  # noqa: S101 - for the type checker: search_settings refused it
    best = study.best_trial
    settings = {
        key: space.choices[best.params[key]] if isinstance(space, Choices) else best.params[key]
        for key, space in told.space.items()
    }
    found = changed(config.model_copy(update={"search": None}), settings)
    values = found.model_dump(mode="json", exclude_defaults=True)
    head = f"# Trial {best.number} of {len(study.trials)}: {told.measure} {best.value:.4f}. Settings that were found:\n"
    head += "".join(f"#   {key}: {_spelt(value)}\n" for key, value in settings.items())
    target.write_text(head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    return target


def _spelt(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def _optuna() -> ModuleType:
    try:
        import optuna  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ConfigError(
            "a search needs Optuna, which is not installed", hint="pip install 'diascope[search]'"
        ) from None
    module: ModuleType = optuna
    return module
