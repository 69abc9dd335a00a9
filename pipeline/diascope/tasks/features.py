"""What a network saw of an image: the features of its narrowest layer, kept while it runs.

Features are what drift, the score of what lies outside the reference, and the probe look
at. They are taken where the network's map is coarsest: the bottleneck of a U-Net, the last
pooled map of a classifier. There every number has seen most of the window, and averaging
over the map and over all windows loses least (González et al., Medical Image Analysis
2022, do so for a segmentation network). No further pass is needed, and no hook stays.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from diascope.errors import InputError


@dataclass(slots=True)
class FeatureWatch:
    """What is remembered of the passes of a network.

    Attributes:
        layer: Name of the layer the features come from; empty before the first pass.
        windows: How many windows were seen.
    """

    layer: str = ""
    windows: int = 0
    _sum: torch.Tensor | None = None
    _best: "_Map | None" = field(default=None)

    def vector(self) -> NDArray[np.float32]:
        """Average over all windows.

        Returns:
            (d,) float32, one number per channel of the layer.

        Raises:
            InputError: No layer of the network gives a map.
        """
        if self._sum is None:
            raise InputError("no layer of the network gives a map, so it has no features", code="no_features")
        mean: NDArray[np.float32] = (self._sum / self.windows).to("cpu", torch.float32).numpy()
        return mean

    def offer(self, name: str, output: Any, dims: int) -> None:
        """Take a layer's output in, if it is the narrowest of this pass so far."""
        is_map = isinstance(output, torch.Tensor) and dims > 0 and output.ndim == dims + 2
        if not is_map or output.shape[1] < 2:
            return
        seen = _Map(name, output)
        if self._best is None or seen.rank <= self._best.rank:
            self._best = seen

    def end_pass(self) -> None:
        """Add the features of a pass that has ended to the others."""
        best, self._best = self._best, None
        if best is None:
            return
        rows = best.output.detach().to(torch.float32).flatten(2).mean(-1)
        rows = rows[torch.isfinite(rows).all(1)]  # float16 may not hold them: the pass is done again in float32
        total = rows.sum(0)
        self._sum = total if self._sum is None else self._sum + total
        self.windows += len(rows)
        self.layer = best.name


@contextmanager
def watched(network: nn.Module) -> Iterator[FeatureWatch]:
    """Watch a network while it runs inside the block.

    Args:
        network: Any; its first input is (windows, channels, ...) or a tuple of such.
    """
    watch = FeatureWatch()

    def look(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            dims = inputs[0].ndim - 2 if inputs and isinstance(inputs[0], torch.Tensor) else -1
            watch.offer(name, output, dims)

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in network.named_modules() if name]
    handles.append(network.register_forward_hook(look("output")))
    handles.append(network.register_forward_hook(lambda _module, _inputs, _output: watch.end_pass()))
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, slots=True)
class _Map:
    name: str
    output: torch.Tensor

    @property
    def rank(self) -> tuple[int, int]:
        # The fewest cells first; of those the most channels. A head that only names classes has few.
        return int(np.prod(self.output.shape[2:])), -int(self.output.shape[1])
