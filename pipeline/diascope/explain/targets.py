"""Which answers of a network are explained: what the config names, or what a classifier chose."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diascope.bundles.find import BundleInfo
from diascope.errors import ConfigError
from diascope.explain.request import ExplainRequest, near_names
from diascope.explain.settings import ExplainSettings


def check_targets(settings: ExplainSettings, bundles: Iterable[BundleInfo]) -> None:
    """Refuse a target that no network of the run knows, before anything is run.

    Raises:
        ConfigError: With the names that are near.
    """
    known = [label.name for bundle in bundles for label in bundle.labels]
    for name in settings.targets:
        if name not in known:
            raise ConfigError(
                f"no network of this run has a target {name}", hint=near_names(name, known), code="unknown_target"
            )


def requests_for(
    settings: ExplainSettings, bundle: BundleInfo, logits: NDArray[np.float32]
) -> tuple[ExplainRequest, ...]:
    """List what is to be explained of one network's output, as the config asks.

    A label that was named but not drawn is left out: there is nothing to explain. A
    bundle may name its own method and layer (`explain` in its metadata); the config wins.

    Args:
        settings: Of the run.
        bundle: The network.
        logits: (classes, x, y, z) of a segmentation on the network's input grid, or
            (classes,) of a classifier.
    """
    if bundle.block.task == "segment":
        return tuple(_of_labels(settings, bundle, logits))
    if bundle.block.task == "classify":
        return tuple(_of_classes(settings, bundle, logits.ravel()))
    return ()


def largest_component(drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest connected piece, to explain one lesion.

    Args:
        drawn: (x, y, z).
    """
    parts, count = ndimage.label(drawn)
    if count < 2:
        return drawn
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept: NDArray[np.bool_] = parts == sizes.argmax()
    return kept


def _of_labels(settings: ExplainSettings, bundle: BundleInfo, logits: NDArray[np.float32]) -> Iterator[ExplainRequest]:
    drawn = logits.argmax(axis=0)
    method, layer = _how(settings, bundle)
    for label in bundle.labels:
        region = drawn == label.value
        if label.name in settings.targets and region.any():
            yield ExplainRequest(
                "segment", label.value, label.name, method, region=region, layer=layer, budget=settings.budget
            )


def _of_classes(settings: ExplainSettings, bundle: BundleInfo, logits: NDArray[np.float32]) -> Iterator[ExplainRequest]:
    # Without a channel for "none of them" the labels count from 1, the channels from 0.
    shift = 1 if logits.size == len(bundle.labels) else 0
    method, layer = _how(settings, bundle)
    top = int(logits.argmax()) + shift
    named = [label for label in bundle.labels if label.name in settings.targets]
    for label in named or [label for label in bundle.labels if label.value == top]:
        yield ExplainRequest("classify", label.value - shift, label.name, method, layer=layer, budget=settings.budget)


def _how(settings: ExplainSettings, bundle: BundleInfo) -> tuple[str, str | None]:
    preferred = (bundle.block.model_extra or {}).get("explain", {})
    method = settings.method if "method" in settings.model_fields_set else preferred.get("method", settings.method)
    return str(method), settings.layer or preferred.get("layer")
