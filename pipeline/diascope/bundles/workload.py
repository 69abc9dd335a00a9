"""How much a network has to compute on an image, told from its inference.json without loading it.

The unit is the voxel that goes through the network: windows times the voxels of a
window, so that overlap counts. What a bundle's steps do to the shape of an image is
followed where they say it in plain numbers (spacing, size, padding, windows); a step
that is a program of its own is taken to leave the shape as it is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

from diascope.geometry import Grid, Space

INFERENCE = Path("configs") / "inference.json"

# MONAI's own default (monai.inferers.SlidingWindowInferer).
_OVERLAP = 0.25


@dataclass(frozen=True, slots=True)
class Workload:
    """What one network does with one image.

    Attributes:
        windows: How many windows, or slices.
        window_shape: Voxels of one, along its axes.
    """

    windows: int
    window_shape: tuple[int, ...]

    @property
    def voxels(self) -> int:
        """All that goes through the network."""
        return self.windows * prod(self.window_shape)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a bundle's inference.json says of shapes.

    Attributes:
        steps: Its preprocessing, as it stands there.
        inferer: How its windows are cut, as it stands there.
    """

    steps: tuple[Mapping[str, Any], ...] = ()
    inferer: Mapping[str, Any] | None = None

    def workload(self, space: Space) -> Workload:
        """Count the windows of an image.

        Args:
            space: Where it lies.
        """
        shape = self._shape(space)
        kind = _kind(self.inferer)
        inferer = self.inferer or {}
        if kind in {"EachSlice", "SliceInferer"}:
            along = inferer.get("spatial_dim", 2) if kind == "SliceInferer" else 2
            shape = (*(n for axis, n in enumerate(shape) if axis != along), shape[along])
            roi = _whole(inferer.get("roi_size"), shape[:2]) if kind == "SliceInferer" else shape[:2]
            return Workload(shape[2] * _windows(shape[:2], roi, inferer), roi)
        if kind == "SlidingWindowInferer":
            roi = _whole(inferer.get("roi_size"), shape)
            return Workload(_windows(shape, roi, inferer), roi)
        return Workload(1, shape)

    def _shape(self, space: Space) -> tuple[int, ...]:
        shape = tuple(space.shape)
        spacing_mm: tuple[float, ...] = space.spacing_mm if isinstance(space, Grid) else (1.0,) * 3
        for step in self.steps:
            kind = _kind(step).removesuffix("d")
            if kind == "Orientation" and isinstance(space, Grid):
                order = _turned(space.axcodes, str(step.get("axcodes")))
                shape, spacing_mm = tuple(shape[at] for at in order), tuple(spacing_mm[at] for at in order)
            elif kind == "Spacing":
                wanted_mm = [want if want > 0 else have for want, have in _pairs(step.get("pixdim"), spacing_mm)]
                shape = tuple(
                    max(1, round(n * have / want)) for n, have, want in zip(shape, spacing_mm, wanted_mm, strict=True)
                )
                spacing_mm = tuple(wanted_mm)
            elif kind in {"Resize", "ResizeWithPadOrCrop", "CenterSpatialCrop"}:
                size = step.get("spatial_size", step.get("roi_size"))
                shape = tuple(int(want) if want > 0 else n for want, n in _pairs(size, shape))
            elif kind == "SpatialPad":
                shape = tuple(max(int(want), n) for want, n in _pairs(step.get("spatial_size"), shape))
        return shape


def read_recipe(folder: Path) -> Recipe:
    """Read what a bundle says of shapes; nothing where it says it in another way.

    Args:
        folder: Of the bundle.
    """
    try:
        config = json.loads((folder / INFERENCE).read_text(encoding="utf-8"))
        steps = config["preprocessing"]["transforms"]
        inferer = config.get("inferer")
    except (OSError, ValueError, KeyError, TypeError):
        return Recipe()
    return Recipe(
        tuple(step for step in steps if isinstance(step, dict)), inferer if isinstance(inferer, dict) else None
    )


def _turned(axcodes: str, wanted: str) -> tuple[int, ...]:
    """Find which axis of an image comes first, second and third when it is turned as asked."""
    axes = {code: at for at, pair in enumerate(("LR", "PA", "IS")) for code in pair}
    have = [axes[code] for code in axcodes]
    if sorted(axes.get(code, -1) for code in wanted) != [0, 1, 2]:
        return (0, 1, 2)
    return tuple(have.index(axes[code]) for code in wanted)


def _windows(shape: Sequence[int], roi: Sequence[int], inferer: Mapping[str, Any]) -> int:
    """Count them as MONAI lays them: steps of roi × (1 - overlap), the last one at the border."""
    overlap = inferer.get("overlap", _OVERLAP)
    parts = [part for part, _ in _pairs(overlap, roi)]
    steps = [max(1, int(size * (1 - part))) for size, part in zip(roi, parts, strict=True)]
    return prod(ceil((n - size) / step) + 1 if n > size else 1 for n, size, step in zip(shape, roi, steps, strict=True))


def _whole(wanted: object, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(want) if want > 0 else n for want, n in _pairs(wanted, shape))


def _pairs(wanted: object, have: Sequence[float]) -> list[tuple[float, Any]]:
    """Pair what is asked for on each axis with what there is; what is no number changes nothing."""
    values = wanted if isinstance(wanted, list) else [wanted] * len(have)
    if len(values) != len(have) or not all(isinstance(value, (int, float)) for value in values):
        return [(0.0, one) for one in have]
    return list(zip(values, have, strict=True))


def _kind(part: Mapping[str, Any] | None) -> str:
    return str((part or {}).get("_target_", "")).rpartition(".")[2]
