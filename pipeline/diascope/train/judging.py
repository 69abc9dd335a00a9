"""What judging a bundle's results needs, learnt on the calibration split and kept in the bundle.

`configs/calibration.json`: what its scores are worth. `models/reference_features.safetensors`:
what images look like to it that it knows how to handle. Both formats are evaluation's. Where
the split has too few patients for a figure there is none, and the training says so.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo
from diascope.bundles.network import open_network, prepare_input
from diascope.errors import InputError
from diascope.evaluation.calibration_file import (
    CALIBRATION,
    BundleCalibration,
    MissRule,
    TargetCalibration,
    write_calibration,
)
from diascope.evaluation.calibration_learning import (
    learn_confidence,
    learn_missed_volume,
    learn_slices,
    learn_target,
)
from diascope.evaluation.conformal import missed_share
from diascope.evaluation.kept_probabilities import THRESHOLDS
from diascope.evaluation.out_of_distribution import (
    FEWEST_PATIENTS,
    REFERENCE,
    ReferenceFeatures,
    write_reference,
)
from diascope.evaluation.segmentation import dice
from diascope.geometry import affine_of
from diascope.imaging.resample import GridOfLogits
from diascope.io.splits import Split
from diascope.tasks.features import watched
from diascope.tasks.inference import run_network
from diascope.tasks.segment import segment
from diascope.tasks.uncertainty import lesion_probabilities, segmentation_confidence
from diascope.train.answer_kinds import task_of
from diascope.train.scoring import ScoredImage, scored_images
from diascope.train.settings import SynthesisSettings, TrainConfig
from diascope.train.slice_scoring import ClassScore, cases_with_images, digested, score_classes

log = logging.getLogger(__name__)

SEED = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class JudgedImage:
    """What a bundle said of one image of the calibration split.

    Attributes:
        patient: Whose it is.
        confidence: The network's own word for its Dice.
        dice: Over its labels, the mean of those that are there or were drawn.
        missed: (t,) share of each label's voxels below each threshold, by label; only where it is there.
        features: (d,) of its narrowest layer.
        layer: Name of that layer.
    """

    patient: str
    confidence: float
    dice: float
    missed: dict[str, NDArray[np.float64]]
    features: NDArray[np.float32]
    layer: str


@dataclass(frozen=True, slots=True, eq=False)
class SeenImage:
    """What a classifier saw of one image.

    Attributes:
        patient: Whose it is.
        features: (d,) of its narrowest layer.
        layer: Name of that layer.
    """

    patient: str
    features: NDArray[np.float32]
    layer: str


def judge_bundle(config: TrainConfig, folder: Path) -> tuple[str, ...]:
    """Learn on the calibration split what a bundle's results are worth, and write it into the bundle.

    Args:
        config: The training that made it.
        folder: The bundle; what it held of an earlier training is replaced or removed when all is learnt.

    Returns:
        What could not be learnt, and why, a sentence each.
    """
    calibration, reference, missing = _learnt(config, folder)
    # One right after the other: whoever is stopped while learning keeps what the bundle had.
    if calibration is None:
        (folder / CALIBRATION).unlink(missing_ok=True)
    else:
        write_calibration(folder / CALIBRATION, calibration)
    if reference is None:
        (folder / REFERENCE).unlink(missing_ok=True)
    else:
        write_reference(folder / REFERENCE, *reference)
    for sentence in missing:
        log.info("%s", sentence)
    return tuple(missing)


def _learnt(
    config: TrainConfig, folder: Path
) -> tuple[BundleCalibration | None, tuple[ReferenceFeatures, str] | None, list[str]]:
    task = task_of(config)
    if isinstance(config.source, SynthesisSettings):
        why = "nothing is calibrated on synthetic images: on scans it would promise what nobody measured"
        return None, None, [why]
    if task == "detect":
        why = "the scores of findings are not calibrated: a threshold is chosen, and no probability is claimed"
        return None, None, [why]
    images = list(_judged(config, folder)) if task == "segment" else []
    missing: list[str] = []
    values: dict[str, Any] = _segmentation(images, missing) if task == "segment" else _classes(config, folder, missing)
    is_worth_keeping = values.pop("is_worth_keeping")
    calibration = BundleCalibration(split="calibration split", **values) if is_worth_keeping else None
    return calibration, _usual(config, folder, images or list(_seen_by(config, folder)), missing), missing


def _usual(
    config: TrainConfig, folder: Path, images: Sequence[JudgedImage | SeenImage], missing: list[str]
) -> tuple[ReferenceFeatures, str] | None:
    """Give how images look that the network is used to, and whose they are; few held-out patients are joined by others.

    Those are the training's. Their features lie a little closer together than those of images the
    network never saw, so that a usual new image is called unusual more often, never less.
    """
    split = "calibration"
    if len({image.patient for image in images}) < FEWEST_PATIENTS:
        split = "training and calibration"
        further = _judged if task_of(config) == "segment" else _seen_by
        images = [*images, *further(config, folder, "train")]
    reference = _tried(lambda: _reference(images), "reference features", missing)
    return None if reference is None else (reference, split)


def _judged(config: TrainConfig, folder: Path, split: Split = "calibration") -> Iterator[JudgedImage]:
    bundle = digested(folder)
    for image in scored_images(config, split):
        yield _judge(bundle, image, config)


def _seen_by(config: TrainConfig, folder: Path, split: Split = "calibration") -> Iterator[SeenImage]:
    bundle = digested(folder)
    for case, volume in cases_with_images(config, split):
        opened = open_network(bundle.folder, bundle.sha256, config.device)
        with watched(opened.network) as watch:
            run_network(opened, prepare_input(bundle, volume))
        if watch.windows:
            yield SeenImage(case.patient, watch.vector(), watch.layer)


def _judge(bundle: BundleInfo, image: ScoredImage, config: TrainConfig) -> JudgedImage:
    opened = open_network(bundle.folder, bundle.sha256, config.device)
    prepared = prepare_input(bundle, image.volume)
    with watched(opened.network) as watch:
        seen = GridOfLogits(run_network(opened, prepared), prepared.affine)
    drawn = segment(seen, image.volume.space, bundle).data
    names = [label.name for label in config.bundle.labels]
    overlaps = [dice(drawn == value, image.truth == value) for value in range(1, len(names) + 1)]
    known = [overlap for overlap in overlaps if overlap is not None]
    missed = {}
    for value, name in enumerate(names, start=1):
        lesion = image.truth == value
        if lesion.any():
            shares = lesion_probabilities(seen, value, lesion, affine_of(image.volume.space))
            missed[name] = missed_share(shares, np.ones(shares.shape, dtype=np.bool_), THRESHOLDS)
    # Nothing there and nothing drawn is right.
    return JudgedImage(
        patient=image.case.patient,
        confidence=segmentation_confidence(seen.logits, is_empty=not drawn.any()),
        dice=float(np.mean(known)) if known else 1.0,
        missed=missed,
        features=watch.vector(),
        layer=watch.layer,
    )


def _segmentation(images: list[JudgedImage], missing: list[str]) -> dict[str, Any]:
    patients = [image.patient for image in images]
    rng = np.random.default_rng(SEED)
    raw, seen = (np.array([getattr(image, name) for image in images]) for name in ("confidence", "dice"))
    rules: dict[str, MissRule] = {}
    for name in dict.fromkeys(name for image in images for name in image.missed):
        mine = [image for image in images if name in image.missed]
        whose = [image.patient for image in mine]
        rule = learn_missed_volume(np.stack([image.missed[name] for image in mine]), THRESHOLDS, whose, rng)
        rules[name] = rule
        if rule.threshold is None:
            missing.append(f"no threshold holds the missed volume of {name} with {rule.cases} patients")
    curve = _tried(lambda: learn_confidence(raw, seen, patients, rng), "the confidence curve", missing)
    return {
        "patients": len(set(patients)),
        "missed_volume": rules,
        "confidence": curve,
        "is_worth_keeping": curve is not None or any(rule.threshold is not None for rule in rules.values()),
    }


def _classes(config: TrainConfig, folder: Path, missing: list[str]) -> dict[str, Any]:
    scores = score_classes(config, folder, "calibration")
    rng = np.random.default_rng(SEED)
    found: dict[str, dict[str, TargetCalibration]] = {"targets": {}, "slices": {}}
    for name, is_slice in dict.fromkeys((score.target, score.slice_k is not None) for score in scores):
        mine = [score for score in scores if (score.target, score.slice_k is not None) == (name, is_slice)]
        learn = learn_slices if is_slice else learn_target
        what = f"the calibration of {name}{' in slices' if is_slice else ''}"
        learnt = _tried(functools.partial(_target, learn, mine, rng), what, missing)
        if learnt is not None:
            found["slices" if is_slice else "targets"][name] = learnt
    people = len({score.patient for score in scores})
    return {"patients": people, **found, "is_worth_keeping": any(found.values())}


def _target(
    learn: Callable[..., TargetCalibration], scores: Sequence[ClassScore], rng: np.random.Generator
) -> TargetCalibration:
    shown = np.array([score.is_shown for score in scores])
    said = np.array([score.score for score in scores])
    return learn(shown, said, [score.patient for score in scores], rng)


def _reference(images: Sequence[JudgedImage | SeenImage]) -> ReferenceFeatures:
    if not images:
        raise InputError("no image gave any", code="too_few_patients")
    number = {patient: at for at, patient in enumerate(dict.fromkeys(image.patient for image in images))}
    return ReferenceFeatures(
        np.stack([image.features for image in images]),
        np.array([number[image.patient] for image in images], dtype=np.int64),
        images[0].layer,
    )


def _tried(learn: Callable[[], T], what: str, missing: list[str]) -> T | None:
    try:
        return learn()
    except InputError as error:
        missing.append(f"{what}: {error.message}")
        return None
