"""Cross-validation: each fold trained and scored on the patients it did not see, and all of them together."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diascope.errors import ConfigError
from diascope.train.bundle_training import train_interim
from diascope.train.folds import fold_config
from diascope.train.parts import Part, PartWatcher, unwatched
from diascope.train.score_tables import Measured, join_tables, measured, score_split
from diascope.train.settings import TrainConfig
from diascope.train.source_settings import ReconstructionSettings
from diascope.train.team import Team

log = logging.getLogger(__name__)

SUMMARY = "cross_validation.json"
TABLE = "out_of_fold_scores.csv"


def cross_validate(config: TrainConfig, out: Path, watcher: PartWatcher = unwatched, team: Team | None = None) -> Path:
    """Train every fold in turn, or go on with the one that was interrupted, and score them together.

    The test patients are not touched. Each fold's bundle lies in its folder, to be tried
    or to be joined into an ensemble.

    Args:
        config: The training; its `folds` name no single one.
        out: Folder of the folds and the summary.
        watcher: Entered around each fold.
        team: The processes that train together; None for this one alone.

    Returns:
        The summary: means of the out-of-fold scores with intervals over patients.

    Raises:
        ConfigError: The config asks for no folds, or its network answers nothing that could be scored.
    """
    if config.folds is None:
        raise ConfigError("the config asks for no folds", hint="set folds: {count: 5}")
    if isinstance(config.source, ReconstructionSettings):
        raise ConfigError(
            "a pre-training answers no question, so its folds cannot be scored",
            hint="leave folds out, or name the one that is held out: folds.only",
        )
    tables = []
    for number in range(1, config.folds.count + 1):
        part = Part(f"fold_{number}", {"folds.only": number})
        tables.append(out / part.name / TABLE)
        if not tables[-1].is_file():
            _fold(fold_config(config, number), tables[-1], part, watcher, team)
    if team is None or team.is_first:
        join_tables(tables, out / TABLE)
        summary = _summary(measured(config, out / TABLE), [measured(config, table) for table in tables])
        (out / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return out / SUMMARY


def _fold(config: TrainConfig, table: Path, part: Part, watcher: PartWatcher, team: Team | None) -> None:
    with watcher(part) as callbacks:
        folder = train_interim(config, table.parent, callbacks, team)
        if team is not None and not team.is_first:
            return
        score_split(config, folder, "calibration", table)
    found = measured(config, table)
    log.info("%s: %s %s over %d patients", part.name, found.measure, found.mean, found.patients)


def _summary(together: Measured, folds: Sequence[Measured]) -> dict[str, Any]:
    return {
        "patients": together.patients,
        together.measure: {key: asdict(estimate) for key, estimate in together.estimates.items()},
        f"{together.measure}_by_fold": {str(at): fold.mean.value for at, fold in enumerate(folds, start=1)},
    }
