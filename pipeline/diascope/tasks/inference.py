"""One network over one image: windows, precision, and what to do when memory runs out."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from diascope.bundles.network import NetworkInput, OpenNetwork
from diascope.errors import InputError

log = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16", "float16"]

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def run_network(opened: OpenNetwork, prepared: NetworkInput, precision: Precision = "auto") -> NDArray[np.float32]:
    """Run a network over an image, window by window, blended by the bundle's inferer.

    Where a card's memory does not hold the stitched output it is stitched on the
    CPU; where it does not hold a window either, the image is run on the CPU.

    Args:
        opened: The network.
        prepared: The image.
        precision: `auto` is float16 on a card and float32 on the CPU, where
            results stay the same on every machine.

    Returns:
        (classes, x, y, z) float32 logits.

    Raises:
        InputError: The network's numbers are not finite.
    """
    logits = _run_somewhere(opened, prepared, precision)
    if not _is_finite(logits) and opened.device.type == "cuda" and precision == "auto":
        log.warning("float16 does not hold the numbers of the network on this image: it runs again in float32")
        logits = _run_somewhere(opened, prepared, "float32")
    # The largest of numbers that are none is the first, background: nothing found, and nobody told.
    if not _is_finite(logits):
        raise InputError(
            "the network's numbers are not finite (NaN or infinite) on this image",
            hint="look whether the image holds NaN, and write a number in its place; or set precision: float32",
            code="not_finite",
        )
    return logits


def _is_finite(numbers: NDArray[np.float32]) -> bool:
    # numbers: any shape. Both ends are finite only if all is, and no copy is made.
    return bool(np.isfinite(numbers.min()) and np.isfinite(numbers.max()))


def _run_somewhere(opened: OpenNetwork, prepared: NetworkInput, precision: Precision) -> NDArray[np.float32]:
    image = torch.from_numpy(prepared.data)[None]
    try:
        return _run(opened, image, opened.device, precision)
    except torch.cuda.OutOfMemoryError:
        log.warning("out of memory on %s for %s voxels: stitching on the CPU", opened.device, tuple(image.shape[2:]))
    torch.cuda.empty_cache()
    try:
        return _run(opened, image, torch.device("cpu"), precision)
    except torch.cuda.OutOfMemoryError:
        log.warning("a window does not fit on %s: this image runs on the CPU", opened.device)
    torch.cuda.empty_cache()
    network = opened.network.to("cpu")
    try:
        return _run(OpenNetwork(network, opened.inferer, torch.device("cpu")), image, torch.device("cpu"), precision)
    finally:
        opened.network.to(opened.device)


def _run(
    opened: OpenNetwork, image: torch.Tensor, stitch_on: torch.device, precision: Precision
) -> NDArray[np.float32]:
    def windows(window: torch.Tensor) -> torch.Tensor:
        seen: torch.Tensor = opened.network(window.to(opened.device, non_blocking=True))
        return seen.to(stitch_on)

    with torch.inference_mode(), _autocast(opened.device, precision):
        logits = opened.inferer(image.to(stitch_on), windows)
    return logits[0].to("cpu", torch.float32).numpy()


@contextlib.contextmanager
def _autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    if precision == "auto":
        precision = "float16" if device.type == "cuda" else "float32"
    if precision == "float32":
        yield
        return
    with torch.autocast(device.type, dtype=_AUTOCAST[precision]):
        yield
