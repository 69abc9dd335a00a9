"""`diascope train`: a config in, a bundle out."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from diascope.config import parse_settings, settings_hash
from diascope.errors import ConfigError
from diascope.train.bundle_config import built_inferer, inference_config, preprocessing_after_reading
from diascope.train.classification_source import ClassSource, check_shown, classed_volumes, watch_classes, whole_samples
from diascope.train.components import build_augmentation, build_network, build_optimiser
from diascope.train.detection_source import BoxLoss, watch_boxes
from diascope.train.engine import best_weights, run_training
from diascope.train.folds import training_cases
from diascope.train.handlers import EpochCallback
from diascope.train.label_maps import label_frequencies, read_label_map, read_tissue_table
from diascope.train.learner import Training
from diascope.train.losses import Penalised, build_loss
from diascope.train.manifest import ManifestCase, cases_of
from diascope.train.reconstruction import (
    MaskedError,
    MaskedSource,
    check_reconstruction,
    held_out_samples,
    prepare_unlabelled,
    watch_reconstruction,
)
from diascope.train.schedules import build_schedule
from diascope.train.settings import BundleSettings, SliceSettings, SynthesisSettings, TrainConfig
from diascope.train.sides import check_sides
from diascope.train.source_settings import BoxSettings, ClassSettings, ReconstructionSettings
from diascope.train.sources import (
    Sample,
    SliceSource,
    Source,
    SynthesisSource,
    check_classes,
    class_weights,
    label_fractions,
    validation_synthesis,
)
from diascope.train.start import Frozen, load_start
from diascope.train.team import Team
from diascope.train.validation import Watch, watch_labels
from diascope.train.volume_source import VolumeSource
from diascope.train.volumes import prepare_volumes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What a training learns from and what it is watched on."""

    source: Source
    validation: Sequence[Sample]
    class_weights: Sequence[float] | None


