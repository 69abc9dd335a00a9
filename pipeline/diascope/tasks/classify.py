"""Which class does an image, or a slice of it, show?"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from diascope.bundles.find import BundleInfo
from diascope.findings import Prediction
from diascope.geometry import Space, affine_of
from diascope.imaging.resample import GridOfLogits

# A slice of the network is a slice of the source if their axes are parallel and their steps the same.
SAME_SLICE = 1e-3


def classify(seen: GridOfLogits, space: Space, bundle: BundleInfo, image_id: str) -> tuple[Prediction, ...]:
    """Take a network's output to predictions: of the image, and of each of its slices.

    An image's score is that of its highest slice: one lesion is enough.

    Args:
        seen: (classes, 1, 1, slices) logits on the network's grid. With softmax, class 0 shows
            none of the labels; with sigmoid there is a class per label and no other.
        space: Of the source image.
        bundle: Names the classes.
        image_id: Of the image.

    Returns:
        Per label: the image's prediction, then those of its slices in the source's order.
        Slices that are none of the source's (the network looks across them) have none.
    """
    scores = probabilities(seen.logits[:, 0, 0], bundle.block.activation)
    slices = source_slices(seen, space)
    found: list[Prediction] = []
    for label, row in zip(bundle.labels, scores, strict=True):
        found.append(Prediction(bundle.name, image_id, label.name, float(row.max())))
        if len(row) > 1 and slices is not None:
            of_slice = sorted((k, float(score)) for k, score in zip(slices, row, strict=True) if k is not None)
            found += [Prediction(bundle.name, image_id, label.name, score, slice_k=k) for k, score in of_slice]
    return tuple(found)


def probabilities(logits: NDArray[np.float32], activation: str) -> NDArray[np.float64]:
    """Turn logits into the labels' scores.

    Args:
        logits: (classes, n).
        activation: softmax (class 0 is none of the labels) or sigmoid (a class per label).

    Returns:
        (labels, n) in 0..1.
    """
    numbers = logits.astype(np.float64)
    if activation == "sigmoid":
        return np.asarray(expit(numbers))
    raised = np.exp(numbers - numbers.max(axis=0))
    return np.asarray(raised[1:] / raised.sum(axis=0))


def source_slices(seen: GridOfLogits, space: Space) -> tuple[int | None, ...] | None:
    """Find the slice k of the source that each slice of the network's grid is.

    Returns:
        Per slice its k, None outside the source; None where the network's slices are none of the source's.
    """
    to_source = np.linalg.inv(affine_of(space)) @ seen.affine
    step = to_source[:3, 2]
    in_plane = np.abs(to_source[2, :2]).max()
    if abs(abs(step[2]) - 1) > SAME_SLICE or np.abs(step[:2]).max() > SAME_SLICE or in_plane > SAME_SLICE:
        return None
    first = to_source[2, 3]
    at = np.rint(first + step[2] * np.arange(seen.logits.shape[-1])).astype(int)
    return tuple(_inside(at.tolist(), space.shape[2]))


def _inside(at: list[int], slices: int) -> Iterator[int | None]:
    for k in at:
        yield k if 0 <= k < slices else None
