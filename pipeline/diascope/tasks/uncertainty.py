"""How sure is a network? Asking it more than once, and reading its confidence off its own numbers.

An ensemble, test-time augmentation and Monte Carlo dropout are one thing here: several
answers of the same shape, whose probabilities are averaged (Lakshminarayanan et al., NIPS
2017; Wang et al., Neurocomputing 2019; Gal and Ghahramani, ICML 2016). Where they
disagree the average is unsure, so everything after it is unsure there too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from diascope.bundles.network import NetworkInput, OpenNetwork
from diascope.errors import ConfigError
from diascope.findings import PROBABILITY_STEPS
from diascope.geometry import Space, affine_of
from diascope.imaging.resample import GridOfLogits, values_on_grid
from diascope.tasks.features import watched
from diascope.tasks.inference import Precision, run_network
from diascope.tasks.uncertainty_map import unsure_voxels
from diascope.tasks.uncertainty_settings import UncertaintySettings

Logits = NDArray[np.float32]
Activation = Literal["softmax", "sigmoid"]

# A probability of 0 has no logit; float32 tells no smaller one from it.
LEAST = 1e-7

# Rows of voxels whose probabilities are held at once: with 33 classes in float32 130 MB.
SLAB_VOXELS = 1_000_000

_AXES = {"i": 1, "j": 2, "k": 3}

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True, slots=True, eq=False)
class Averaged:
    """What networks said of one image, together.

    Attributes:
        logits: (classes, ...) of the averaged probabilities; of a single answer its own.
        members: How many answers were averaged.
        agreement: By class index above 0, the mean Dice of each answer's voxels with the
            averaged ones; empty for a single answer, and where there are no voxels.
        features: (d,) of the first plain answer; None where the network has no map.
        layer: Name of the layer they come from.
        entropy_of_each: (...) bit, the mean entropy of the answers at each voxel; None where it was not asked for.
    """

    logits: Logits
    members: int = 1
    agreement: Mapping[int, float] = field(default_factory=dict)
    features: Logits | None = None
    layer: str = ""
    entropy_of_each: Logits | None = None


def ask(
    networks: Sequence[OpenNetwork],
    prepared: NetworkInput,
    settings: UncertaintySettings,
    precision: Precision = "auto",
    activation: Activation = "softmax",
) -> Averaged:
    """Ask one or several networks about an image, as often as the settings say.

    Args:
        networks: The members of an ensemble, or one network; all take the same input.
        prepared: The image.
        settings: Mirrors and dropout.
        precision: Of the networks.
        activation: What turns their numbers into probabilities.

    Raises:
        ConfigError: Dropout was asked of a network that has none.
    """
    with watched(networks[0].network) as watch:
        first = run_network(networks[0], prepared, precision)
    features = watch.vector() if watch.windows else None
    if len(networks) == 1 and not settings.asks_again:
        return Averaged(first, features=features, layer=watch.layer)
    total, winners, members = np.zeros_like(first), [], 0
    is_compared = settings.map == "disagreement" and first.ndim == 4
    entropies: Logits | None = np.zeros(first.shape[1:], np.float32) if is_compared else None
    for logits in chain([first], _further(networks, prepared, settings, precision)):
        total += probabilities(logits, activation)
        if activation == "softmax":
            winners.append(logits.argmax(axis=0).astype(np.uint8))
        if entropies is not None:
            entropies += unsure_voxels(logits, "entropy", activation)
        members += 1
    mean = np.clip(total / np.float32(members), LEAST, 1 - LEAST)
    together: Logits = np.log(mean) if activation == "softmax" else np.log(mean / (1 - mean))
    each = None if entropies is None else entropies / np.float32(members)
    return Averaged(together, members, _agreement(winners, together), features, watch.layer, each)


def probabilities(logits: Logits, activation: Activation = "softmax") -> Logits:
    """Turn logits into probabilities.

    Args:
        logits: (classes, ...).
        activation: With `softmax` they add up to 1 over the classes.
    """
    seen = torch.from_numpy(logits)
    shares: Logits = (seen.softmax(0) if activation == "softmax" else seen.sigmoid()).numpy()
    return shares


def segmentation_confidence(logits: Logits, *, is_empty: bool = False) -> float:
    """Say which Dice the network itself expects of what it drew.

    With p its probability of a label at each voxel, and the label drawn at the voxels D,
    the expected Dice is close to 2 sum(p in D) / (|D| + sum(p)); averaged over the labels
    that were drawn. Where nothing was drawn it is the probability that the likeliest
    voxel is background. It is the network's own word, not calibrated.

    Args:
        logits: (classes, x, y, z), class 0 is background.
        is_empty: Nothing is left of it on the source's voxels, so that is what the network said: nothing is
            there. A speck between two voxels of the source must not be what the confidence is about.

    Returns:
        0..1.
    """
    classes = len(logits)
    drawn, shared, expected = np.zeros(classes), np.zeros(classes), np.zeros(classes)
    surest = 0.0
    for slab in _slabs(logits):
        shares = slab.softmax(0)
        best, winner = shares.max(0)
        drawn += torch.bincount(winner.flatten(), minlength=classes).numpy()
        shared += torch.bincount(winner.flatten(), best.flatten().double(), minlength=classes).numpy()
        expected += shares.flatten(1).sum(1, dtype=torch.float64).numpy()
        surest = max(surest, float((1 - shares[0]).max()))
    there = drawn[1:] > 0
    if is_empty or not there.any():
        return 1.0 - surest
    dice = 2 * shared[1:][there] / (drawn[1:][there] + expected[1:][there])
    return float(np.clip(dice.mean(), 0.0, 1.0))


def classification_confidence(scores: Sequence[float], *, exclusive: bool) -> float | None:
    """Say how sure the least sure call is.

    Args:
        scores: 0..1, one per class.
        exclusive: The classes exclude each other: the winner's score counts. Else each
            class is a call of its own, there or not.

    Returns:
        0..1; None without scores.
    """
    if not scores:
        return None
    return max(scores) if exclusive else min(max(score, 1 - score) for score in scores)


def detection_confidence(candidates: Sequence[float]) -> float | None:
    """Say how sure the least sure mark is, shown or not.

    Args:
        candidates: 0..1, every mark after the removal of doubles, also those below the
            threshold; a network that keeps none has nothing to say.

    Returns:
        0..1; None without marks.
    """
    return classification_confidence(candidates, exclusive=False)


def favour(seen: GridOfLogits, label: int, threshold: float) -> GridOfLogits:
    """Change logits so that a label wins wherever its probability reaches a threshold.

    The winner is taken later, between voxels too, so the logit is moved and not the mask:
    by the distance of the threshold from where the label would win anyway.

    Args:
        seen: (classes, x, y, z) logits.
        label: Index of the class.
        threshold: 0..1.
    """
    limit = float(np.clip(threshold, LEAST, 1 - LEAST))
    others = np.delete(seen.logits, label, axis=0)
    moved = seen.logits.copy()
    moved[label] = others.max(axis=0) + _margin(seen.logits, label) - np.float32(np.log(limit / (1 - limit)))
    return replace(seen, logits=moved)


def lesion_probabilities(
    seen: GridOfLogits, label: int, lesion: NDArray[np.bool_], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Read off the probability of a label at every voxel of a true lesion.

    Args:
        seen: (classes, x, y, z) logits on the network's grid.
        label: Index of the class.
        lesion: (i, j, k) on the image's own voxels.
        affine: (4, 4) of the image, to the frame it shares with `seen`.

    Returns:
        (n,) 0..1 of the lesion's voxels; 0 outside the network's grid.
    """
    to_network = np.linalg.inv(seen.affine) @ affine
    at = np.argwhere(lesion) @ to_network[:3, :3].T + to_network[:3, 3]
    sizes = np.array(seen.logits.shape[1:])
    margin = ndimage.map_coordinates(_margin(seen.logits, label), at.T, order=1, mode="nearest", output=np.float64)
    inside = ((at >= -0.5) & (at <= sizes - 0.5)).all(axis=1)
    return np.where(inside, 1 / (1 + np.exp(-margin)), 0.0)


