"""Whole volumes as training images, for networks that see in three dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from monai.transforms import Compose

from diascope.train.sources import PreparedVolume, Sample, altered, turn


@dataclass(frozen=True, slots=True, eq=False)
class VolumeSource:
    """Volumes in turn, each altered at random by the config's augmentation."""

    volumes: Sequence[PreparedVolume]
    augmentation: Compose
    seed: int

    def draw(self, number: int) -> Sample:
        """Take the volume whose turn it is, and alter it at random."""
        rng = np.random.default_rng((self.seed, number))
        volume = self.volumes[turn(number, len(self.volumes), self.seed)]
        given = {"image": volume.image, "label": volume.label}
        return {**altered(self.augmentation, given, int(rng.integers(2**31))), "case": volume.case}
