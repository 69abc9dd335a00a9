"""Does a map depend on what the network has learnt?

The test of Adebayo et al. 2018, with all weights drawn anew at once.
"""

import copy
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from skimage.metrics import structural_similarity
from torch import nn

from diascope.explain.attribution import seeded


def reinitialised(network: nn.Module, seed: int) -> nn.Module:
    """Copy a network and draw its weights anew, as before any training.

    Weights of a module that cannot draw its own are shuffled, so that their values
    stay and their places do not.
    """
    fresh = copy.deepcopy(network)
    with seeded(seed):
        for module in fresh.modules():
            draw = getattr(module, "reset_parameters", None)
            if callable(draw):
                draw()
            else:
                for parameter in module.parameters(recurse=False):
                    order = torch.randperm(parameter.numel(), device=parameter.device)
                    parameter.data = parameter.data.flatten()[order].reshape(parameter.shape)
    return fresh.eval().requires_grad_(False)


def rank_similarity(one: NDArray[np.float32], other: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    """Compare the order of the values of two maps (Spearman); a map without any order is like no other.

    Args:
        one: (x, y, z).
        other: (x, y, z).
        where: (x, y, z) voxels that are compared.

    Returns:
        -1 to 1.
    """
    first, second = one[where], other[where]
    if first.size < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(stats.spearmanr(first, second).statistic)


def picture_similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Compare two maps as pictures (SSIM), each scaled to its largest value.

    Args:
        one: (x, y, z).
        other: (x, y, z).

    Returns:
        -1 to 1; None for maps of fewer than three voxels along an axis.
    """
    first, second = (np.squeeze(part / max(float(np.abs(part).max()), 1e-30)) for part in (one, other))
    if first.ndim < 2 or min(first.shape) < 3:
        return None
    side = min(7, min(first.shape) - (1 - min(first.shape) % 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(structural_similarity(first, second, win_size=side, data_range=2.0))


def mean_interval(values: list[float]) -> tuple[float, float, float]:
    """Give the mean of a few numbers and its 95 % interval (Student's t)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, -np.inf, np.inf
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half