def kept_probabilities(seen: GridOfLogits, label: int, space: Space) -> NDArray[np.uint8]:
    """Give the probability of a label at every voxel of the source, to be kept beside its label map.

    Args:
        seen: (classes, x, y, z) logits on the network's grid.
        label: Index of the class.
        space: Of the source image.

    Returns:
        (i, j, k) in two-hundredths, rounded down; 0 outside the network's grid.
    """
    found = np.zeros(space.shape, dtype=np.uint8)
    for slab, margin in values_on_grid(
        _margin(seen.logits, label), seen.affine, space.shape, affine_of(space), outside=-np.inf
    ):
        found[slab] = np.floor(PROBABILITY_STEPS / (1 + np.exp(-margin.astype(np.float64))))
    return found


def _further(
    networks: Sequence[OpenNetwork], prepared: NetworkInput, settings: UncertaintySettings, precision: Precision
) -> Iterator[Logits]:
    # All answers but the first network's plain one.
    for at, opened in enumerate(networks):
        if at:
            yield run_network(opened, prepared, precision)
        for axis in settings.mirrors:
            mirrored = replace(prepared, data=np.ascontiguousarray(np.flip(prepared.data, _AXES[axis])))
            yield np.ascontiguousarray(np.flip(run_network(opened, mirrored, precision), _AXES[axis]))
        if settings.dropout_draws:
            yield from _dropped(opened, prepared, settings, lambda o, p: run_network(o, p, precision))


