"""Is the network one that works? Its weights, its confidence and its features against its card."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from diascope.bundles.network import WEIGHTS, NetworkInput, OpenNetwork
from diascope.explain.heatmap import windows_at_once, windows_of
from diascope.explain.layers import layer_of
from diascope.explain.request import ExplainRequest
from diascope.explain.subject import subject_of
from diascope.findings import Check


@dataclass(frozen=True, slots=True, eq=False)
class FeatureReference:
    """What a layer gives on images that the network is known to do well on.

    Attributes:
        layer: Its name.
        mean: (c,) of each channel's mean activation.
        deviation: (c,) its standard deviation over the images.
        farthest: The mean distance, in deviations, that 99 % of the images keep within.
    """

    layer: str
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    farthest: float


@dataclass(frozen=True, slots=True, eq=False)
class NetworkReference:
    """What is known of a network that works.

    Attributes:
        weights_sha256: Of its locked weights, see `weights_digest`.
        confidence: Lowest and highest that its card saw on good images.
        features: What its card says of its features.
    """

    weights_sha256: str
    confidence: tuple[float, float] | None = None
    features: FeatureReference | None = None


def locked_reference(bundle_folder: Path) -> NetworkReference:
    """Take the reference of a verified bundle: at least its weights."""
    return NetworkReference(weights_digest(load_file(bundle_folder / WEIGHTS)))


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


def network_checks(
    opened: OpenNetwork, prepared: NetworkInput, request: ExplainRequest, reference: NetworkReference | None
) -> Iterator[Check]:
    """Compare a network with what is known of it."""
    if reference is None:
        yield Check("weights_as_locked", None, None, "the network has no reference to compare it with")
        return
    same = weights_digest(opened.network.state_dict()) == reference.weights_sha256
    yield Check("weights_as_locked", same, None, f"the weights are {'' if same else 'not '}the locked ones")
    if reference.confidence is not None:
        low, high = reference.confidence
        sure = confidence_of(opened, prepared, request)
        is_known = low <= sure <= high
        reason = f"confidence {sure:.2f}, on the card's images {low:.2f} to {high:.2f}"
        yield Check("confidence_in_reference", is_known, sure, reason)
    if reference.features is not None:
        card = reference.features
        off = features_of(opened, prepared, request, card.layer) - card.mean
        distance = float(np.mean(np.abs(off) / np.maximum(card.deviation, 1e-12)))
        reason = f"features {distance:.1f} deviations from the card's, 99 % of its images within {card.farthest:.1f}"
        yield Check("features_in_reference", distance <= card.farthest, distance, reason)


def confidence_of(opened: OpenNetwork, prepared: NetworkInput, request: ExplainRequest) -> float:
    """Give the network's own probability of what is explained: of the class, over the region, or of the box."""
    windows = windows_of(opened, prepared, request)
    at_once = windows_at_once(windows, request.budget.windows_at_once)
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(windows), at_once):
            part = windows.part(slice(start, start + at_once)).on(opened.device)
            if request.task == "detect":
                subject = subject_of(opened.network, request)
                total += float(subject(part.inputs, part.weights).sigmoid().sum())
            else:
                probability = opened.network(part.inputs).softmax(dim=1)[:, request.target]
                total += float((probability * part.weights).sum())
    return total


def features_of(
    opened: OpenNetwork, prepared: NetworkInput, request: ExplainRequest, layer: str
) -> NDArray[np.float64]:
    """Average a layer's channels over the windows that are explained.

    Returns:
        (c,) float64.
    """
    windows = windows_of(opened, prepared, request)
    subject = subject_of(opened.network, request)
    at_once = windows_at_once(windows, request.budget.windows_at_once)
    seen: list[NDArray[np.float64]] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        seen.append(output.double().flatten(2).mean(2).cpu().numpy())

    handle = layer_of(opened.network, layer).register_forward_hook(keep)
    try:
        with torch.inference_mode():
            for start in range(0, len(windows), at_once):
                part = windows.part(slice(start, start + at_once)).on(opened.device)
                subject(part.inputs, part.weights)
    finally:
        handle.remove()
    means: NDArray[np.float64] = np.concatenate(seen).mean(axis=0)
    return means
