"""What happens beside the steps of a training: rates, clipping, refusals, the log, early stopping."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch import nn

from diascope.errors import InputError
from diascope.train.learner import Training
from diascope.train.losses import at_step
from diascope.train.pictures import CURVES, OVERLAYS, PICTURES, OverlayTaker, draw_curves, draw_overlays
from diascope.train.progress import EpochLog, ProgressBar, read_log
from diascope.train.recipe import RegularisationSettings
from diascope.train.validation import Watch

EpochCallback = Callable[[int, Mapping[str, float]], None]

# Beside the checkpoints: the network of the best validation so far.
BEST = "best.pt"


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Who hears of each step, and what was before.

    Attributes:
        bar: Shows each step.
        history: The epochs before this call.
    """

    bar: ProgressBar
    history: Sequence[Mapping[str, float]]


def attach_steps(trainer: SupervisedTrainer, training: Training) -> None:
    """Have each step checked, its gradient clipped and its rate set."""
    config = training.config
    learning = [weights for weights in training.network.parameters() if weights.requires_grad]

    @trainer.on(Events.EPOCH_STARTED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _begin(engine: SupervisedTrainer) -> None:
        start = config.init_from
        if training.frozen and start and start.unfreeze_at_epoch and engine.state.epoch >= start.unfreeze_at_epoch:
            training.frozen.let_go()
            learning[:] = training.network.parameters()

    @trainer.on(Events.ITERATION_STARTED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _weigh(engine: SupervisedTrainer) -> None:
        # Dropout, and the anchors that a detector's loss samples: the same in a resumed run, others in each process
        # of a team. At each step and not at each epoch, in the first of which torch's loader draws a number, too.
        torch.manual_seed(_seed_of_step(config.seed, engine.state.iteration, training.team.rank))
        at_step(training.loss, engine.state.iteration)

    @trainer.on(IterationEvents.LOSS_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _refuse_nan(engine: SupervisedTrainer) -> None:
        _refuse(float(engine.state.output["loss"].detach()), "loss", engine)

    @trainer.on(IterationEvents.BACKWARD_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _clip(engine: SupervisedTrainer) -> None:
        norm = nn.utils.clip_grad_norm_(learning, config.optimiser.clip_norm or math.inf)
        # Before the weights take it: the last checkpoint then is a good one.
        _refuse(float(norm), "gradient", engine)

    @trainer.on(Events.ITERATION_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _next_rate(_: SupervisedTrainer) -> None:
        training.schedule.step()


def attach_report(
    trainer: SupervisedTrainer, training: Training, watch: Watch, log: EpochLog | None, told: Told
) -> None:
    """Have each epoch logged and told, and the training ended when it no longer gets better.

    Args:
        trainer: The loop.
        training: What learns.
        watch: How it is watched.
        log: Where it is written; None in all processes but the first.
        told: Who is told.
    """
    config, team = training.config, training.team
    history = list(told.history)
    losses: list[float] = []
    started = time.monotonic()

    @trainer.on(Events.ITERATION_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _note_loss(engine: SupervisedTrainer) -> None:
        losses.append(float(engine.state.output["loss"].detach()))
        told.bar.show(engine.state.iteration, losses[-1])

    @trainer.on(Events.EPOCH_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _tell(engine: SupervisedTrainer) -> None:
        epoch = int(engine.state.epoch)
        metrics = {
            "loss": team.mean_of(sum(losses) / len(losses)),
            "learning_rate": float(training.schedule.get_last_lr()[0]),
            "seconds": (log.seconds_before if log else 0.0) + time.monotonic() - started,
            "steps": float(engine.state.iteration),
        }
        losses.clear()
        if epoch % config.validate_every_epochs == 0:
            metrics |= watch.measures()
        history.append({"epoch": float(epoch), **metrics})
        if log:
            log(epoch, metrics)
        if is_stalled(history, watch.main, config.regularisation):
            engine.terminate()


def attach_callbacks(trainer: SupervisedTrainer, out: Path, callbacks: Sequence[EpochCallback]) -> None:
    """Have somebody else told of each epoch, when its log and pictures are written."""

    @trainer.on(Events.EPOCH_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _tell(engine: SupervisedTrainer) -> None:
        *_, last = read_log(out / "log.jsonl")
        for callback in callbacks:
            callback(int(engine.state.epoch), {name: value for name, value in last.items() if name != "epoch"})


def attach_best(trainer: SupervisedTrainer, training: Training, watch: Watch, out: Path) -> None:
    """Keep the network of the best validation beside the checkpoints."""

    @trainer.on(Events.EPOCH_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _keep(engine: SupervisedTrainer) -> None:
        history = read_log(out / "log.jsonl")
        if history and watch.main in history[-1] and best_epoch(history, watch.main) == engine.state.epoch:
            part = out / "checkpoints" / f"{BEST}.part"
            torch.save({"network": training.network.state_dict(), "epoch": engine.state.epoch}, part)
            part.replace(out / "checkpoints" / BEST)


def attach_pictures(trainer: SupervisedTrainer, training: Training, watch: Watch, out: Path) -> None:
    """Have curves and overlays drawn after each validation."""
    taker = OverlayTaker(watch.evaluator) if watch.draws_labels else None
    every = training.config.validate_every_epochs

    @trainer.on(Events.EPOCH_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _draw(engine: SupervisedTrainer) -> None:
        epoch = int(engine.state.epoch)
        if epoch % every and epoch != training.config.epochs:
            return
        draw_curves(read_log(out / "log.jsonl"), out / PICTURES / CURVES)
        if taker and taker.taken:
            draw_overlays(taker.taken, out / PICTURES / OVERLAYS, f"epoch {epoch}")


def best_epoch(history: Sequence[Mapping[str, float]], measure: str) -> int | None:
    """Find the epoch of the best validation, the first of equal ones; None where there was none."""
    seen = [line for line in history if measure in line and not math.isnan(line[measure])]
    return int(max(seen, key=lambda line: line[measure])["epoch"]) if seen else None


def is_stalled(history: Sequence[Mapping[str, float]], measure: str, settings: RegularisationSettings) -> bool:
    """Say whether as many validations as the settings allow have passed without a better one."""
    if settings.stop_after_validations is None:
        return False
    best, waited = -math.inf, 0
    for line in history:
        if measure in line:
            is_better = line[measure] > best + settings.least_improvement or best == -math.inf
            best, waited = (line[measure], 0) if is_better else (best, waited + 1)
    return waited >= settings.stop_after_validations


def _seed_of_step(*keys: int) -> int:
    # 63 bits: torch takes no larger seed.
    return int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _refuse(number: float, what: str, engine: SupervisedTrainer) -> None:
    if math.isfinite(number):
        return
    cases = sorted(set(engine.state.batch["case"]))
    raise InputError(
        f"the {what} is {number} at step {engine.state.iteration}, on {'an image' if len(cases) == 1 else 'images'} "
        f"of case {', '.join(cases)}",
        hint="look at that case; if it is sound, lower optimiser.learning_rate or use precision: fp32. The weights "
        "of the last epoch before are in checkpoints/",
        code="loss_not_finite",
    )
