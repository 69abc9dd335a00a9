"""Which layer of a network a class activation map is taken from."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from diascope.errors import ConfigError
from diascope.explain.request import near_names
from diascope.explain.subject import Subject
from diascope.explain.windows import Windows

# Grad-CAM was shown on maps of 7 x 7 and 14 x 14 (Selvaraju et al. 2017). The last
# layer of a DenseNet gives 2 x 2 x 2 on 64 voxels, which locates nothing.
FEWEST_CELLS = 7

# What is drawn voxel by voxel is smaller than what a whole image is classified by: the
# 8 x 8 bottleneck of a U-Net, where Seg-Grad-CAM was introduced, lies mostly beside the
# tumour (docs/heatmaps.md). Its last layers, on the other hand, only redraw the answer.
FEWEST_CELLS_DRAWN = 20


@dataclass(frozen=True, slots=True)
class LayerSeen:
    """What a layer gave when an image went through the network.

    Attributes:
        name: As the network calls it.
        channels: Of its output.
        grid: Voxels of its output along each axis of the window.
        calls: How often it ran.
    """

    name: str
    channels: int
    grid: tuple[int, ...]
    calls: int


def layers_seen(subject: Subject, windows: Windows) -> tuple[LayerSeen, ...]:
    """List every layer that gives a map for windows of this size, in the order in which they end.

    It costs one forward pass, once per network and size.
    """
    one = windows.inputs[:1]
    return _look(_Asked(subject.network, tuple(one.shape), tuple(windows.weights[:1].shape), one.device, subject))


def choose_layer(layers: Sequence[LayerSeen], name: str | None, fewest: int = FEWEST_CELLS) -> str:
    """Take the layer that was named, else the deepest whose map still locates something.

    That is the coarsest grid with at least `fewest` cells along its longest axis, and of
    the layers with this grid the one that ends last: a late block of a classifier, a
    middle one of a decoder.

    Raises:
        ConfigError: The named layer is not there or gives no map, or none does.
    """
    usable = [layer for layer in layers if layer.calls == 1 and layer.channels > 1 and max(layer.grid) > 1]
    if name is not None:
        if name in {layer.name for layer in usable}:
            return name
        raise ConfigError(
            f"the network has no layer {name} that gives one map with several channels",
            hint=near_names(name, [layer.name for layer in usable]),
            code="unknown_layer",
        )
    if not usable:
        raise ConfigError(
            "the network has no convolution whose output is a map, so no class activation map can be made",
            hint="use occlusion, kernel_shap or integrated_gradients",
            code="method_unfit",
        )
    fine = [layer for layer in usable if max(layer.grid) >= fewest]
    if fine:
        cells = min(_cells(layer) for layer in fine)
        return [layer.name for layer in fine if _cells(layer) == cells][-1]
    cells = max(_cells(layer) for layer in usable)
    return [layer.name for layer in usable if _cells(layer) == cells][-1]


def layer_of(network: nn.Module, name: str) -> nn.Module:
    """Get a layer by its name."""
    return network.get_submodule(name)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A network and the shapes it is given; two of the same need to be looked at only once."""

    network: nn.Module
    shape: tuple[int, ...]
    weights_shape: tuple[int, ...]
    device: torch.device
    subject: Subject = field(compare=False)


@functools.lru_cache(maxsize=4)
def _look(asked: _Asked) -> tuple[LayerSeen, ...]:
    found: dict[str, LayerSeen] = {}
    dims = len(asked.shape) - 2

    def look(name: str, output: Any) -> None:
        before = found.pop(name, None)
        if isinstance(output, torch.Tensor) and output.ndim == dims + 2:
            calls = before.calls + 1 if before else 1
            found[name] = LayerSeen(name, output.shape[1], tuple(output.shape[2:]), calls)

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: look(name, output))
        for name, module in asked.network.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            asked.subject(
                torch.zeros(asked.shape, device=asked.device), torch.zeros(asked.weights_shape, device=asked.device)
            )
    finally:
        for handle in handles:
            handle.remove()
    return tuple(found.values())


def _cells(layer: LayerSeen) -> int:
    product = 1
    for n in layer.grid:
        product *= n
    return product
