"""Whole volumes as training images, for networks that see in three dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose

from diascope.train.sources import PreparedVolume, Sample, turn


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
        self.augmentation.set_random_state(seed=int(rng.integers(2**31)))
        altered: Any = self.augmentation({"image": volume.image, "label": volume.label})
        # Transforms that cut out windows by label give a list of them.
        window = altered[0] if isinstance(altered, list) else altered
        return {
            "image": torch.as_tensor(window["image"]),
            "label": torch.as_tensor(window["label"]),
            "case": volume.case,
        }
