"""What is asked of an explanation, and what comes back: a raw map on its own grid."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from diascope.errors import ConfigError
from diascope.explain.boxes import Anchor, Box
from diascope.explain.settings import MethodBudget
from diascope.geometry import Grid, IndexGrid, PixelGrid, Shape, Space
from diascope.imaging.upsampling import map_on_grid
from diascope.volume import Heatmap


class ScoresBox(Protocol):
    """A detector that can say how sure it is of one box, with gradients; MONAI's need not, see `boxes.py`."""

    def score_of(self, images: torch.Tensor, box: Box) -> torch.Tensor:
        """Give the score of the anchor or proposal that matches a box best.

        The match is made once per call from the box alone, so that the same place is
        asked about however the image is disturbed.

        Args:
            images: (n, c, x, y, z), or (n, c, x, y) for a 2-D detector.
            box: Half-open, in voxels of the network's input.

        Returns:
            (n,) scores before the sigmoid.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ExplainRequest:
    """Which answer of a network is to be explained, and how.

    Attributes:
        task: The question that the network answers.
        target: Channel of the network's output that holds the label or class.
        target_name: Its name.
        method: One of the table in `methods.py`.
        region: (x, y, z) bool on the network's input grid: the predicted voxels whose
            mean logit is explained, fixed beforehand. Segmentation only.
        box: The finding that is explained, half-open in voxels of what the network sees.
            Detection only.
        slice_at: Of the network's input, for networks that answer slice by slice.
        finding_id: Of the finding, if it has one.
        anchor: That the finding came from, once it was found.
        layer: For methods that look at one; None chooses it by its grid.
        budget: How much may be computed.
        seed: Of the methods that draw.
    """

    task: Literal["segment", "classify", "detect"]
    target: int
    target_name: str
    method: str = "grad_cam"
    region: NDArray[np.bool_] | None = None
    box: Box | None = None
    slice_at: int | None = None
    finding_id: str | None = None
    anchor: Anchor | None = None
    layer: str | None = None
    budget: MethodBudget = field(default_factory=MethodBudget)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a segmentation without a region, and a detection without a box."""
        if self.task == "segment" and (self.region is None or not self.region.any()):
            raise ConfigError(
                f"there is nothing to explain: {self.target_name} was not drawn",
                hint="explain a label that the network found in this image",
                code="nothing_to_explain",
            )
        if self.task == "detect" and self.box is None:
            raise ConfigError(f"no box of {self.target_name} was given to explain", code="nothing_to_explain")


@dataclass(frozen=True, slots=True, eq=False)
class RawMap:
    """How much each place speaks for the target: raw, signed, never stretched.

    Attributes:
        data: (x, y, z) float32 on the map's own grid.
        affine: (4, 4) float64; takes the centre of a voxel of data to where the
            network input's affine leads: RAS mm on a Grid, else source voxels.
        target: What is explained.
        method: How.
        layer: Which was looked at, if any.
        forwards: Windows that were run through the network.
        completeness_error: |sum of the map - change of the score| / |change of the
            score|, where the method promises that they are equal.
        notes: What a reader should know.
        finding_id: The finding that is explained, if it is one.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    target: str
    method: str
    layer: str | None
    forwards: int
    completeness_error: float | None = None
    notes: tuple[str, ...] = ()
    finding_id: str | None = None

    @property
    def raw_range(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return float(self.data.min()), float(self.data.max())

    @property
    def has_positive_evidence(self) -> bool:
        """Whether any place speaks for the target at all."""
        return bool(self.data.max() > 0)


def to_heatmap(raw: RawMap, source: Space) -> Heatmap:
    """Give a raw map the geometry of the kind that its source image has.

    Args:
        raw: The map.
        source: Of the image that was explained. On a Grid the map's grid is the
            patient's; elsewhere its voxels tile the image from edge to edge.
    """
    if isinstance(source, Grid):
        return Heatmap(raw.data, Grid(_shape(raw.data), raw.affine), raw.target, raw.method)
    # Without a frame there is nowhere to say where a map begins: it must tile the image, edge to edge.
    wanted_voxels = np.abs(raw.affine[:3, :3]).sum(axis=1)
    cells = [max(1, round(n / step)) for n, step in zip(source.shape, wanted_voxels, strict=True)]
    steps = np.array(source.shape) / cells
    tiles = np.diag([*steps, 1.0])
    tiles[:3, 3] = (steps - 1) / 2
    data = map_on_grid(raw.data, raw.affine, (cells[0], cells[1], cells[2]), tiles)
    space: Space = IndexGrid(_shape(data))
    if isinstance(source, PixelGrid):
        i_mm, j_mm = source.spacing_mm
        space = PixelGrid(_shape(data), (i_mm * float(steps[0]), j_mm * float(steps[1])), source.measured_at)
    return Heatmap(data, space, raw.target, raw.method)


def near_names(name: str, known: Iterable[str]) -> str:
    """Write a hint that names what was perhaps meant."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(names[:20]) or 'none'}"


def _shape(data: NDArray[np.float32]) -> Shape:
    i, j, k = data.shape
    return i, j, k
