"""How fast networks were on this machine: what the newest cases took, or one window tried now.

A file in the user's cache folder remembers, per network and device, of the newest cases
how many voxels went through it in how many seconds. It holds no case and no path.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import platformdirs
from pydantic import TypeAdapter, ValidationError
from scipy.optimize import nnls

from diascope.bundles.find import BundleInfo
from diascope.errors import OutputError
from diascope.io.outfolder import write_atomic

# So many cases are remembered. Each counts a fifth less than the next: a machine may have become faster, or busy.
MOST_CASES = 30
_AGEING = 0.8

# How far a guess may be off, as factors, up to so many known cases. Chosen on two recorded batches of 22 patients, on
# a machine whose other work came and went: 19 of 20 cases took what was told before them (tests/run/planning).
_LEAST_SPREAD = ((1, 2.0), (14, 1.75), (MOST_CASES, 1.4))

# One window leaves out what is done around it: resampling, and above all heatmaps and their checks.
_TRIED_LOW, _TRIED_HIGH, _TRIED_HIGH_EXPLAINED = 0.7, 2.0, 6.0

# Workloads that differ less are one size of case: they do not tell a fixed part from one that grows.
_SAME_SIZE = 1.3


@dataclass(frozen=True, slots=True)
class Timing:
    """What one case took.

    Attributes:
        seconds: Of the clock.
        voxels: That went through the network, or of the images around it.
    """

    seconds: float
    voxels: float


@dataclass(frozen=True, slots=True)
class Span:
    """How long something will take, with how sure that is.

    Attributes:
        low: Seconds; less would be a surprise.
        likely: Seconds.
        high: Seconds; more would be a surprise.
    """

    low: float
    likely: float
    high: float

    def __add__(self, other: "Span") -> "Span":
        """Add what comes one after the other. A machine that is slow is slow for both: nothing evens out."""
        return Span(self.low + other.low, self.likely + other.likely, self.high + other.high)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a network is, or the reading and writing around the networks.

    Attributes:
        cases: The newest last; of one window that was tried only that.
        is_tried: Whether one window was tried, since no case is known.
        is_explained: Whether heatmaps belong to what is asked for; a window that was tried has none.
    """

    cases: tuple[Timing, ...]
    is_tried: bool = False
    is_explained: bool = False

    def expect(self, voxels: float) -> Span:
        """Tell how long a case of so many voxels will take.

        A part that every case takes and one that grows with the voxels are told apart where the
        known cases differ in size; else a case of another size lies between the two.
        """
        if self.is_tried:
            likely = self.cases[-1].seconds / self.cases[-1].voxels * voxels
            most = _TRIED_HIGH_EXPLAINED if self.is_explained else _TRIED_HIGH
            return Span(_TRIED_LOW * likely, likely, most * likely)
        shape = self._by_size(voxels)
        ratios = [one.seconds / max(self._by_size(one.voxels).likely, 1e-9) for one in self.cases]
        spread = next(factor for most, factor in _LEAST_SPREAD if len(self.cases) <= most)
        return Span(min(*ratios, 1 / spread) * shape.low, shape.likely, max(*ratios, spread) * shape.high)

    def _by_size(self, voxels: float) -> Span:
        """Tell from the size alone, as if every case of a size took the same."""
        known = np.array([one.voxels for one in self.cases])
        seconds = np.array([one.seconds for one in self.cases])
        weights = _AGEING ** np.arange(len(self.cases) - 1, -1, -1)
        if known.max() <= _SAME_SIZE * known.min():
            usual, times = float(np.average(seconds, weights=weights)), voxels / float(known.mean())
            return Span(usual * min(1.0, times), usual * sqrt(times), usual * max(1.0, times))
        # Relative errors count, so that one large case does not outweigh many small ones.
        scale = np.sqrt(weights) / np.maximum(seconds, 1e-9)
        sides = np.stack([scale, scale * known / known.max()], axis=1)
        fixed, per_largest = nnls(sides, scale * seconds)[0]
        likely = float(fixed + per_largest * voxels / known.max())
        return Span(likely, likely, likely)


Speeds = Mapping[str, Speed]

_TIMINGS: TypeAdapter[dict[str, tuple[Timing, ...]]] = TypeAdapter(dict[str, tuple[Timing, ...]])


def speeds_file() -> Path:
    """Give the file in which a user's machine remembers."""
    return platformdirs.user_cache_path("diascope") / "speeds.json"


def read_speeds(file: Path) -> dict[str, Speed]:
    """Read what is remembered; nothing where there is nothing that can be read."""
    try:
        return {name: Speed(cases) for name, cases in _TIMINGS.validate_json(file.read_bytes()).items() if cases}
    except (OSError, ValidationError):
        return {}


def remember(file: Path, found: Mapping[str, Iterable[Timing]]) -> None:
    """Add what new cases took, and forget the oldest; where that cannot be, nobody is troubled."""
    kept = {name: speed.cases for name, speed in read_speeds(file).items()}
    kept |= {name: (*kept.get(name, ()), *cases)[-MOST_CASES:] for name, cases in found.items()}
    text = json.dumps({name: [asdict(one) for one in cases] for name, cases in sorted(kept.items())}, indent=1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, text)
    except (OSError, OutputError):
        return


def network_name(bundle: BundleInfo, device: str, *, is_explained: bool) -> str:
    """Name a network on a device, with heatmaps or without.

    Args:
        bundle: The network, verified.
        device: As `Device.description` has it.
        is_explained: Whether heatmaps are made beside it, which take longer than it.
    """
    return f"{bundle.name} {bundle.sha256[:12]} on {device}{', explained' if is_explained else ''}"


def around_name(device: str) -> str:
    """Name the reading, measuring and writing around the networks."""
    return f"files on {device}"