def _dropped(
    opened: OpenNetwork,
    prepared: NetworkInput,
    settings: UncertaintySettings,
    run: Callable[[OpenNetwork, NetworkInput], Logits],
) -> Iterator[Logits]:
    devices = [opened.device] if opened.device.type == "cuda" else []
    for draw in range(settings.dropout_draws):
        with _dropping(opened.network), torch.random.fork_rng(devices):
            torch.manual_seed(settings.seed * 1000 + draw)
            logits = run(opened, prepared)
        yield logits


@contextmanager
def _dropping(network: nn.Module) -> Iterator[None]:
    layers = [layer for layer in network.modules() if isinstance(layer, _DROPOUTS) and layer.p > 0]
    if not layers:
        raise ConfigError(
            "the network has no dropout layer, so every draw would be the same",
            hint="leave uncertainty.dropout_draws out; use mirrors or an ensemble",
            code="unfit_uncertainty",
        )
    try:
        for layer in layers:
            layer.train()
        yield
    finally:
        for layer in layers:
            layer.eval()


def _agreement(winners: Sequence[NDArray[np.uint8]], mean: Logits) -> dict[int, float]:
    if mean.ndim == 1 or not winners:
        return {}
    together = mean.argmax(axis=0)
    found = {}
    for label in range(1, len(mean)):
        here = together == label
        size = int(np.count_nonzero(here))
        each = [(int(np.count_nonzero(one == label)), int(np.count_nonzero(here & (one == label)))) for one in winners]
        if any(size + drawn for drawn, _ in each):
            found[label] = float(
                np.mean([2 * shared / (size + drawn) if size + drawn else 1.0 for drawn, shared in each])
            )
    return found


def _margin(logits: Logits, label: int) -> Logits:
    # The logit of the label's probability: its own number less that of all others together.
    others = torch.from_numpy(np.delete(logits, label, axis=0)).logsumexp(0).numpy()
    margin: Logits = logits[label] - others
    return margin


def _slabs(logits: Logits) -> Iterator[torch.Tensor]:
    step = max(1, SLAB_VOXELS // max(1, int(np.prod(logits.shape[2:]))))
    for start in range(0, logits.shape[1], step):
        yield torch.from_numpy(np.ascontiguousarray(logits[:, start : start + step]))
