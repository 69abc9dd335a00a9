"""Small networks of which the right explanation is known, and what wraps them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.inferers import SimpleInferer
from torch import nn

from diascope.bundles.network import NetworkInput, OpenNetwork
from diascope.explain.request import ExplainRequest

SHAPES: dict[int, tuple[int, ...]] = {2: (24, 32), 3: (16, 24, 8)}


class CornerClassifier(nn.Module):
    """Two classes; class 1 is the brightness of blobs in the first corner, a third of each axis long."""

    def __init__(self, dims: int, channels: int, classes: int = 2) -> None:
        super().__init__()
        conv: Any = nn.Conv2d if dims == 2 else nn.Conv3d
        pool: Any = nn.AvgPool2d if dims == 2 else nn.AvgPool3d
        self.shape = SHAPES[dims]
        self.features = conv(channels, 3, 3, padding=1, bias=False)
        self.active = nn.ReLU()
        self.pool = pool(2)
        cells = tuple(n // 2 for n in self.shape)
        self.head = nn.Linear(3 * int(np.prod(cells)), classes, bias=False)
        with torch.no_grad():
            self.features.weight.fill_(0.05)
            corner = torch.zeros(3, *cells)
            corner[(slice(None), *(slice(0, n // 3) for n in cells))] = 0.1
            self.head.weight.zero_()
            self.head.weight[1] = corner.flatten()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen: torch.Tensor = self.head(self.pool(self.active(self.features(x))).flatten(1))
        return seen


class CornerOnly(nn.Module):
    """Two classes; whatever lies outside the first corner never gets past the first layer.

    In 2-D that layer is a linear one, so that relevance propagation has a rule for it.
    """

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        conv: Any = nn.Conv2d if dims == 2 else nn.Conv3d
        pool: Any = nn.AdaptiveAvgPool2d if dims == 2 else nn.AvgPool3d
        self.shape = SHAPES[dims]
        seen = torch.zeros(channels, *self.shape)
        seen[(slice(None), *(slice(0, n // 3) for n in self.shape))] = 1
        self.register_buffer("corner", seen)
        self.first = nn.Linear(seen.numel(), seen.numel(), bias=False) if dims == 2 else None
        self.features = conv(channels, 3, 3, padding=1, bias=False)
        self.active = nn.ReLU()
        self.pool = pool(1) if dims == 2 else pool(self.shape)
        self.head = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            if self.first is not None:
                self.first.weight.copy_(torch.diag(seen.flatten()))
            self.features.weight.fill_(0.05)
            self.head.weight[0] = -1
            self.head.weight[1] = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = x * self.corner if self.first is None else self.first(x.flatten(1)).reshape(x.shape)
        logits: torch.Tensor = self.head(self.pool(self.active(self.features(seen))).flatten(1))
        return logits


class CornerSegmenter(nn.Module):
    """Draws label 1 wherever the first corner is bright: the whole image, or nothing."""

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        conv: Any = nn.Conv2d if dims == 2 else nn.Conv3d
        self.dims = dims
        self.features = conv(channels, 4, 3, padding=1)
        self.active = nn.ReLU()
        self.head = conv(4, 2, 1)
        with torch.no_grad():
            self.features.weight.fill_(0.05)
            self.features.bias.zero_()
            self.head.weight[0] = -1
            self.head.weight[1] = 1
            self.head.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        corner = torch.zeros_like(x)
        cut = (..., *(slice(0, n // 3) for n in x.shape[2:]))
        corner[cut] = 1
        seen = self.head(self.active(self.features(x * corner)))
        everywhere = seen.mean(dim=tuple(range(2, x.ndim)), keepdim=True)
        return everywhere.expand(*seen.shape)


class TinyUnet(nn.Module):
    """Instance norm, PReLU and a bottleneck, as in MONAI's U-Nets, with two labels over background."""

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        conv: Any = nn.Conv2d if dims == 2 else nn.Conv3d
        norm: Any = nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d
        self.top = nn.Sequential(conv(channels, 4, 3, padding=1), norm(4), nn.PReLU())
        self.down = nn.Sequential(conv(4, 6, 3, stride=2, padding=1), norm(6), nn.PReLU())
        self.up = nn.Upsample(scale_factor=2)
        self.head = conv(10, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.top(x)
        logits: torch.Tensor = self.head(torch.cat([fine, self.up(self.down(fine))], dim=1))
        return logits


class BoxDetector(nn.Module):
    """Scores a box by the mean of its features inside it: what `score_of` asks of a detector."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv3d(1, 2, 3, padding=1)
        self.active = nn.ReLU()
        with torch.no_grad():
            self.features.weight.fill_(0.05)
            self.features.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen: torch.Tensor = self.active(self.features(x))
        return seen

    def score_of(self, images: torch.Tensor, box: Any) -> torch.Tensor:
        cut = tuple(slice(start, stop) for start, stop in zip(*box, strict=True))
        scores: torch.Tensor = self(images)[(slice(None), slice(None), *cut)].flatten(1).mean(1)
        return scores


def opened(network: nn.Module, inferer: Any = None) -> OpenNetwork:
    """A network as `open_network` gives it."""
    return OpenNetwork(network.eval().requires_grad_(False), inferer or SimpleInferer(), torch.device("cpu"))


def textured(dims: int, channels: int, seed: int = 3, shape: tuple[int, ...] | None = None) -> NetworkInput:
    """A bright image with texture everywhere, so that nothing but the network favours a place."""
    rng = np.random.default_rng(seed)
    data = rng.uniform(0.2, 1.0, (channels, *(shape or SHAPES[dims]))).astype(np.float32)
    # One dark half of stripes: a blur changes every place.
    data[..., ::2] *= 0.2
    affine = np.array([[0.0, -0.7, 0.1, 5], [0.8, 0, 0, -7], [0, 0.1, 2.5, 11], [0, 0, 0, 1]])
    return NetworkInput(data, affine)


def spotted(dims: int, channels: int) -> NetworkInput:
    """An uneven image with bright spots all over, one of them in the first corner: a blur takes each of them out."""
    image = textured(dims, channels)
    image.data[...] = np.random.default_rng(5).uniform(0, 0.5, image.data.shape)
    for at in np.ndindex(*(n // 8 for n in SHAPES[dims])):
        image.data[(slice(None), *(slice(8 * n + 2, 8 * n + 5) for n in at))] += 1
    # A blur keeps the sum of what it spreads: the corner must be brighter than what surrounds it.
    image.data[(slice(None), *[slice(1, 6)] * dims)] += 3
    return image


def classify(method: str = "grad_cam", **more: Any) -> ExplainRequest:
    """Ask for class 1."""
    return ExplainRequest("classify", 1, "corner", method, **more)


def in_corner(data: np.ndarray, reach: float = 1 / 3) -> np.ndarray:
    """The voxels of a map whose centres lie in the first corner; the last axis of a 2-D map is flat."""
    inside = np.ones(data.shape, dtype=bool)
    for axis, n in enumerate(data.shape):
        if n > 1:
            at = ((np.arange(n) + 0.5) / n).reshape([-1 if a == axis else 1 for a in range(data.ndim)])
            inside &= at < reach
    return inside


def drawn(make: Callable[..., nn.Module], *args: Any, **more: Any) -> nn.Module:
    """A network whose weights are the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return make(*args, **more).eval()