def train_network(
    config: TrainConfig, out: Path, callbacks: Sequence[EpochCallback] = (), team: Team | None = None
) -> nn.Module:
    """Train a network, or finish a training that was interrupted.

    Args:
        config: The training.
        out: Folder of checkpoints and log.
        callbacks: Called after each epoch with its number and its metrics.
        team: The processes that train together; None for this one alone.

    Raises:
        ConfigError: OUT holds another training, or the config does not fit the data.
        InputError: A case cannot be used; the message names it.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    team = team or Team(torch.device(config.device))
    team.share_of(config.batch_size)
    with team.first_goes_first():
        _claim(out, config)
    torch.manual_seed(config.seed)
    data = training_data(config)
    network = build_network(config.network)
    frozen = _started(network, config, team) if config.init_from else None
    network = network.to(team.device)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets it
    optimiser = build_optimiser(config.optimiser, network)
    training = Training(
        config=config,
        network=network,
        optimiser=optimiser,
        schedule=build_schedule(config.schedule, optimiser, config.epochs * config.steps_per_epoch),
        loss=loss_of(config, data, network).to(team.device),
        team=team,
        frozen=frozen,
    )
    run_training(training, data.source, _watch(training, data), out, callbacks)
    if config.weights == "best" and (best := best_weights(out / "checkpoints")) is not None:
        network.load_state_dict(best)
    return network


def training_data(config: TrainConfig) -> TrainingData:
    """Read and check everything a training needs, before its first epoch."""
    check_sides(config)
    cases = training_cases(config)
    train, held = cases_of(cases, "train"), cases_of(cases, "calibration")
    log.info("%d training cases, %d to watch the training", len(train), len(held))
    if isinstance(config.source, SynthesisSettings):
        return _synthesis_data(config, config.source, train, held)
    if isinstance(config.source, ClassSettings):
        return _class_data(config, config.source, train, held)
    if isinstance(config.source, ReconstructionSettings):
        return _unlabelled_data(config, config.source, train, held)
    return _masked_data(config, train, held)


def loss_of(config: TrainConfig, data: TrainingData, network: nn.Module) -> nn.Module:
    """Build what a training lowers, with its price for large weights."""
    if isinstance(config.source, BoxSettings):
        return BoxLoss(network, config.source)
    is_filling = isinstance(config.source, ReconstructionSettings)
    loss = MaskedError() if is_filling else build_loss(config.loss, data.class_weights)
    price = config.regularisation
    return Penalised(loss, network, price) if price.l1 or price.l2 else loss


def what_matters(config: TrainConfig) -> TrainConfig:
    """Set what may change between two runs of the same training to a fixed value."""
    told = config.bundle
    labels = tuple(label.model_copy(update={"colour": "#000000"}) for label in told.labels)
    words = dict.fromkeys(("title", "licence", "intended_use", "data_statement"), "")
    plain = {**words, "research_only": False, "citations": (), "limits": ()}
    bundle = BundleSettings.model_validate({**plain, "name": told.name, "needs": told.needs, "labels": labels})
    return config.model_copy(
        update={
            "bundle": bundle,
            "epochs": 1,
            "threads": None,
            "data_workers": 0,
            "device": "cpu",
            "channels_last": False,
            "data_root": Path(),
            "manifest": Path(config.manifest.name),
            "weights_dtype": "float32",
            "weights": "last",
            "search": None,
            "cost_on_card": True,
        }
    )


def _synthesis_data(
    config: TrainConfig, settings: SynthesisSettings, train: Sequence[ManifestCase], held: Sequence[ManifestCase]
) -> TrainingData:
    table = read_tissue_table(settings, config.bundle.labels, config.data_root)
    maps = [read_label_map(case, table) for case in train]
    frequencies = label_frequencies(maps, table)
    check_classes(frequencies, [label.name for label in config.bundle.labels])
    watched = [read_label_map(case, table) for case in held]
    return TrainingData(
        source=SynthesisSource(maps, table, settings, config.seed),
        validation=validation_synthesis(watched, table, settings, config.validation_images),
        class_weights=class_weights(frequencies, config.loss.class_weights),
    )


def _masked_data(config: TrainConfig, train: Sequence[ManifestCase], held: Sequence[ManifestCase]) -> TrainingData:
    labels = config.bundle.labels
    preprocessing = preprocessing_after_reading(inference_config(config))
    volumes = prepare_volumes(train, labels, preprocessing)
    frequencies = label_fractions(volumes, len(labels))
    check_classes(frequencies, [label.name for label in labels])
    watched = prepare_volumes(held, labels, preprocessing)
    augmentation = build_augmentation(config.augmentation)
    source: Source = VolumeSource(volumes, augmentation, config.seed)
    if isinstance(config.source, SliceSettings | BoxSettings):
        source = SliceSource(volumes, config.source, augmentation, config.seed)
    return TrainingData(
        source=source,
        validation=[{"image": one.image, "label": one.label, "case": one.case} for one in watched],
        class_weights=class_weights(frequencies, config.loss.class_weights),
    )


def _class_data(
    config: TrainConfig, settings: ClassSettings, train: Sequence[ManifestCase], held: Sequence[ManifestCase]
) -> TrainingData:
    preprocessing = preprocessing_after_reading(inference_config(config))
    volumes = classed_volumes(train, config, settings, preprocessing)
    frequencies = check_shown(volumes, [label.name for label in config.bundle.labels])
    watched = classed_volumes(held, config, settings, preprocessing)
    return TrainingData(
        source=ClassSource(volumes, settings, build_augmentation(config.augmentation), config.seed),
        validation=whole_samples(watched),
        class_weights=class_weights(frequencies, config.loss.class_weights),
    )


def _unlabelled_data(
    config: TrainConfig, settings: ReconstructionSettings, train: Sequence[ManifestCase], held: Sequence[ManifestCase]
) -> TrainingData:
    check_reconstruction(config)
    preprocessing = preprocessing_after_reading(inference_config(config))
    volumes = prepare_unlabelled(train, preprocessing)
    return TrainingData(
        source=MaskedSource(volumes, settings, build_augmentation(config.augmentation), config.seed),
        validation=held_out_samples(prepare_unlabelled(held, preprocessing), settings),
        class_weights=None,
    )


def _watch(training: Training, data: TrainingData) -> Watch:
    config = training.config
    names = [label.name for label in config.bundle.labels]
    if isinstance(config.source, SynthesisSettings):
        return watch_labels(training, data.validation, names)
    inferer = built_inferer(inference_config(config))
    if isinstance(config.source, ReconstructionSettings):
        return watch_reconstruction(training, data.validation, inferer)
    if isinstance(config.source, ClassSettings):
        return watch_classes(training, data.validation, names, inferer)
    if isinstance(config.source, BoxSettings):
        return watch_boxes(training, data.validation, config.source, inferer)
    return watch_labels(training, data.validation, names, inferer)


def _started(network: nn.Module, config: TrainConfig, team: Team) -> Frozen | None:
    start = config.init_from
    if start is None:
        return None
    load_start(network, config.network, start)
    if start.unfreeze_at_epoch and team.size > 1:
        # torch's gradient averaging is told once, at the beginning, which weights learn.
        raise ConfigError(
            "init_from.unfreeze_at_epoch works with one process only",
            hint="train in two steps: the second with init_from the first one's bundle",
        )
    return Frozen(network, start) if start.frozen or start.frozen_layers else None


def _claim(out: Path, config: TrainConfig) -> None:
    note = out / "training.json"
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    if note.is_file():
        told = json.loads(note.read_text(encoding="utf-8"))
        # By the settings and not by the hash that was noted: a setting that came later has its default there.
        before = parse_settings(TrainConfig, told["config"])
        if settings_hash(what_matters(before)) != settings_hash(what_matters(config)):
            raise ConfigError(
                "the output folder holds a training with other settings",
                hint="give -o another folder, or empty this one",
            )
    part = note.with_suffix(".part")
    part.write_text(json.dumps({"config": config.model_dump(mode="json")}), encoding="utf-8")
    part.replace(note)
