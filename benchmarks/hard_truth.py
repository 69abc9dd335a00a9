"""What is right of a folder of scans: images known by construction, or a refusal."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from tests.io.dicom_phantoms import (
    Change,
    Phantom,
    save,
    write_series,
)


@dataclass(frozen=True, eq=False)
class Image:
    """An image as it must come out.

    Attributes:
        data: (i, j, k) or (i, j, k, volume).
        affine_ras_mm: (4, 4); None where the files know no place in the patient.
    """

    data: NDArray[np.generic]
    affine_ras_mm: NDArray[np.float64] | None


Truth = list[Image]
"""Empty: nothing may come out."""

Case = Callable[[Path], Truth]


def image(phantom: Phantom, data: NDArray[np.generic] | None = None) -> Image:
    """Take the phantom, or other numbers at its place."""
    return Image(phantom.data if data is None else data, phantom.affine_ras_mm)


def changed(change: Change | None, phantom: Phantom | None = None, modality: str = "MR") -> Case:
    """A series with a change that must not show in the image."""

    def write(folder: Path) -> Truth:
        used = phantom or Phantom()
        write_series(folder, used, change, modality)
        return [image(used)]

    return write


def refused(change: Change) -> Case:
    """A series with a fault that makes it no volume."""

    def write(folder: Path) -> Truth:
        write_series(folder, Phantom(), change)
        return []

    return write


def one_file(make: Callable[[Phantom], Dataset]) -> Case:
    """One file that holds the whole phantom."""

    def write(folder: Path) -> Truth:
        save(make(Phantom()), folder / "file")
        return [image(Phantom())]

    return write
