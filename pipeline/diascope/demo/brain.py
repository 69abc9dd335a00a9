"""The one real thing in the demo: the brain of the MNI152 template, which nilearn ships.

It is skull-stripped and the mean of 152 people (Fonov et al. 2009, doi
10.1016/S1053-8119(09)70884-5), so its tissue maps are made crisper here before a
head is put around it.
"""

from dataclasses import dataclass

import numpy as np
from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template
from numpy.typing import NDArray
from scipy import ndimage

# Mean intensity of the tissues in the template's T1, of 1 = its brightest voxel (measured
# where gm or wm is over 0.95, and in the lateral ventricles).
CSF_T1, GREY_T1, WHITE_T1 = 0.27, 0.68, 0.87

# Below this a voxel of the T1 holds fluid too.
SULCUS_T1 = 0.56

# Averaging blurs every cortex into its neighbours; a power of the probabilities
# undoes part of it. Higher ones leave staircases.
CRISPNESS = 2.2


@dataclass(frozen=True, slots=True, eq=False)
class BrainMaps:
    """Fractions of the tissues of the brain.

    Attributes:
        grey: (x, y, z) float32, 0..1, RAS order, 1 mm.
        white: (x, y, z) as grey.
        csf: (x, y, z) as grey; the three sum to 1 inside the brain and to 0 outside.
        texture: (x, y, z) float32, the T1 over what the fractions alone would give:
            nuclei, brainstem, vessels. About 1.
        first_ras_mm: Place of voxel (0, 0, 0).
    """

    grey: NDArray[np.float32]
    white: NDArray[np.float32]
    csf: NDArray[np.float32]
    texture: NDArray[np.float32]
    first_ras_mm: tuple[int, int, int]


def load_brain() -> BrainMaps:
    """Load the template from the installed nilearn; no network is used."""
    image = load_mni152_template(resolution=1)
    t1 = _unit(image.get_fdata(dtype=np.float32))
    grey = _unit(load_mni152_gm_template(resolution=1).get_fdata(dtype=np.float32))
    white = _unit(load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32))
    inside = t1 > 0.05
    t1_in, grey_in, white_in = t1[inside], grey[inside], white[inside]
    # The dark lines of the T1 are sulci and cisterns, also where the maps say grey.
    dark = np.clip((SULCUS_T1 - t1_in) / (SULCUS_T1 - CSF_T1), 0, 1)
    csf_in = np.maximum(1 - grey_in - white_in, dark)
    shares = np.stack([grey_in * (1 - dark), white_in * (1 - dark), csf_in]) ** CRISPNESS
    shares /= np.maximum(shares.sum(axis=0), 1e-6)
    expected = GREY_T1 * shares[0] + WHITE_T1 * shares[1] + CSF_T1 * shares[2]
    texture = np.ones_like(t1)
    texture[inside] = t1_in / np.maximum(expected, 0.1)
    # Only what is smoother than the folds: the rest would be their blurred edges once more.
    texture = np.clip(ndimage.gaussian_filter(texture, 1.5), 0.8, 1.15)
    grey[inside], white[inside] = shares[0], shares[1]
    csf = np.zeros_like(t1)
    csf[inside] = shares[2]
    grey[~inside] = white[~inside] = 0
    x, y, z = (round(float(at)) for at in image.affine[:3, 3])
    return BrainMaps(grey, white, csf, texture, (x, y, z))


def _unit(data: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = data / data.max()
    return scaled
