"""Attribution by taking pieces out of the image: it sees the network from outside only."""

import functools
import itertools

import numpy as np
import torch
from captum.attr import KernelShap
from numpy.typing import NDArray
from skimage.segmentation import slic

from diascope.explain.attribution import Attribution, MethodInput, seeded
from diascope.explain.subject import Subject


def occlusion(asked: MethodInput) -> Attribution:
    """Blur one patch after the other and note by how much the score falls (Zeiler and Fergus 2014).

    The patches tile the window, so the map's own grid has one voxel per patch.
    Only the windows of one pass are held in memory at a time.
    """
    windows = asked.windows
    edges = patch_edges(windows.inputs.shape[2:], asked.budget.cells)
    grid = [len(edge) - 1 for edge in edges]
    patches = [
        tuple(slice(int(edge[at]), int(edge[at + 1])) for edge, at in zip(edges, where, strict=True))
        for where in itertools.product(*map(range, grid))
    ]
    maps = torch.empty((len(windows), len(patches)))
    with torch.inference_mode():
        for n in range(len(windows)):
            image, soft, weights = windows.inputs[n], asked.baseline.inputs[n], windows.weights[n : n + 1]
            whole = asked.subject(image[None], weights)
            for start in range(0, len(patches), asked.at_once):
                now = patches[start : start + asked.at_once]
                disturbed = image.expand(len(now), *image.shape).clone()
                for row, patch in enumerate(now):
                    cut = (slice(None), *patch)
                    disturbed[row][cut] = soft[cut]
                left = asked.subject(disturbed, weights.expand(len(now), *weights.shape[1:]))
                maps[n, start : start + len(now)] = (whole - left).cpu()
    return Attribution(maps.reshape(len(windows), *grid))


def kernel_shap(asked: MethodInput) -> Attribution:
    """Estimate the Shapley value of each supervoxel (Lundberg and Lee 2017), spread over its voxels."""
    windows = asked.windows
    maps = []
    for n in range(len(windows)):
        pieces = supervoxels(windows.inputs[n].cpu().numpy(), asked.budget.supervoxels)
        with seeded(asked.seed + n), torch.no_grad():
            # Captum takes the first axis off what it hands on with a single image, so the
            # weights do not go through it.
            weights = windows.weights[n : n + 1]
            values = KernelShap(functools.partial(_score, asked.subject, weights)).attribute(
                windows.inputs[n : n + 1],
                baselines=asked.baseline.inputs[n : n + 1],
                feature_mask=torch.from_numpy(pieces)[None, None].to(windows.inputs.device),
                n_samples=max(asked.budget.samples, 2 * int(pieces.max() + 1)),
                perturbations_per_eval=asked.at_once,
            )
        sizes = np.bincount(pieces.ravel())[pieces]
        maps.append(values[0, 0].cpu() / torch.from_numpy(sizes).float())
    return Attribution(torch.stack(maps))


def patch_edges(shape: tuple[int, ...], cells: int) -> list[NDArray[np.int64]]:
    """Cut a window into patches that are nearly cubes.

    Args:
        shape: Of the window.
        cells: Patches along the longest axis.

    Returns:
        The borders of the patches along each axis.
    """
    patch = max(1.0, max(shape) / cells)
    counts = [max(1, round(n / patch)) for n in shape]
    return [np.linspace(0, n, count + 1).round().astype(np.int64) for n, count in zip(shape, counts, strict=True)]


def supervoxels(window: NDArray[np.float32], pieces: int) -> NDArray[np.int64]:
    """Cut a window along its edges into pieces of like brightness (SLIC, Achanta et al. 2012).

    Args:
        window: (c, x, y, z) or (c, x, y).
        pieces: About how many.

    Returns:
        The number of the piece of each voxel, from 0 without gaps.
    """
    low, high = float(window.min()), float(window.max())
    scaled = (window - low) / (high - low) if high > low else np.zeros_like(window)
    labels = _slic(scaled, pieces, compactness=0.1)
    if len(np.unique(labels)) < pieces / 2:
        # Without edges to follow, pieces melt into each other; cubes are what is left.
        labels = _slic(scaled, pieces, compactness=10.0)
    _, dense = np.unique(labels, return_inverse=True)
    numbers: NDArray[np.int64] = dense.reshape(labels.shape).astype(np.int64)
    return numbers


def _score(subject: Subject, weights: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    scores: torch.Tensor = subject(images, weights.expand(len(images), *weights.shape[1:]))
    return scores


def _slic(scaled: NDArray[np.float32], pieces: int, compactness: float) -> NDArray[np.int64]:
    labels: NDArray[np.int64] = slic(
        scaled.astype(np.float64),
        n_segments=pieces,
        compactness=compactness,
        sigma=1,
        channel_axis=0,
        start_label=0,
    )
    return labels
