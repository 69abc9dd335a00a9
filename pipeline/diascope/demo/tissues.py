"""Tissues of a synthetic head, and how bright each is in an MR image.

The numbers are relative signal, 1 = the brightest tissue of the brain, set by eye
beside real T1, T2 and FLAIR images; no scanner's equation is behind them.
"""

from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Contrast = Literal["t1", "t2", "flair"]


class Tissue(IntEnum):
    """What a voxel of the head is made of."""

    AIR = 0
    MUSCLE = 1
    FAT = 2
    SKIN = 3
    BONE = 4
    MARROW = 5
    MUCOSA = 6
    FLUID = 7
    VITREOUS = 8
    LENS = 9
    SCLERA = 10
    NERVE = 11
    VESSEL = 12
    CORD = 13
    BRAIN = 14
    GREY = 15
    WHITE = 16
    CSF = 17
    LESION = 18
    CYST = 19
    GLAND = 20


_SIGNAL: dict[Tissue, tuple[float, float, float]] = {
    # tissue: t1, t2, flair
    Tissue.AIR: (0.0, 0.0, 0.0),
    Tissue.MUSCLE: (0.50, 0.22, 0.52),
    Tissue.FAT: (1.25, 0.95, 1.95),
    Tissue.SKIN: (0.62, 0.50, 1.10),
    Tissue.BONE: (0.10, 0.05, 0.10),
    Tissue.MARROW: (0.85, 0.55, 0.85),
    Tissue.MUCOSA: (0.45, 0.85, 1.15),
    Tissue.FLUID: (0.24, 1.40, 0.20),
    Tissue.VITREOUS: (0.22, 1.45, 0.24),
    Tissue.LENS: (0.45, 0.20, 0.50),
    Tissue.SCLERA: (0.42, 0.25, 0.60),
    Tissue.NERVE: (0.65, 0.55, 0.80),
    Tissue.VESSEL: (0.30, 0.06, 0.12),
    Tissue.CORD: (0.85, 0.50, 0.85),
    Tissue.BRAIN: (0.0, 0.0, 0.0),
    Tissue.GREY: (0.68, 0.66, 0.96),
    Tissue.WHITE: (1.00, 0.47, 0.85),
    Tissue.CSF: (0.25, 1.40, 0.20),
    Tissue.LESION: (0.60, 1.00, 1.36),
    Tissue.CYST: (0.30, 1.35, 0.34),
    Tissue.GLAND: (0.85, 0.55, 1.00),
}

_COLUMN: dict[Contrast, int] = {"t1": 0, "t2": 1, "flair": 2}


def signal_table(contrast: Contrast) -> NDArray[np.float32]:
    """Give the signal of every tissue.

    Returns:
        (tissues,) float32, to be indexed with Tissue.
    """
    return np.array([_SIGNAL[tissue][_COLUMN[contrast]] for tissue in Tissue], dtype=np.float32)
