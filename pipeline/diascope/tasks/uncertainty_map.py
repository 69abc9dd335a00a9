"""How unsure is a network of each voxel? Three numbers, each by its own name, none of them calibrated."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

# Voxels whose probabilities are held at once: with 33 classes in float32 130 MB.
SLAB_VOXELS = 1_000_000

_LN2 = float(np.log(2.0))


def unsure_voxels(
    logits: NDArray[np.float32],
    kind: Literal["entropy", "least_confidence"],
    activation: Literal["softmax", "sigmoid"] = "softmax",
) -> NDArray[np.float32]:
    """Measure how far the probabilities of each voxel are from being certain.

    Args:
        logits: (classes, x, y, z).
        kind: `entropy` in bit: 0 where one class has it all, 1 where two share it evenly. `least_confidence` is 1
            less the highest probability.
        activation: With `sigmoid` each class is a question of its own; the least sure one counts.

    Returns:
        (x, y, z) float32, at least 0.
    """
    found = np.empty(logits.shape[1:], np.float32)
    step = max(1, SLAB_VOXELS // max(1, int(np.prod(logits.shape[2:]))))
    for start in range(0, logits.shape[1], step):
        slab = torch.from_numpy(np.ascontiguousarray(logits[:, start : start + step])).float()
        found[start : start + step] = _of_slab(slab, kind, activation).clamp(min=0).numpy()
    return found


def disagreement(mean: NDArray[np.float32], entropy_of_each: NDArray[np.float32]) -> NDArray[np.float32]:
    """Measure by how much several answers disagree: what they know, but differ in (mutual information).

    Each answer may be unsure by itself; that is taken off (Houlsby et al., 2011; Gal et al., ICML 2017).

    Args:
        mean: (x, y, z) bit, entropy of the averaged probabilities.
        entropy_of_each: (x, y, z) bit, mean entropy of the answers.

    Returns:
        (x, y, z) bit; 0 where all answers are the same.
    """
    found: NDArray[np.float32] = np.maximum(mean - entropy_of_each, 0, dtype=np.float32)
    return found


def highest_possible(kind: Literal["entropy", "least_confidence", "disagreement"], classes: int) -> float:
    """Give the largest value of a map over mutually exclusive classes: all of them equally likely."""
    return 1 - 1 / classes if kind == "least_confidence" else float(np.log2(classes))


def _of_slab(slab: torch.Tensor, kind: str, activation: str) -> torch.Tensor:
    if activation == "sigmoid":
        shares = slab.sigmoid()
        if kind == "least_confidence":
            return torch.minimum(shares, 1 - shares).amax(0)
        nats: torch.Tensor = torch.special.xlogy(shares, shares) + torch.special.xlogy(1 - shares, 1 - shares)
        return (-nats / _LN2).amax(0)
    if kind == "least_confidence":
        return 1 - slab.softmax(0).amax(0)
    logs = slab.log_softmax(0)
    entropy: torch.Tensor = -(logs.exp() * logs).sum(0) / _LN2
    return entropy
