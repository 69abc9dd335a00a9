"""The tables of names a config may use: networks, transforms, optimisers; losses and schedules have their own modules.

A name, never a dotted path: a config that can import anything is a program.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from monai import inferers, transforms
from monai.networks import nets
from torch import nn
from torch.optim import Optimizer

from diascope.bundles.detector import SliceDetector
from diascope.bundles.slices import EachSlice, SliceClassifier
from diascope.bundles.vision_transformer import ClassifyingViT
from diascope.errors import ConfigError
from diascope.train.names import pick
from diascope.train.recipe import OptimiserSettings
from diascope.train.settings import Component

NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "AttentionUnet": nets.AttentionUnet,
    "BasicUNet": nets.BasicUNet,
    "DenseNet121": nets.DenseNet121,
    "DenseNet169": nets.DenseNet169,
    "DynUNet": nets.DynUNet,
    "EfficientNetBN": nets.EfficientNetBN,
    "SegResNet": nets.SegResNet,
    "SliceClassifier": SliceClassifier,
    "SliceDetector": SliceDetector,
    "SwinUNETR": nets.SwinUNETR,
    "UNETR": nets.UNETR,
    "UNet": nets.UNet,
    "ViT": ClassifyingViT,
    "resnet18": nets.resnet18,
    "resnet34": nets.resnet34,
    "resnet50": nets.resnet50,
}

# What is written beside a network's own arguments: nothing is ever downloaded.
_ALWAYS: Mapping[str, Mapping[str, Any]] = {
    "DenseNet121": {"pretrained": False},
    "DenseNet169": {"pretrained": False},
    "EfficientNetBN": {"pretrained": False},
}

# Networks and an inferer of ours, as a bundle's config names them.
_OURS: Mapping[str, str] = {
    "EachSlice": "diascope.bundles.slices.EachSlice",
    "SliceClassifier": "diascope.bundles.slices.SliceClassifier",
    "SliceDetector": "diascope.bundles.detector.SliceDetector",
    "ViT": "diascope.bundles.vision_transformer.ClassifyingViT",
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
    "EachSlice": EachSlice,
    "SimpleInferer": inferers.SimpleInferer,
    "SliceInferer": inferers.SliceInferer,
    "SlidingWindowInferer": inferers.SlidingWindowInferer,
}

AUGMENTATION: Mapping[str, type[transforms.Transform]] = {
    "RandAdjustContrastd": transforms.RandAdjustContrastd,
    "RandAffined": transforms.RandAffined,
    "RandBiasFieldd": transforms.RandBiasFieldd,
    "RandCropByPosNegLabeld": transforms.RandCropByPosNegLabeld,
    "Rand3DElasticd": transforms.Rand3DElasticd,
    "RandFlipd": transforms.RandFlipd,
    "RandGaussianNoised": transforms.RandGaussianNoised,
    "RandGaussianSmoothd": transforms.RandGaussianSmoothd,
    "RandScaleIntensityd": transforms.RandScaleIntensityd,
    "RandShiftIntensityd": transforms.RandShiftIntensityd,
    "RandSimulateLowResolutiond": transforms.RandSimulateLowResolutiond,
    "RandSpatialCropd": transforms.RandSpatialCropd,
    "SpatialPadd": transforms.SpatialPadd,
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


def build_network(component: Component) -> nn.Module:
    """Build a network with fresh weights."""
    kind = pick(NETWORKS, component.name, "network")
    if refused := set(component.args) & set(_ALWAYS.get(component.name, {})):
        raise ConfigError(
            f"{component.name}: {', '.join(refused)} is not a setting here: nothing is downloaded",
            hint="start from a bundle with init_from",
        )
    return _called(kind, Component(name=component.name, args={**component.args, **_ALWAYS.get(component.name, {})}))


def build_augmentation(components: Sequence[Component]) -> transforms.Compose:
    """Build the random transforms of the training images."""
    return transforms.Compose(
        [_called(pick(AUGMENTATION, component.name, "augmentation"), component) for component in components]
    )


def build_optimiser(settings: OptimiserSettings, network: nn.Module) -> Optimizer:
    """Build the optimiser of a network's weights."""
    kind: Any = pick(OPTIMISERS, settings.name, "optimiser")
    try:
        built: Optimizer = kind(network.parameters(), lr=settings.learning_rate, **settings.args)
    except TypeError as error:
        raise ConfigError(f"optimiser {settings.name}: {error}") from None
    return built


def bundle_network(component: Component) -> dict[str, Any]:
    """Write a network as a bundle's config names it."""
    pick(NETWORKS, component.name, "network")
    target = _OURS.get(component.name, component.name)
    return {"_target_": target, **component.args, **_ALWAYS.get(component.name, {})}


def bundle_inferer(component: Component) -> dict[str, Any]:
    """Write an inferer as a bundle's config names it."""
    pick(INFERERS, component.name, "inferer")
    return {"_target_": _OURS.get(component.name, component.name), **component.args}


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
            pick(PREPROCESSING, component.name, "preprocessing")
            written.append({"_target_": component.name, "keys": keys, **component.args})
    return written


def _called(kind: Callable[..., T], component: Component) -> T:
    try:
        return kind(**component.args)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{component.name}: {error}") from None
