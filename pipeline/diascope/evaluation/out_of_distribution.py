"""How far a case lies from what a network was tried on.

A network answers an image of a kind it has never met as readily as any other. Its
features tell: they lie far from those of the images it was calibrated on. The distance
is the mean one to the nearest of the reference images, each feature in units of its own
spread (nearest neighbours need no shape of the cloud: Sun et al., ICML 2022), and it is
given as a multiple of the distance within which 95 % of the reference's own patients lie
when they are left out. So 1 is the border: one usual patient in twenty lies beyond.

It says that an image is unusual, not that the result is wrong; and an image may be
usual and the result wrong all the same.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from scipy.spatial.distance import cdist

from diascope.errors import BundleError, InputError
from diascope.io.outfolder import write_atomic

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FORMAT = "1"

REFERENCE = Path("models") / "reference_features.safetensors"
"""Where a bundle keeps the features of its calibration split."""

# How many of the nearest are averaged: one alone is at the mercy of a double.
NEIGHBOURS = 3

# Below this nothing can be said of what is usual.
FEWEST_PATIENTS = 10

# Share of usual patients that lie within a distance of 1.
WITHIN = 0.95

# A feature that never moved in the reference must not divide by nothing; that it moves now counts.
LEAST_SPREAD = 0.1

# Against a batch nobody says what is usual: an outlier is this many robust deviations away (of the logarithm).
DEVIATIONS = 3.0

_MAD_TO_SD = 1.4826


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceFeatures:
    """Features of images that are usual for a network.

    Attributes:
        features: (n, d) float32, a row per image.
        patient: (n,) int64, whose image it is, 0..patients-1.
        layer: The layer they come from.
    """

    features: NDArray[np.float32]
    patient: Ints
    layer: str

    def __post_init__(self) -> None:
        """Refuse what cannot be compared with."""
        n = len(self.features)
        if self.features.ndim != 2 or self.patient.shape != (n,):
            raise InputError(f"{self.features.shape} features need as many patients, got {self.patient.shape}")
        if not np.isfinite(self.features).all():
            raise InputError("reference features must be finite", code="not_finite")
        if (people := len(np.unique(self.patient))) < FEWEST_PATIENTS:
            raise InputError(
                f"{people} patients are too few to say what is usual, {FEWEST_PATIENTS} are needed",
                hint="make the calibration split larger",
                code="too_few_patients",
            )


def write_reference(path: Path, reference: ReferenceFeatures, split: str = "calibration") -> None:
    """Write a bundle's reference features; nothing in the file says who the patients are.

    Args:
        path: The file.
        reference: The features.
        split: Whose they are, in words: the calibration split, or with it the training's where that is small.
    """
    tensors = {
        "features": np.ascontiguousarray(reference.features, dtype=np.float32),
        "patient": np.ascontiguousarray(reference.patient, dtype=np.int64),
    }
    write_atomic(path, save(tensors, metadata={"format": FORMAT, "layer": reference.layer, "split": split}))


def read_reference(folder: Path) -> ReferenceFeatures | None:
    """Read the reference features of a bundle; None where it has none.

    Args:
        folder: Of the bundle.

    Raises:
        BundleError: The file is there and cannot be used.
    """
    path = folder / REFERENCE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            layer = (file.metadata() or {})["layer"]
            return ReferenceFeatures(file.get_tensor("features"), file.get_tensor("patient"), layer)
    except (OSError, SafetensorError, KeyError, InputError) as error:
        raise BundleError(
            f"bundle {folder.name}: {REFERENCE.name} cannot be used: {error}",
            hint="make it again with diascope train, or remove it and lock the bundle anew",
        ) from None


class Yardstick:
    """A reference made ready to measure against."""

    def __init__(self, reference: ReferenceFeatures) -> None:
        """Learn how far usual patients lie from each other."""
        self.reference = reference
        x = reference.features.astype(np.float64)
        self._mean, self._spread = x.mean(axis=0), _floored(x.std(axis=0))
        self._rows = (x - self._mean) / self._spread
        self._limit = _usual_limit(_left_out(self._rows, reference.patient), reference.patient)

    def score(self, features: NDArray[np.float32]) -> float:
        """Say how far features lie from the reference: 1 is the border of what is usual.

        Args:
            features: (d,) of one image.

        Raises:
            InputError: They come from another layer.
        """
        if features.shape != self._mean.shape:
            raise InputError(f"{features.shape[0]} features, the reference has {len(self._mean)}", code="other_layer")
        away = cdist(((features - self._mean) / self._spread)[None], self._rows)
        return float(_nearest(away)[0] / self._limit)


def score_batch(features: Floats, patients: Sequence[Hashable]) -> Floats | None:
    """Score each image of a batch against the other patients of the same batch.

    For a network without a reference. It finds the odd one out, never a batch that is
    odd as a whole.

    Args:
        features: (n, d), a row per image.
        patients: (n,) whose image it is.

    Returns:
        (n,) above 1 is an outlier; None if there are too few patients.
    """
    code = pd.factorize(np.asarray(patients, dtype=object))[0].astype(np.int64)
    if len(np.unique(code)) < FEWEST_PATIENTS:
        return None
    middle = np.median(features, axis=0)
    spread = _floored(_MAD_TO_SD * np.median(np.abs(features - middle), axis=0))
    away = np.log(np.maximum(_left_out((features - middle) / spread, code), 1e-12))
    usual = float(np.median(away))
    robust = _MAD_TO_SD * float(np.median(np.abs(away - usual)))
    # Images that are all but copies have no spread; twice as far away is then far.
    scored: Floats = np.exp(away - usual - max(DEVIATIONS * robust, np.log(2.0)))
    return scored


def _floored(spread: Floats) -> Floats:
    usual = float(np.median(spread[spread > 0])) if (spread > 0).any() else 1.0
    floored: Floats = np.maximum(spread, LEAST_SPREAD * usual)
    return floored


def _left_out(rows: Floats, patient: Ints) -> Floats:
    # (n,) distance of each row to the nearest rows of other patients.
    away = cdist(rows, rows)
    away[patient[:, None] == patient[None, :]] = np.inf
    return _nearest(away)


def _nearest(away: Floats) -> Floats:
    near = min(NEIGHBOURS, away.shape[1])
    nearest: Floats = np.sort(away, axis=1)[:, :near].mean(axis=1)
    return nearest


def _usual_limit(away: Floats, patient: Ints) -> float:
    # One distance per patient: many images of one must not set the border.
    each = np.array([away[patient == one].mean() for one in np.unique(patient)])
    rank = min(int(np.ceil((len(each) + 1) * WITHIN - 1e-9)), len(each))
    return max(float(np.sort(each)[rank - 1]), 1e-12)
