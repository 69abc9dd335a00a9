"""How a network learns, as a config says it: loss, optimiser, schedule, regularisation, where it starts."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from diascope.config import Settings


class LossSettings(Settings):
    """What the training lowers."""

    name: str = "dice_ce"
    """Name in the table of losses."""

    args: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the loss, as MONAI's documentation names them; dice_ce takes none."""

    dice_weight: NonNegativeFloat = 1.0
    """Weight of the overlap term of dice_ce."""

    ce_weight: NonNegativeFloat = 1.0
    """Weight of the cross-entropy term of dice_ce."""

    batch_dice: bool = False
    """Whether overlap is counted over the batch instead of per image; steadier where images show nothing."""

    class_weights: Literal["none", "inverse_frequency", "inverse_sqrt_frequency"] = "none"
    """How rare labels are weighted in cross-entropy and focal loss; overlap losses balance by themselves."""

    weights_fade: tuple[NonNegativeInt, PositiveInt] | None = None
    """Steps between which the weights of dice_ce and cross_entropy sink to 1; None keeps them.

    They bring small structures out early, and draw them too large later.
    """

    @field_validator("weights_fade")
    @classmethod
    def _in_order(cls, steps: tuple[int, int] | None) -> tuple[int, int] | None:
        if steps is not None and steps[0] >= steps[1]:
            raise ValueError(f"the fading ends at step {steps[1]} before it begins at step {steps[0]}")
        return steps


class OptimiserSettings(Settings):
    """How the weights move."""

    name: str = "adamw"
    """Name in the table of optimisers."""

    learning_rate: PositiveFloat = 1e-3
    """Highest learning rate."""

    args: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the optimiser, such as momentum or the decoupled weight_decay of adamw."""

    clip_norm: NonNegativeFloat = 5.0
    """Largest norm of the gradient; 0 does not clip."""


class ScheduleSettings(Settings):
    """How the learning rate changes over the training, counted in optimiser steps."""

    name: str = "warmup_cosine"
    """Name in the table of schedules."""

    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the schedule."""

    warmup_steps: NonNegativeInt = 0
    """Steps over which the rate rises in a straight line before the decay begins; any schedule takes it."""


class RegularisationSettings(Settings):
    """What keeps the weights small, and the training short. Dropout is an argument of the network."""

    l1: NonNegativeFloat = 0.0
    """Adds l1 · Σ|w| over all kernels to the loss: many weights become nearly nothing."""

    l2: NonNegativeFloat = 0.0
    """Adds l2 · Σw² / 2 over all kernels to the loss. adamw's own weight_decay is the decoupled kind."""

    stop_after_validations: PositiveInt | None = None
    """Early stopping: validations in a row without a better one, after which the training ends; None never stops."""

    least_improvement: NonNegativeFloat = 0.0
    """What counts as better, in the validation's own measure."""


class StartSettings(Settings):
    """Where the weights come from, if not from chance: transfer learning."""

    bundle: str
    """Name of a bundle, or the path of one or of the folder that a pre-training made."""

    fresh: tuple[str, ...] = ()
    """Patterns of weights that begin at random besides the head: parts that the bundle does not have."""

    frozen: tuple[str, ...] = ()
    """Patterns (`downsamples.*`) of the weights that stay as they are."""

    frozen_layers: NonNegativeInt = 0
    """So many of the first layers with kernels stay as they are, as the network lists them from input to output."""

    unfreeze_at_epoch: PositiveInt | None = None
    """First epoch in which everything learns; None keeps frozen what is frozen."""


class FoldSettings(Settings):
    """Cross-validation: the patients of the splits train and calibration, dealt anew into folds."""

    count: Annotated[int, Field(ge=2)]
    """Number of folds."""

    only: PositiveInt | None = None
    """The one fold to be held out, from 1; None takes all in turn and scores them together."""


class Choices(Settings):
    """A setting that is one of several values."""

    choices: tuple[Any, ...] = Field(min_length=1)
    """The values."""


class Range(Settings):
    """A setting that is a number between two others, both included."""

    low: float
    """Smallest value."""

    high: float
    """Largest value."""

    scale: Literal["linear", "log", "whole"] = "linear"
    """log for learning rates and the like; whole for counts."""


class SearchSettings(Settings):
    """A search for the best settings by Optuna (`pip install diascope[search]`)."""

    space: dict[str, Choices | Range] = Field(min_length=1)
    """What may change, by key as in `--set` (`optimiser.learning_rate`)."""

    trials: PositiveInt = 20
    """Trainings in all; a search that was interrupted goes on up to this number."""

    epochs: PositiveInt | None = None
    """Length of a trial; None takes that of the training."""

    measure: str = "dice"
    """What is made large: a measure of the validation as log.jsonl names it."""

    prune_after_epochs: PositiveInt | None = 2
    """Epochs after which a trial worse than the median of the earlier ones is ended; None ends none."""


def resolved(start: StartSettings, here: Path) -> StartSettings:
    """Count a relative path of a bundle from the yaml's own folder; a bare name stays a name."""
    is_name = Path(start.bundle).name == start.bundle
    return start if is_name else start.model_copy(update={"bundle": str(here / start.bundle)})
