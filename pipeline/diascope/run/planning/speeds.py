"""How fast networks were on this machine: what earlier runs took, or one window tried now.

A file in the user's cache folder remembers, per network and device, how many voxels
went through it in how many seconds. It holds no case and no path.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
from pydantic import TypeAdapter, ValidationError

from diascope.bundles.find import BundleInfo
from diascope.errors import OutputError
from diascope.io.outfolder import write_atomic

# Beyond so much the past counts less: a machine may have become faster.
MOST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Speed:
    """What a network, or the reading and writing around it, took.

    Attributes:
        seconds: Of the clock.
        voxels: That went through it.
        cases: In how many cases; 0 where one window was tried.
    """

    seconds: float
    voxels: float
    cases: int = 0

    @property
    def seconds_per_voxel(self) -> float:
        """Of the clock."""
        return self.seconds / self.voxels if self.voxels else 0.0

    def __add__(self, other: "Speed") -> "Speed":
        """Count both; where that is much, what was first counts less."""
        part = min(1.0, max(0.0, MOST_SECONDS - other.seconds) / self.seconds) if self.seconds else 1.0
        return Speed(self.seconds * part + other.seconds, self.voxels * part + other.voxels, self.cases + other.cases)


NOTHING = Speed(0.0, 0.0)

Speeds = Mapping[str, Speed]

_SPEEDS: TypeAdapter[dict[str, Speed]] = TypeAdapter(dict[str, Speed])


def speeds_file() -> Path:
    """Give the file in which a user's machine remembers."""
    return platformdirs.user_cache_path("diascope") / "speeds.json"


def read_speeds(file: Path) -> dict[str, Speed]:
    """Read what is remembered; nothing where there is nothing that can be read."""
    try:
        return _SPEEDS.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return {}


def write_speeds(file: Path, speeds: Speeds) -> None:
    """Remember; where that cannot be, nobody is troubled."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps({name: asdict(speed) for name, speed in sorted(speeds.items())}, indent=1))
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
