"""How fast a network is on this device: one window of zeros, timed."""

import json
import time

import numpy as np

from diascope.bundles.find import METADATA, BundleInfo
from diascope.bundles.network import NetworkInput, open_network
from diascope.tasks.inference import Precision, run_network

# A machine that does other things, too, is slower now and then: the fastest of a few tells what it can.
_TRIES = 3
_LONGEST_S = 10.0


def time_window(bundle: BundleInfo, window_shape: tuple[int, ...], device: str, precision: Precision) -> float:
    """Time one window; the first that a network sees is slower and does not count.

    Args:
        bundle: A verified bundle.
        window_shape: (x, y, z) or (x, y) voxels.
        device: As torch spells it.
        precision: Of the run.

    Returns:
        Seconds.

    Raises:
        BundleError: The network does not build.
        InputError: Its numbers are not finite on an empty window.
    """
    opened = open_network(bundle.folder, bundle.sha256, device)
    shape = window_shape if len(window_shape) == 3 else (*window_shape, 1)
    empty = NetworkInput(np.zeros((_channels(bundle), *shape), dtype=np.float32), np.eye(4))
    run_network(opened, empty, precision)
    seconds: list[float] = []
    while len(seconds) < _TRIES and sum(seconds) < _LONGEST_S:
        started = time.perf_counter()
        run_network(opened, empty, precision)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _channels(bundle: BundleInfo) -> int:
    metadata = json.loads((bundle.folder / METADATA).read_text(encoding="utf-8"))
    inputs = metadata.get("network_data_format", {}).get("inputs", {})
    counts = [one["num_channels"] for one in inputs.values() if isinstance(one, dict) and "num_channels" in one]
    return int(counts[0]) if counts else 1
