"""Which answers of a network are explained: what the config or the bundle names, or what a classifier chose."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diascope.bundles.find import BundleInfo
from diascope.errors import BundleError, ConfigError
from diascope.explain.methods import METHODS
from diascope.explain.request import ExplainRequest, near_names
from diascope.explain.settings import ExplainSettings
from diascope.tasks.classify import probabilities
from diascope.tasks.detect import lesions_of

# Of a box, the gradients place by place are what ODAM uses; their mean over the level would mix all boxes.
DEFAULT_METHODS = {"classify": "grad_cam", "segment": "grad_cam", "detect": "hires_cam"}


def check_targets(settings: ExplainSettings, bundles: Iterable[BundleInfo]) -> None:
    """Refuse what nobody can explain before anything is run: of the config, and of the bundles' own wishes.

    Raises:
        ConfigError: With the names that are near.
        BundleError: A bundle names a label it does not draw, or a method that there is not.
    """
    several = tuple(bundles)
    known = [label.name for bundle in several for label in bundle.labels]
    for name in settings.targets:
        if name not in known:
            raise ConfigError(
                f"no network of this run has a target {name}", hint=near_names(name, known), code="unknown_target"
            )
    for bundle in several:
        wish, labels = bundle.block.explain, [label.name for label in bundle.labels]
        for name in wish.targets:
            if name not in labels:
                reason = f"bundle {bundle.name} wants {name} explained, which it does not draw"
                raise BundleError(reason, hint=near_names(name, labels))
        if wish.method is not None and wish.method not in METHODS:
            raise BundleError(
                f"bundle {bundle.name} wants the attribution method {wish.method}, which there is not",
                hint=near_names(wish.method, METHODS),
            )


def is_explained(settings: ExplainSettings, bundle: BundleInfo) -> bool:
    """Say whether a network's answers are explained: a class and a finding always, of a segmentation what is named.

    A map of every structure of an anatomy would say where the structure lies, which the
    segmentation says better.
    """
    return bundle.block.task != "segment" or bool(named_targets(settings, bundle))


def named_targets(settings: ExplainSettings, bundle: BundleInfo) -> tuple[str, ...]:
    """List a network's labels that the config names; where it names none of them, those that the bundle does."""
    own = [label.name for label in bundle.labels]
    return tuple(name for name in settings.targets if name in own) or bundle.block.explain.targets


def requests_for(
    settings: ExplainSettings, bundle: BundleInfo, logits: NDArray[np.float32]
) -> tuple[ExplainRequest, ...]:
    """List what is to be explained of one network's output.

    A label that was named but not drawn is left out: there is nothing to explain; so is a
    class that the network does not see, unless it is named. A bundle may name its own
    method, layer and labels (`explain` in its metadata); the config wins.

    Args:
        settings: Of the run.
        bundle: The network.
        logits: Its output on its input grid: (classes, x, y, z) of a segmentation,
            (classes, ...) of a classifier with a place per slice, (6, boxes, 1, z) of a detector.
    """
    makers = {"segment": _of_labels, "classify": _of_classes, "detect": _of_findings}
    return tuple(makers[bundle.block.task](settings, bundle, logits))


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
    wanted = named_targets(settings, bundle)
    for label in bundle.labels:
        region = drawn == label.value
        if label.name in wanted and region.any():
            if settings.part == "largest":
                region = largest_component(region)
            yield ExplainRequest(
                "segment", label.value, label.name, method, region=region, layer=layer, budget=settings.budget
            )


def _of_classes(settings: ExplainSettings, bundle: BundleInfo, logits: NDArray[np.float32]) -> Iterator[ExplainRequest]:
    # An image shows a class as much as its highest slice does: that slice is explained.
    slices = logits.reshape(len(logits), -1)
    scores = probabilities(slices, bundle.block.activation)
    # Without a channel for "none of them" the labels count from 1, the channels from 0.
    shift = 1 if bundle.block.activation == "sigmoid" else 0
    method, layer = _how(settings, bundle)
    wanted = named_targets(settings, bundle)
    top = int(scores.max(axis=1).argmax())
    place = int(scores[top].argmax())
    is_seen = slices[top + 1 - shift, place] > (0 if shift else slices[0, place])
    for row, label in enumerate(bundle.labels):
        if label.name in wanted or (not wanted and is_seen and row == top):
            yield ExplainRequest(
                "classify",
                label.value - shift,
                label.name,
                method,
                slice_at=int(scores[row].argmax()),
                layer=layer,
                budget=settings.budget,
            )


def _of_findings(
    settings: ExplainSettings, bundle: BundleInfo, logits: NDArray[np.float32]
) -> Iterator[ExplainRequest]:
    # A finding is explained where its score comes from: in its highest slice.
    names = {label.value: label.name for label in bundle.labels}
    method, layer = _how(settings, bundle)
    wanted = named_targets(settings, bundle) or tuple(names.values())
    lesions = [one for one in lesions_of(logits, bundle).items() if names[one[1][0].label] in wanted]
    for finding_id, lesion in lesions[: settings.findings]:
        box = max(lesion, key=lambda one: one.score)
        yield ExplainRequest(
            "detect",
            box.label - 1,
            names[box.label],
            method,
            box=(box.low_ij, box.high_ij),
            slice_at=box.slice_at,
            finding_id=finding_id,
            layer=layer,
            budget=settings.budget,
        )


def _how(settings: ExplainSettings, bundle: BundleInfo) -> tuple[str, str | None]:
    wish = bundle.block.explain
    preferred = wish.method or DEFAULT_METHODS[bundle.block.task]
    method = settings.method or preferred
    # A layer that suits the bundle's method need not suit another one.
    return method, settings.layer or (wish.layer if method == preferred else None)
