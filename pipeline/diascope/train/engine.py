"""The training loop: MONAI's and ignite's engines, wired with our handlers."""

import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.handlers import CheckpointLoader, CheckpointSaver, MeanDice, ValidationHandler, from_engine
from monai.inferers import Inferer, SimpleInferer
from monai.transforms import AsDiscreted, Compose
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from diascope.errors import InputError
from diascope.train.progress import EpochLog, ProgressLine
from diascope.train.settings import TrainConfig
from diascope.train.sources import CountingSampler, Draws, Sample, Source

log = logging.getLogger(__name__)

EpochCallback = Callable[[int, Mapping[str, float]], None]


class MixedPrecision(Inferer):  # type: ignore[misc]  # MONAI is not typed
    """Another inferer, in bfloat16 where that was asked for; its result is float32.

    MONAI's own `amp` means CUDA. bfloat16 needs no loss scaling, so the same
    code serves both kinds of device.
    """

    def __init__(self, inner: Inferer, device: torch.device, config: TrainConfig) -> None:
        """Wrap an inferer."""
        super().__init__()
        self.inner = inner
        self.device = device
        self.is_enabled = config.precision == "bf16"
        self.memory_format = torch.channels_last if config.channels_last else torch.contiguous_format

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Run the network.

        Args:
            inputs: (b, channels, ...) images.
            network: What is to be run on them.
            args: Passed on to the inner inferer.
            kwargs: Passed on to the inner inferer.
        """

        def lowered(image: Tensor) -> Tensor:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_enabled):
                logits: Tensor = network(image.contiguous(memory_format=self.memory_format))
            return logits.float()

        result: Tensor = self.inner(inputs, lowered, *args, **kwargs)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What a training consists of while it runs."""

    config: TrainConfig
    network: nn.Module
    optimiser: Optimizer
    schedule: lr_scheduler.LRScheduler
    loss: nn.Module
    device: torch.device

    @property
    def state(self) -> dict[str, Any]:
        """Everything a checkpoint holds besides the trainer's position."""
        return {"network": self.network, "optimiser": self.optimiser, "schedule": self.schedule}


def run_training(
    training: Training,
    source: Source,
    validation: SupervisedEvaluator,
    out: Path,
    callbacks: Sequence[EpochCallback] = (),
) -> int:
    """Train to the last epoch, from the newest checkpoint of OUT if there is one.

    Returns:
        The epoch at which this call began; 0 for a fresh training.
    """
    config = training.config
    trainer = _trainer(training)
    state = {**training.state, "trainer": trainer}
    shape = _shape_of(training.schedule)
    begun = resume(trainer, state, out / "checkpoints")
    # The config may ask for more or fewer epochs than before: the schedule keeps its place, not its old length.
    vars(training.schedule).update(shape)
    if begun >= config.epochs:
        return begun
    loader = DataLoader(
        Draws(source),
        batch_size=config.batch_size,
        sampler=CountingSampler(trainer.state.iteration * config.batch_size),
        num_workers=config.data_workers,
    )
    trainer.data_loader = loader
    epoch_log = EpochLog(out / "log.jsonl", begun)
    ValidationHandler(interval=config.validate_every_epochs, validator=validation).attach(trainer)
    _attach_steps(trainer, training)
    _attach_log(trainer, training, validation, epoch_log, callbacks)
    CheckpointSaver(
        save_dir=str(out / "checkpoints"),
        save_dict=state,
        save_interval=config.checkpoint_every_epochs,
        n_saved=2,
    ).attach(trainer)
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
        weights: dict[str, Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)["network"]
        return weights
    return None


def build_validator(
    training: Training, samples: Sequence[Sample], names: Sequence[str], inferer: Inferer | None = None
) -> SupervisedEvaluator:
    """Build the evaluator that scores held-out images during training.

    Args:
        training: The network and its settings.
        samples: Dictionaries with `image`, `label` and `case`.
        names: Names of the labels without background.
        inferer: How whole images are fed; None feeds them at once.
    """
    scored = from_engine(["pred", "label"])
    return SupervisedEvaluator(
        device=training.device,
        val_data_loader=DataLoader(list(samples), batch_size=1, num_workers=0),
        network=training.network,
        inferer=MixedPrecision(inferer or SimpleInferer(), training.device, training.config),
        postprocessing=Compose(
            [
                AsDiscreted(keys="pred", argmax=True, to_onehot=len(names) + 1),
                AsDiscreted(keys="label", to_onehot=len(names) + 1),
            ]
        ),
        key_val_metric={"dice": MeanDice(include_background=False, output_transform=scored)},
        additional_metrics={
            "dice_by_label": MeanDice(include_background=False, output_transform=scored, reduction="mean_batch")
        },
    )


