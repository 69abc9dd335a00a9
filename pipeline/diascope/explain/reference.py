"""Is the network one that works? Its weights against the locked ones, its answer and features against its card."""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from diascope.bundles.network import WEIGHTS
from diascope.findings import Check

# One usual patient in twenty lies beyond a distance of 1, so that alone refutes nothing;
# twice as far away nobody of the reference was.
UNUSUAL, FOREIGN = 1.0, 2.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How an image stands to those that its network is known to do well on. None where nothing is known.

    Attributes:
        confidence: Of the network about this image, as its card counts it.
        lowest_confidence: That its card saw on good images.
        out_of_distribution: Of the image's features, as in a case report; 1 is the border of what is usual.
    """

    confidence: float | None = None
    lowest_confidence: float | None = None
    out_of_distribution: float | None = None


@functools.lru_cache(maxsize=8)
def locked_weights(bundle_folder: Path, sha256: str) -> str:
    """Hash the weights of a verified bundle, see `weights_digest`.

    Args:
        bundle_folder: Of the bundle.
        sha256: Its digest: another one has other weights.
    """
    del sha256  # part of the cache's key only
    return weights_digest(load_file(bundle_folder / WEIGHTS))


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """Hash weights by name and value as a network uses them, in float32.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu()
        value = value.to(torch.float32) if value.is_floating_point() else value.to(torch.int64)
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def weights_check(network: nn.Module, locked: str | None) -> Check:
    """Compare a network's weights, as they are in memory, with the locked ones.

    Args:
        network: Any.
        locked: Their digest, see `weights_digest`; None where there is none.
    """
    if locked is None:
        return Check("weights_as_locked", None, None, "the network has no locked weights to compare it with")
    same = weights_digest(network.state_dict()) == locked
    return Check("weights_as_locked", same, None, f"the weights are {'' if same else 'not '}the locked ones")


def standing_checks(standing: Standing) -> Iterator[Check]:
    """Compare an answer and the features behind it with the network's card; what is not known is not asked."""
    sure, lowest = standing.confidence, standing.lowest_confidence
    if sure is not None and lowest is not None:
        reason = f"confidence {sure:.2f}, on the card's images {lowest:.2f} and more"
        yield Check("confidence_in_reference", sure >= lowest, sure, reason)
    if (distance := standing.out_of_distribution) is not None:
        passed = True if distance <= UNUSUAL else None if distance <= FOREIGN else False
        reason = f"features {distance:.2f} from the card's images, where 1 is the border of what is usual"
        yield Check("features_in_reference", passed, distance, reason)
