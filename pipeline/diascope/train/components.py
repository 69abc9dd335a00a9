"""The tables of names a config may use: networks, transforms, losses, optimisers, schedules.

A name, never a dotted path: a config that can import anything is a program.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from monai import inferers, transforms
from monai.losses import DiceLoss
from monai.networks import nets
from monai.optimizers import WarmupCosineSchedule
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from diascope.errors import ConfigError
from diascope.train.settings import Component, LossSettings, OptimiserSettings, ScheduleSettings

NETWORKS: Mapping[str, type[nn.Module]] = {
    "BasicUNet": nets.BasicUNet,
    "DynUNet": nets.DynUNet,
    "SegResNet": nets.SegResNet,
    "UNet": nets.UNet,
}

PREPROCESSING: Mapping[str, type[transforms.Transform]] = {
    "CropForegroundd": transforms.CropForegroundd,
    "NormalizeIntensityd": transforms.NormalizeIntensityd,
    "Orientationd": transforms.Orientationd,
    "Resized": transforms.Resized,
    "ScaleIntensityRangePercentilesd": transforms.ScaleIntensityRangePercentilesd,
    "ScaleIntensityRanged": transforms.ScaleIntensityRanged,
    "Spacingd": transforms.Spacingd,
}

# Ours, written into the bundle as a stock Lambdad, see `bundle_preprocessing`.
NEIGHBOUR_SLICES = "neighbour_slices"

INFERERS: Mapping[str, type[inferers.Inferer]] = {
    "SimpleInferer": inferers.SimpleInferer,
    "SliceInferer": inferers.SliceInferer,
    "SlidingWindowInferer": inferers.SlidingWindowInferer,
}

AUGMENTATION: Mapping[str, type[transforms.Transform]] = {
    "RandAdjustContrastd": transforms.RandAdjustContrastd,
    "RandAffined": transforms.RandAffined,
    "RandBiasFieldd": transforms.RandBiasFieldd,
    "RandFlipd": transforms.RandFlipd,
    "RandGaussianNoised": transforms.RandGaussianNoised,
    "RandGaussianSmoothd": transforms.RandGaussianSmoothd,
    "RandScaleIntensityd": transforms.RandScaleIntensityd,
    "RandShiftIntensityd": transforms.RandShiftIntensityd,
}

_NEIGHBOURS = (
    "$lambda x: torch.cat([torch.cat([x[..., :1], x[..., :-1]], -1), x, torch.cat([x[..., 1:], x[..., -1:]], -1)], 0)"
)

OPTIMISERS: Mapping[str, type[Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}

T = TypeVar("T")


class DiceCrossEntropy(nn.Module):
    """Overlap and cross-entropy, of which only the latter is weighted by class.

    MONAI's DiceCELoss hands its weights to both terms; a Dice term is balanced
    already, and weighted again it forgets the large structures.
    """

    def __init__(self, settings: LossSettings, class_weights: Sequence[float] | None) -> None:
        """Build both terms.

        Args:
            settings: Their weights.
            class_weights: A weight per label, background first.
        """
        super().__init__()
        self.settings = settings
        self.dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=settings.batch_dice)
        self.cross_entropy = nn.CrossEntropyLoss(None if class_weights is None else torch.tensor(class_weights))

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compare a prediction with the truth.

        Args:
            logits: (b, labels + 1, ...), background first.
            label: (b, 1, ...) whole numbers.
        """
        overlap = self.dice(logits, label)
        entropy = self.cross_entropy(logits, label[:, 0].long())
        total: Tensor = self.settings.dice_weight * overlap + self.settings.ce_weight * entropy
        return total


LOSSES: Mapping[str, Callable[[LossSettings, Sequence[float] | None], nn.Module]] = {"dice_ce": DiceCrossEntropy}


def build_network(component: Component) -> nn.Module:
    """Build a network with fresh weights."""
    kind = _pick(NETWORKS, component.name, "network")
    return _called(kind, component)


def build_augmentation(components: Sequence[Component]) -> transforms.Compose:
    """Build the random transforms of the training images."""
    return transforms.Compose(
        [_called(_pick(AUGMENTATION, component.name, "augmentation"), component) for component in components]
    )


def build_loss(settings: LossSettings, class_weights: Sequence[float] | None) -> nn.Module:
    """Build the loss; `class_weights` holds one per label, background first."""
    return _pick(LOSSES, settings.name, "loss")(settings, class_weights)


def build_optimiser(settings: OptimiserSettings, network: nn.Module) -> Optimizer:
    """Build the optimiser of a network's weights."""
    kind: Any = _pick(OPTIMISERS, settings.name, "optimiser")
    try:
        built: Optimizer = kind(network.parameters(), lr=settings.learning_rate, **settings.args)
    except TypeError as error:
        raise ConfigError(f"optimiser {settings.name}: {error}") from None
    return built


def build_schedule(settings: ScheduleSettings, optimiser: Optimizer, total_steps: int) -> lr_scheduler.LRScheduler:
    """Build the schedule of the learning rate, stepped once per optimiser step."""
    builders: Mapping[str, Callable[..., lr_scheduler.LRScheduler]] = {
        "warmup_cosine": _warmup_cosine,
        "constant": lambda optimiser, _: lr_scheduler.ConstantLR(optimiser, factor=1.0),
        "polynomial": lambda optimiser, steps, power=0.9: lr_scheduler.PolynomialLR(optimiser, steps, power),
        "exponential": lambda optimiser, _, gamma: lr_scheduler.ExponentialLR(optimiser, gamma),
        "step": lambda optimiser, _, step_size, gamma=0.1: lr_scheduler.StepLR(optimiser, step_size, gamma),
    }
    build = _pick(builders, settings.name, "schedule")
    try:
        return build(optimiser, total_steps, **settings.args)
    except TypeError as error:
        raise ConfigError(f"schedule {settings.name}: {error}") from None


def bundle_network(component: Component) -> dict[str, Any]:
    """Write a network as a bundle's config names it."""
    _pick(NETWORKS, component.name, "network")
    return {"_target_": component.name, **component.args}


def bundle_inferer(component: Component) -> dict[str, Any]:
    """Write an inferer as a bundle's config names it."""
    _pick(INFERERS, component.name, "inferer")
    return {"_target_": component.name, **component.args}


def bundle_preprocessing(components: Sequence[Component], keys: str = "image") -> list[dict[str, Any]]:
    """Write the deterministic transforms as a bundle's config names them.

    `neighbour_slices` becomes a stock Lambdad that stacks each slice of the
    last axis between its neighbours as channels; the outermost have themselves.
    """
    written = []
    for component in components:
        if component.name == NEIGHBOUR_SLICES:
            written.append({"_target_": "Lambdad", "keys": keys, "func": _NEIGHBOURS})
        else:
            _pick(PREPROCESSING, component.name, "preprocessing")
            written.append({"_target_": component.name, "keys": keys, **component.args})
    return written


def _warmup_cosine(optimiser: Optimizer, total_steps: int, warmup_steps: int = 100) -> lr_scheduler.LRScheduler:
    warmup_steps = min(warmup_steps, total_steps // 4)
    built: lr_scheduler.LRScheduler = WarmupCosineSchedule(optimiser, warmup_steps, total_steps, warmup_multiplier=0.01)
    return built


def _pick(table: Mapping[str, T], name: str, kind: str) -> T:
    if name not in table:
        raise ConfigError(f"there is no {kind} named {name}", hint=f"there are: {', '.join(sorted(table))}")
    return table[name]


def _called(kind: type[T], component: Component) -> T:
    try:
        return kind(**component.args)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{component.name}: {error}") from None
