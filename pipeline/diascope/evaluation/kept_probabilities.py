"""What of a true lesion a network gave too low a probability: read from what a run kept beside its label maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diascope.evaluation.conformal import missed_share
from diascope.findings import PROBABILITY_STEPS, Segmentation
from diascope.io.labels.nifti_map import read_nifti_map
from diascope.volume import Mask

Floats = NDArray[np.float64]

# Below a half: a higher threshold would draw less than the network does.
_BELOW = np.arange(1, PROBABILITY_STEPS // 2).astype(np.float64)

THRESHOLDS: Floats = _BELOW / PROBABILITY_STEPS
"""(99,) from which probability on a voxel might be drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class MissedShares:
    """How much of a true structure would be missed.

    Attributes:
        label: As the network calls it.
        shares: (99,) share of its voxels with a probability below each of `THRESHOLDS`.
    """

    label: str
    shares: Floats


def missed_of(
    folder: Path, drawn: Segmentation, truth: Mask, true_label: str, pairs: Mapping[str, str]
) -> MissedShares | None:
    """Compare kept probabilities with the truth.

    Args:
        folder: Of the case.
        drawn: Says which labels were kept.
        truth: On the voxels of the image.
        true_label: What is looked for.
        pairs: The true label of each predicted one.

    Returns:
        None where nothing was kept, nothing is there, or several labels stand for the true one.
    """
    kept = [(name, file) for name, file in drawn.probabilities if pairs.get(name) == true_label]
    lesion = np.isin(truth.data, [value for value, name in truth.labels.items() if name == true_label])
    if len(kept) != 1 or not lesion.any():
        return None
    ((name, file),) = kept
    kept_at = read_nifti_map(folder / file).data[lesion].astype(np.float64)
    # In whole steps: a threshold of 0.3 is 60 of them, and not 59.99.
    return MissedShares(name, missed_share(kept_at, np.ones(kept_at.shape, dtype=np.bool_), _BELOW))
