"""Where training images come from: each is made anew from its number in the run.

An image depends on the seed and on its number only, not on the process that
makes it, nor on what was made before. So a resumed training sees what an
uninterrupted one would have seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from monai.data import get_track_meta, set_track_meta
from monai.transforms import Compose
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from diascope.errors import InputError
from diascope.train.label_maps import LabelMap, TissueTable
from diascope.train.settings import SliceSettings, SynthesisSettings
from diascope.train.source_settings import BoxSettings
from diascope.train.synthesis import at_image, draw_contrast, synthesise

Sample = dict[str, Any]


class Source(Protocol):
    """Makes one training image per number."""

    def draw(self, number: int) -> Sample:
        """Make the image of this number: `image`, `label` and `case`."""


class Draws(Dataset[Sample]):
    """The images of a source, as torch's loaders want them."""

    def __init__(self, source: Source) -> None:
        """Keep the source."""
        self.source = source

    def __getitem__(self, number: int) -> Sample:
        """Make one image."""
        return self.source.draw(number)


class CountingSampler(Sampler[int]):
    """Numbers without end, beginning where the training stands."""

    def __init__(self, first: int, step: int = 1) -> None:
        """Begin at `first`; with several processes each takes every so-manyth."""
        self.first = first
        self.step = step

    def __iter__(self) -> Iterator[int]:
        """Count on."""
        number = self.first
        while True:
            yield number
            number += self.step


@dataclass(frozen=True, slots=True, eq=False)
class PreparedVolume:
    """A case as the network sees it.

    Attributes:
        case: Name of the case.
        image: (channels, i, j, k) float32, after the bundle's preprocessing.
        label: (1, i, j, k) uint8 on the same grid.
        affine: (4, 4) voxel to mm of that grid.
    """

    case: str
    image: Tensor
    label: Tensor
    affine: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SynthesisSource:
    """Synthetic images of label maps, each map as often as the others."""

    maps: Sequence[LabelMap]
    table: TissueTable
    settings: SynthesisSettings
    seed: int

    def draw(self, number: int) -> Sample:
        """Synthesise the image of this number."""
        source = self.maps[turn(number, len(self.maps), self.seed)]
        settings = at_image(self.settings, number)
        made = synthesise(source, self.table, settings, np.random.default_rng((self.seed, number)))
        return {"image": made.image, "label": made.label, "case": source.case}


@dataclass(frozen=True, slots=True, eq=False)
class SliceSource:
    """Slices of volumes; patients in turn, so that long scans do not dominate."""

    volumes: Sequence[PreparedVolume]
    settings: SliceSettings | BoxSettings
    augmentation: Compose
    seed: int
    _has_label: tuple[NDArray[np.bool_], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Look once where each volume shows a label."""
        shown = tuple((volume.label > 0).flatten(0, 2).any(0).numpy() for volume in self.volumes)
        object.__setattr__(self, "_has_label", shown)

    def draw(self, number: int) -> Sample:
        """Pick a slice of the patient whose turn it is, and alter it at random."""
        rng = np.random.default_rng((self.seed, number))
        whose = turn(number, len(self.volumes), self.seed)
        volume, has_label = self.volumes[whose], self._has_label[whose]
        wants_label = rng.random() < self.settings.foreground_fraction
        choice = np.flatnonzero(has_label == wants_label)
        at = int(rng.choice(choice)) if len(choice) else int(rng.integers(len(has_label)))
        image = thinned(volume.image[..., at], self.settings.thin_fraction, rng)
        given = {"image": image, "label": volume.label[..., at]}
        return {**altered(self.augmentation, given, int(rng.integers(2**31))), "case": volume.case}


def altered(augmentation: Compose, given: Sample, seed: int) -> Sample:
    """Alter an image at random, its label along with it.

    Args:
        augmentation: MONAI's transforms.
        given: `image`, and `label` where there is one, as plain tensors.
        seed: Of this image.

    Returns:
        Plain tensors under the same keys.
    """
    augmentation.set_random_state(seed=seed)
    # What was done to an image need not be undone here. Noting it costs a third of the time of the transforms
    # on slices, and a tensor that carries notes is slow on its way to the network and through it.
    was_tracked = get_track_meta()
    set_track_meta(False)
    try:
        made: Any = augmentation(given)
    finally:
        set_track_meta(was_tracked)
    # Transforms that cut out windows by label give a list of them.
    window = made[0] if isinstance(made, list) else made
    return {key: torch.as_tensor(window[key]) for key in given}


def thinned(image: Tensor, fraction: float, rng: np.random.Generator) -> Tensor:
    """Draw a slice's neighbours towards it, as in a scan with thin slices; sometimes.

    Args:
        image: (channels, i, j), the slice in the middle of its neighbours.
        fraction: How often.
        rng: Where chance comes from.
    """
    if rng.random() >= fraction:
        return image
    middle = image[image.shape[0] // 2]
    thin: Tensor = middle + float(rng.random()) * (image - middle)
    return thin


def validation_synthesis(
    maps: Sequence[LabelMap], table: TissueTable, settings: SynthesisSettings, count: int
) -> list[Sample]:
    """Make the fixed synthetic images on which a training is watched; always the same ones."""
    made = []
    for number in range(count):
        source = maps[number % len(maps)]
        # No training uses this stream: its first key is no seed that a config can state.
        sample = synthesise(source, table, settings, np.random.default_rng((2**40, number)))
        made.append({"image": sample.image, "label": sample.label, "case": source.case})
    return made


def contrast_images(source: LabelMap, table: TissueTable, settings: SynthesisSettings) -> Iterator[tuple[str, Sample]]:
    """Make one whole-head image per known contrast, on the map's own grid."""
    for number, contrast in enumerate(settings.contrasts):
        made = draw_contrast(source, table, contrast, np.random.default_rng((2**41, number)))
        yield contrast.name, {"image": made.image, "label": made.label, "case": source.case}


def check_classes(frequencies: NDArray[np.float64], names: Sequence[str]) -> None:
    """Refuse a training in which a label has no example.

    Args:
        frequencies: (labels + 1,) fractions, background first.
        names: Names of the labels without background.

    Raises:
        InputError: The message names every label without an example.
    """
    absent = [name for name, fraction in zip(names, frequencies[1:], strict=True) if fraction == 0]
    if absent:
        raise InputError(
            f"no training case shows {', '.join(absent)}",
            hint="move a case that does into the split train, or drop the label from the config",
            code="class_without_example",
        )


def class_weights(frequencies: NDArray[np.float64], kind: str) -> list[float] | None:
    """Weight rare labels up, with a mean of 1; None where all weigh the same.

    Args:
        frequencies: (labels + 1,) fractions, background first.
        kind: One of the config's `class_weights`.
    """
    if kind == "none":
        return None
    weights = 1 / (np.sqrt(frequencies) if kind == "inverse_sqrt_frequency" else frequencies)
    return [float(weight) for weight in weights / weights.mean()]


def turn(number: int, count: int, seed: int) -> int:
    """Say whose turn it is at the image of this number: all `count` once, in random order, then again."""
    round_number, at = divmod(number, count)
    return int(np.random.default_rng((seed, round_number, 1)).permutation(count)[at])


def label_fractions(volumes: Sequence[PreparedVolume], labels: int) -> NDArray[np.float64]:
    """Count how often each label occurs in the volumes.

    Returns:
        (labels + 1,) fractions, background first.
    """
    counts = np.zeros(labels + 1)
    for volume in volumes:
        counts += torch.bincount(volume.label.flatten().long(), minlength=labels + 1).numpy()
    return np.asarray(counts / counts.sum())
