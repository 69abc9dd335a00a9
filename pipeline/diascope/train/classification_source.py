"""Slices and the class each shows, for networks that classify; how such a training is watched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import Inferer
from monai.transforms import Compose
from numpy.typing import NDArray
from torch import Tensor

from diascope.errors import InputError
from diascope.evaluation.curves import delong
from diascope.train.learner import Training
from diascope.train.manifest import ManifestCase
from diascope.train.seen import seeing_evaluator
from diascope.train.settings import TrainConfig
from diascope.train.source_settings import ClassSettings, class_of
from diascope.train.sources import Sample, altered, thinned, turn
from diascope.train.validation import Watch
from diascope.train.volumes import prepare_image, prepare_volumes


@dataclass(frozen=True, slots=True, eq=False)
class ClassedVolume:
    """A case whose slices each show a class.

    Attributes:
        case: Name of the case.
        image: (channels, i, j, k) float32, after the bundle's preprocessing.
        classes: (k,) number of the label that a slice shows; 0 for none.
    """

    case: str
    image: Tensor
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassSource:
    """Slices in turn by case, so that long scans do not dominate; classes as often as the settings say."""

    volumes: Sequence[ClassedVolume]
    settings: ClassSettings
    augmentation: Compose
    seed: int

    def draw(self, number: int) -> Sample:
        """Pick a slice of the wanted kind, of the case whose turn it is among those that have one."""
        rng = np.random.default_rng((self.seed, number))
        wants_label = bool(rng.random() < self.settings.foreground_fraction)
        fitting = [one for one in self.volumes if ((one.classes > 0) == wants_label).any()] or list(self.volumes)
        volume = fitting[turn(number, len(fitting), self.seed)]
        choice = np.flatnonzero((volume.classes > 0) == wants_label)
        at = int(rng.choice(choice)) if len(choice) else int(rng.integers(len(volume.classes)))
        image = thinned(volume.image[..., at], self.settings.thin_fraction, rng)
        shown = altered(self.augmentation, {"image": image}, int(rng.integers(2**31)))
        return {**shown, "label": torch.tensor([int(volume.classes[at])]), "case": volume.case}


def classed_volumes(
    cases: Sequence[ManifestCase], config: TrainConfig, settings: ClassSettings, preprocessing: Compose
) -> tuple[ClassedVolume, ...]:
    """Read the cases that have a class, and say of each slice which it shows.

    Raises:
        ConfigError: The manifest has no such column, or no case of a class.
        InputError: A case cannot be read.
    """
    if settings.column is None:
        prepared = prepare_volumes(cases, config.bundle.labels, preprocessing)
        return tuple(
            ClassedVolume(one.case, one.image, shown_classes(one.label[0].numpy(), settings.smallest_pixels))
            for one in prepared
        )
    made = []
    for case in cases:
        number = class_of(case, settings)
        if number is not None:
            image = prepare_image(case, preprocessing)
            made.append(ClassedVolume(case.case, image, np.full(image.shape[-1], number, dtype=np.int64)))
    return tuple(made)


def shown_classes(mask: NDArray[np.integer], smallest_pixels: int) -> NDArray[np.int64]:
    """Say which label each slice shows: of several, the one with most pixels.

    Args:
        mask: (i, j, k) label map.
        smallest_pixels: A label with fewer is not shown.

    Returns:
        (k,) numbers of labels, 0 for none.
    """
    counts = np.stack([(mask == value).sum(axis=(0, 1)) for value in range(1, max(int(mask.max()), 1) + 1)])
    best = counts.argmax(axis=0)
    shown = counts[best, np.arange(mask.shape[2])] >= smallest_pixels
    return np.where(shown, best + 1, 0).astype(np.int64)


def check_shown(volumes: Sequence[ClassedVolume], names: Sequence[str]) -> NDArray[np.float64]:
    """Refuse a training in which a class has no example.

    Returns:
        (labels + 1,) fractions of the slices, none of the labels first.

    Raises:
        InputError: The message names every class without an example.
    """
    numbers = np.concatenate([volume.classes for volume in volumes]) if volumes else np.zeros(0, dtype=np.int64)
    counts = np.bincount(numbers, minlength=len(names) + 1).astype(np.float64)
    absent = [name for name, count in zip(("none of the labels", *names), counts, strict=True) if count == 0]
    if absent:
        raise InputError(
            f"no training slice shows {', '.join(absent)}",
            hint="move a case that does into the split train, or look at source.column and source.classes",
            code="class_without_example",
        )
    return np.asarray(counts / counts.sum())


def whole_samples(volumes: Sequence[ClassedVolume]) -> list[Sample]:
    """Give whole volumes with the classes of their slices, to watch a training on."""
    return [{"image": one.image, "label": torch.from_numpy(one.classes), "case": one.case} for one in volumes]


def watch_classes(training: Training, samples: Sequence[Sample], names: Sequence[str], inferer: Inferer) -> Watch:
    """Watch classes of slices by the area under the ROC curve; every process of a team scores all.

    Args:
        training: What is to be training.
        samples: Whole volumes; the label holds a number per slice.
        names: Names of the labels.
        inferer: Runs the slices of a volume.
    """
    evaluator, seen = seeing_evaluator(training, samples, inferer)

    def measures() -> Mapping[str, float]:
        # (classes, 1, 1, k) each
        logits = torch.cat([one.reshape(one.shape[0], -1) for one in seen.outputs], 1)
        scores = torch.softmax(logits, 0)[1:].double().numpy()
        truth = torch.cat([one.reshape(-1) for one in seen.labels]).numpy()
        code = np.repeat(np.arange(len(seen.labels)), [one.numel() for one in seen.labels])
        found = {
            f"auc_{name}": auc.value if (auc := delong(truth == at, row, code)) is not None else float("nan")
            for at, (name, row) in enumerate(zip(names, scores, strict=True), start=1)
        }
        return {"auc": float(np.nanmean(list(found.values()))), **found}

    return Watch(evaluator, measures, "auc")