def _shape_of(schedule: lr_scheduler.LRScheduler) -> dict[str, Any]:
    place = {"last_epoch", "_step_count", "_last_lr", "_is_initial"}
    return {name: value for name, value in vars(schedule).items() if name not in place}


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("*epoch=*.pt"), key=lambda path: int(path.stem.split("=")[-1]), reverse=True)


def _trainer(training: Training) -> SupervisedTrainer:
    config = training.config
    return SupervisedTrainer(
        device=training.device,
        max_epochs=config.epochs,
        train_data_loader=itertools.count(),  # replaced as soon as the first number is known
        epoch_length=config.steps_per_epoch,
        network=training.network,
        optimizer=training.optimiser,
        loss_function=training.loss,
        inferer=MixedPrecision(SimpleInferer(), training.device, config),
        decollate=False,
        optim_set_to_none=True,
    )


def _attach_steps(trainer: SupervisedTrainer, training: Training) -> None:
    @trainer.on(Events.EPOCH_STARTED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _seed_epoch(engine: SupervisedTrainer) -> None:
        # Dropout and the like: the same in a resumed run.
        torch.manual_seed(training.config.seed * 1_000_003 + engine.state.epoch)

    @trainer.on(IterationEvents.LOSS_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _refuse_nan(engine: SupervisedTrainer) -> None:
        loss = float(engine.state.output["loss"].detach())
        if not math.isfinite(loss):
            cases = ", ".join(sorted(set(engine.state.batch["case"])))
            raise InputError(
                f"the loss is {loss} at step {engine.state.iteration}, on an image of case {cases}",
                hint="look at that case; if it is sound, lower optimiser.learning_rate or use precision: fp32",
                code="loss_not_finite",
            )

    @trainer.on(IterationEvents.BACKWARD_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _clip(_: SupervisedTrainer) -> None:
        if training.config.optimiser.clip_norm > 0:
            nn.utils.clip_grad_norm_(training.network.parameters(), training.config.optimiser.clip_norm)

    @trainer.on(Events.ITERATION_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _next_rate(_: SupervisedTrainer) -> None:
        training.schedule.step()


def _attach_log(
    trainer: SupervisedTrainer,
    training: Training,
    validation: SupervisedEvaluator,
    epoch_log: EpochLog,
    callbacks: Sequence[EpochCallback],
) -> None:
    config = training.config
    names = [label.name for label in config.bundle.labels]
    line = ProgressLine(config.epochs * config.steps_per_epoch)
    losses: list[float] = []
    started = time.monotonic()
    first = int(trainer.state.iteration)

    @trainer.on(Events.ITERATION_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _note_loss(engine: SupervisedTrainer) -> None:
        losses.append(float(engine.state.output["loss"].detach()))
        line.show(engine.state.iteration, first, losses[-1])

    @trainer.on(Events.EPOCH_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _tell(engine: SupervisedTrainer) -> None:
        epoch = int(engine.state.epoch)
        metrics = {
            "loss": sum(losses) / len(losses),
            "learning_rate": float(training.schedule.get_last_lr()[0]),
            "seconds": epoch_log.seconds_before + time.monotonic() - started,
            "steps": float(engine.state.iteration),
        }
        losses.clear()
        if epoch % config.validate_every_epochs == 0:
            metrics["dice"] = float(validation.state.metrics["dice"])
            # MONAI gives a plain number where there is one label.
            by_label = torch.as_tensor(validation.state.metrics["dice_by_label"]).reshape(-1).tolist()
            metrics |= {f"dice_{name}": float(dice) for name, dice in zip(names, by_label, strict=True)}
        epoch_log(epoch, metrics)
        for callback in callbacks:
            callback(epoch, metrics)
