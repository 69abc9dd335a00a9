"""The training loop: MONAI's and ignite's engines, wired with our handlers."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from monai.handlers import CheckpointLoader, CheckpointSaver, ValidationHandler
from monai.inferers import SimpleInferer
from rich.console import Console
from torch import Tensor
from torch.optim import lr_scheduler

from diascope.train.handlers import (
    BEST,
    EpochCallback,
    Told,
    attach_best,
    attach_callbacks,
    attach_pictures,
    attach_report,
    attach_steps,
    is_stalled,
)
from diascope.train.learner import Training
from diascope.train.progress import EpochLog, ProgressBar, read_log
from diascope.train.sources import CountingSampler, Draws, Source
from diascope.train.validation import MixedPrecision, Watch

log = logging.getLogger(__name__)


def run_training(
    training: Training, source: Source, watch: Watch, out: Path, callbacks: Sequence[EpochCallback] = ()
) -> int:
    """Train to the last epoch, from the newest checkpoint of OUT if there is one.

    Args:
        training: What learns.
        source: What it learns from.
        watch: How it is watched.
        out: Folder of checkpoints and log.
        callbacks: Called after each epoch with its number and its metrics, in the first process only.

    Returns:
        The epoch at which this call began; 0 for a fresh training.
    """
    config, team = training.config, training.team
    trainer = _trainer(training)
    state = {**training.state, "trainer": trainer}
    shape = _shape_of(training.schedule)
    with team.first_goes_first():
        begun = resume(trainer, state, out / "checkpoints")
    # The config may ask for more or fewer epochs than before: the schedule keeps its place, not its old length.
    vars(training.schedule).update(shape)
    history = [line for line in read_log(out / "log.jsonl") if line["epoch"] <= begun]
    if begun >= config.epochs or is_stalled(history, watch.main, config.regularisation):
        return begun
    trainer.data_loader = DataLoader(
        Draws(source),
        batch_size=team.share_of(config.batch_size),
        sampler=CountingSampler(trainer.state.iteration * config.batch_size + team.rank, team.size),
        num_workers=config.data_workers,
    )
    ValidationHandler(interval=config.validate_every_epochs, validator=watch.evaluator).attach(trainer)
    attach_steps(trainer, training)
    log_of_epochs = EpochLog(out / "log.jsonl", begun) if team.is_first else None
    bar = ProgressBar(
        config.epochs * config.steps_per_epoch, trainer.state.iteration, Console(stderr=True) if team.is_first else None
    )
    attach_report(trainer, training, watch, log_of_epochs, Told(bar, history))
    if team.is_first:
        attach_best(trainer, training, watch, out)
        CheckpointSaver(
            save_dir=str(out / "checkpoints"),
            save_dict=state,
            save_interval=config.checkpoint_every_epochs,
            n_saved=2,
        ).attach(trainer)
        attach_pictures(trainer, training, watch, out)
        attach_callbacks(trainer, out, callbacks)
    with bar:
        trainer.run()
    return begun


def resume(trainer: SupervisedTrainer, state: Mapping[str, Any], folder: Path) -> int:
    """Load the newest checkpoint that is whole; a kill may have cut one short.

    Returns:
        Its epoch, 0 if there is none.
    """
    for checkpoint in _checkpoints(folder):
        try:
            CheckpointLoader(load_path=str(checkpoint), load_dict=dict(state), map_location="cpu")(trainer)
        except (RuntimeError, EOFError, OSError) as error:
            log.warning("%s is not whole and was left aside (%s)", checkpoint.name, type(error).__name__)
            checkpoint.rename(checkpoint.with_suffix(".broken"))
            continue
        log.info("resumed after epoch %d", trainer.state.epoch)
        return int(trainer.state.epoch)
    return 0


def newest_weights(folder: Path) -> dict[str, Tensor] | None:
    """Read the network's weights from the newest checkpoint; None where there is none."""
    for checkpoint in _checkpoints(folder):
        return _network_in(checkpoint)
    return None


def best_weights(folder: Path) -> dict[str, Tensor] | None:
    """Read the network's weights of the best epoch; None where there was no validation yet."""
    best = folder / BEST
    return _network_in(best) if best.is_file() else None


def kept_epoch(folder: Path) -> int | None:
    """Read which epoch was the best; None where there was no validation yet."""
    best = folder / BEST
    return int(torch.load(best, map_location="cpu", weights_only=True)["epoch"]) if best.is_file() else None


def _network_in(checkpoint: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)["network"]
    return weights


def _shape_of(schedule: lr_scheduler.LRScheduler) -> dict[str, Any]:
    place = {"last_epoch", "_step_count", "_last_lr", "_is_initial"}
    return {name: value for name, value in vars(schedule).items() if name not in place}


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("*epoch=*.pt"), key=lambda path: int(path.stem.split("=")[-1]), reverse=True)


def _trainer(training: Training) -> SupervisedTrainer:
    config = training.config
    return SupervisedTrainer(
        device=training.team.device,
        max_epochs=config.epochs,
        train_data_loader=itertools.count(),  # replaced as soon as the first number is known
        epoch_length=config.steps_per_epoch,
        network=training.team.wrap(training.network),
        optimizer=training.optimiser,
        loss_function=training.loss,
        inferer=MixedPrecision(SimpleInferer(), training.team.device, config),
        decollate=False,
        optim_set_to_none=True,
    )
