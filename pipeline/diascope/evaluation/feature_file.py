"""`<bundle>.features.npz` of a case: what its network saw, and how its image looks in numbers.

For drift, for the score of what lies outside the reference, and for the probe. The same
case gives the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from diascope.errors import InputError

SUFFIX = ".features.npz"

STATISTICS = ("mean", "sd", "p01", "p05", "p25", "p50", "p75", "p95", "p99")
"""Of an image's grey values, in the image's own unit."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """One image as a network saw it.

    Attributes:
        bundle: The network.
        image_id: The image.
        features: (d,) float32, see `diascope.tasks.features`.
        layer: Where they were taken.
        statistics: (s,) float32, in the order of `STATISTICS`.
    """

    bundle: str
    image_id: str
    features: NDArray[np.float32]
    layer: str
    statistics: NDArray[np.float32]


def feature_file(bundle: str) -> str:
    """Name the file of a network below the folder of a case."""
    return f"{bundle}{SUFFIX}"


def write_features(path: Path, rows: Sequence[ImageFeatures]) -> None:
    """Write what one network saw of the images of a case; at least one."""
    np.savez(
        path,
        features=np.stack([row.features for row in rows]),
        image_id=np.array([row.image_id for row in rows]),
        layer=np.array(rows[0].layer),
        statistics=np.stack([row.statistics for row in rows]),
        statistic=np.array(STATISTICS),
    )


def read_features(path: Path) -> tuple[ImageFeatures, ...]:
    """Read what a network saw of the images of a case.

    Raises:
        InputError: The file is none of ours.
    """
    bundle = path.name.removesuffix(SUFFIX)
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = [file[name] for name in ("image_id", "features", "statistics")]
            layer = str(file["layer"])
            return tuple(
                ImageFeatures(bundle, str(image_id), features, layer, statistics)
                for image_id, features, statistics in zip(*columns, strict=True)
            )
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise InputError(
            f"the features of {bundle} cannot be read: {type(error).__name__}",
            hint="run the case again",
            code="bad_features",
        ) from None
