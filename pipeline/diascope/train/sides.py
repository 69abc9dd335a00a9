"""Left and right: no training image is mirrored unless its labels change sides with it."""

from collections.abc import Iterator, Sequence
from typing import Any

from diascope.bundles.find import sided
from diascope.errors import ConfigError
from diascope.train.settings import Component, LabelSettings, SynthesisSettings, TrainConfig

# MONAI's own readings of `spatial_axis`: left out is every axis.
_EVERY_AXIS = None

_OTHER_SIDE = {"left": "right", "right": "left", "lh": "rh", "rh": "lh", "l": "r", "r": "l"}


def check_sides(config: TrainConfig) -> None:
    """Refuse a training with labels of a side whose images would be mirrored and whose labels would not.

    Real images are mirrored by the augmentation, which moves voxels and leaves their numbers; synthetic ones by
    `flip_fraction`, which gives each structure the label of its twin (`mirrored_values`).

    Raises:
        ConfigError: What mirrors, and the label that would be wrong.
    """
    names = sided(label.name for label in config.bundle.labels)
    if not names:
        return
    if isinstance(config.source, SynthesisSettings):
        if config.source.flip_fraction > 0:
            _check_twins(config.bundle.labels, config.source)
        return
    axis = left_right_axis(config.preprocessing)
    mirrors = [component.name for component in config.augmentation if _mirrors(component, axis)]
    if mirrors:
        where = f"along axis {axis}, from left to right" if axis is not None else "and no Orientationd says along what"
        raise ConfigError(
            f"{', '.join(dict.fromkeys(mirrors))} mirrors training images {where}: {names[0]} would then lie on the "
            "other side under the same number",
            hint=_hint(axis),
            code="mirrored_sides",
        )


def left_right_axis(preprocessing: Sequence[Component]) -> int | None:
    """Say along which axis of the network's images left and right lie; None where no step sets it."""
    for component in reversed(preprocessing):
        if component.name == "Orientationd":
            codes = str(component.args.get("axcodes") or "RAS").upper()
            return next((at for at, code in enumerate(codes) if code in "LR"), None)
    return None


def _mirrors(component: Component, axis: int | None) -> bool:
    args = component.args
    if component.name == "RandFlipd":
        told = args.get("spatial_axis", _EVERY_AXIS)
        if told is _EVERY_AXIS or axis is None:
            return True
        return axis in ([told] if isinstance(told, int) else [int(one) for one in told])
    # 1 + r is drawn from the range: from -1 on it turns the axis round.
    return component.name == "RandAffined" and any(low <= -1 for low in _lowest_scales(args.get("scale_range")))


def _lowest_scales(scale_range: Any) -> Iterator[float]:
    for one in scale_range if isinstance(scale_range, list | tuple) else [scale_range or 0.0]:
        yield min(one) if isinstance(one, list | tuple) else -abs(float(one))


def _check_twins(labels: Sequence[LabelSettings], source: SynthesisSettings) -> None:
    twin_of = source.mirrored_values | {left: right for right, left in source.mirrored_values.items()}
    by_name = {label.name: label for label in labels}
    for name in sided(by_name):
        twin = "_".join(_OTHER_SIDE.get(word, word) for word in name.split("_"))
        wanted = {twin_of.get(value) for value in by_name[name].source_values}
        if twin not in by_name or wanted != set(by_name[twin].source_values):
            raise ConfigError(
                f"source.flip_fraction {source.flip_fraction:g} mirrors images, and {name} has no twin that takes its "
                f"place: there is no label {twin} of the values that source.mirrored_values names for it",
                hint="name the twin of each of its values in source.mirrored_values and make a label of them, or set "
                "source.flip_fraction: 0",
                code="mirrored_sides",
            )


def _hint(axis: int | None) -> str:
    if axis is None:
        return "leave the mirror out, or begin the preprocessing with Orientationd (axcodes: RAS)"
    others = ", ".join(str(other) for other in range(3) if other != axis)
    return f"mirror along {others} only (spatial_axis), or merge left and right into one label"
