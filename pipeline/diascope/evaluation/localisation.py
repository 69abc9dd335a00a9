"""Does a heatmap lie where the lesion truly is?

The measures of Saporta et al. 2022 and Arun et al. 2021.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from sklearn.metrics import average_precision_score

from diascope.errors import GridMismatch, InputError


@dataclass(frozen=True, slots=True)
class Localisation:
    """How well a map lies on the truth.

    Attributes:
        hit: Whether the highest voxel lies in the truth (pointing game).
        iou_at_otsu: Overlap of the truth and the map above its Otsu threshold.
        energy_inside: Share of the positive map that lies in the truth.
        auprc: Area under the precision-recall curve of its voxels; a map that knows
            nothing gets `prevalence`.
        prevalence: Share of the voxels that the truth takes up.
    """

    hit: bool
    iou_at_otsu: float
    energy_inside: float
    auprc: float
    prevalence: float


def localisation(heat: NDArray[np.float32], truth: NDArray[np.bool_]) -> Localisation:
    """Compare a map with the truth, both on the same voxels.

    Args:
        heat: (i, j, k) raw map, upsampled by `map_on_grid`.
        truth: (i, j, k).

    Raises:
        InputError: The truth is empty: there is no place to be found.
    """
    if heat.shape != truth.shape:
        raise GridMismatch(f"the map has {heat.shape} voxels, the truth {truth.shape}")
    if not truth.any():
        raise InputError("the truth is empty, there is nothing that a heatmap could hit", code="empty_truth")
    positive = np.clip(heat, 0, None)
    energy = float(positive.sum(dtype=np.float64))
    hot = positive > threshold_otsu(positive.ravel()) if energy > 0 else np.zeros(truth.shape, dtype=bool)
    union = int((hot | truth).sum())
    return Localisation(
        hit=bool(energy > 0 and truth[_peak(heat)]),
        iou_at_otsu=float((hot & truth).sum()) / union,
        energy_inside=float(positive[truth].sum(dtype=np.float64)) / energy if energy > 0 else 0.0,
        auprc=float(average_precision_score(truth.ravel(), heat.ravel())),
        prevalence=float(truth.mean()),
    )


def _peak(heat: NDArray[np.float32]) -> tuple[int, ...]:
    # A map of few cells is level within a cell at its edge: of the highest voxels the one in their middle.
    highest = np.argwhere(heat == heat.max())
    nearest = np.linalg.norm(highest - highest.mean(axis=0), axis=1).argmin()
    return tuple(highest[nearest].tolist())
