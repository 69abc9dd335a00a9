"""Cross-validation: each fold trained and scored on the patients it did not see, and all of them together."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diascope.errors import ConfigError
from diascope.evaluation.bootstrap import Estimate
from diascope.train.bundle_training import train_interim
from diascope.train.folds import fold_config
from diascope.train.parts import Part, PartWatcher, unwatched
from diascope.train.scoring import TestScore, read_scores, score_bundle, summarise, write_scores
from diascope.train.settings import TrainConfig
from diascope.train.team import Team

log = logging.getLogger(__name__)

SUMMARY = "cross_validation.json"


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
    """
    if config.folds is None:
        raise ConfigError("the config asks for no folds", hint="set folds: {count: 5}")
    scores: list[TestScore] = []
    by_fold: dict[int, Estimate] = {}
    for number in range(1, config.folds.count + 1):
        part = Part(f"fold_{number}", {"folds.only": number})
        found = _fold(fold_config(config, number), out / part.name, part, watcher, team)
        scores += found
        by_fold[number] = summarise(found)["", ""]
    if team is None or team.is_first:
        write_scores(scores, out, "out_of_fold_scores.csv")
        (out / SUMMARY).write_text(json.dumps(_summary(scores, by_fold), indent=2) + "\n", encoding="utf-8")
    return out / SUMMARY


def _fold(config: TrainConfig, out: Path, part: Part, watcher: PartWatcher, team: Team | None) -> Sequence[TestScore]:
    done = out / "out_of_fold_scores.csv"
    if done.is_file():
        return read_scores(done)
    with watcher(part) as callbacks:
        folder = train_interim(config, out, callbacks, team)
        if team is not None and not team.is_first:
            return ()
        scores = score_bundle(config, folder, "calibration")
    write_scores(scores, out, done.name)
    log.info("%s: Dice %s over %d scores", part.name, summarise(scores)["", ""], len(scores))
    return scores


def _summary(scores: Sequence[TestScore], by_fold: dict[int, Estimate]) -> dict[str, Any]:
    return {
        "patients": len({score.patient for score in scores}),
        "dice": {
            label or "mean": asdict(estimate)
            for (label, condition), estimate in summarise(scores).items()
            if not condition
        },
        "dice_by_fold": {str(number): estimate.value for number, estimate in by_fold.items()},
    }
