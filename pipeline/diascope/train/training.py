"""`diascope train`: a config in, a bundle out."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from diascope.config import settings_hash
from diascope.errors import ConfigError
from diascope.train.bundle_config import built_inferer, inference_config, preprocessing_after_reading
from diascope.train.components import build_augmentation, build_loss, build_network, build_optimiser, build_schedule
from diascope.train.engine import EpochCallback, Training, build_validator, run_training
from diascope.train.label_maps import label_frequencies, read_label_map, read_tissue_table
from diascope.train.manifest import ManifestCase, cases_of, read_manifest
from diascope.train.settings import SliceSettings, SynthesisSettings, TrainConfig
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
from diascope.train.volumes import prepare_volumes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What a training learns from and what it is watched on."""

    source: Source
    validation: Sequence[Sample]
    class_weights: Sequence[float] | None


def train_network(config: TrainConfig, out: Path, callbacks: Sequence[EpochCallback] = ()) -> torch.nn.Module:
    """Train a network, or finish a training that was interrupted.

    Args:
        config: The training.
        out: Folder of checkpoints and log.
        callbacks: Called after each epoch with its number and its metrics.

    Raises:
        ConfigError: OUT holds another training, or the config does not fit the data.
        InputError: A case cannot be used; the message names it.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    _claim(out, config)
    torch.manual_seed(config.seed)
    names = [label.name for label in config.bundle.labels]
    data = training_data(config)
    device = torch.device(config.device)
    network = build_network(config.network).to(device)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets it
    optimiser = build_optimiser(config.optimiser, network)
    training = Training(
        config=config,
        network=network,
        optimiser=optimiser,
        schedule=build_schedule(config.schedule, optimiser, config.epochs * config.steps_per_epoch),
        loss=build_loss(config.loss, data.class_weights).to(device),
        device=device,
    )
    is_whole = isinstance(config.source, SliceSettings)
    inferer = built_inferer(inference_config(config)) if is_whole else None
    validation = build_validator(training, data.validation, names, inferer)
    run_training(training, data.source, validation, out, callbacks)
    return network


def training_data(config: TrainConfig) -> TrainingData:
    """Read and check everything a training needs, before its first epoch."""
    cases = read_manifest(config.manifest, config.data_root)
    train, held = cases_of(cases, "train"), cases_of(cases, "calibration")
    log.info("%d training cases, %d to watch the training", len(train), len(held))
    if isinstance(config.source, SynthesisSettings):
        return _synthesis_data(config, config.source, train, held)
    return _slice_data(config, config.source, train, held)


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


def _slice_data(
    config: TrainConfig, settings: SliceSettings, train: Sequence[ManifestCase], held: Sequence[ManifestCase]
) -> TrainingData:
    labels = len(config.bundle.labels)
    preprocessing = preprocessing_after_reading(inference_config(config))
    volumes = prepare_volumes(train, labels, preprocessing)
    frequencies = label_fractions(volumes, labels)
    check_classes(frequencies, [label.name for label in config.bundle.labels])
    watched = prepare_volumes(held, labels, preprocessing)
    return TrainingData(
        source=SliceSource(volumes, settings, build_augmentation(config.augmentation), config.seed),
        validation=[{"image": one.image, "label": one.label, "case": one.case} for one in watched],
        class_weights=class_weights(frequencies, config.loss.class_weights),
    )


def _claim(out: Path, config: TrainConfig) -> None:
    identity = settings_hash(config.model_copy(update=_defaults_of(config)))
    note = out / "training.json"
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    if note.is_file() and json.loads(note.read_text(encoding="utf-8"))["identity"] != identity:
        raise ConfigError(
            "the output folder holds a training with other settings",
            hint="give -o another folder, or empty this one",
        )
    note.write_text(json.dumps({"identity": identity, "config": config.model_dump(mode="json")}), encoding="utf-8")


def _defaults_of(config: TrainConfig) -> dict[str, object]:
    plain: dict[str, object] = {
        "epochs": 1,
        "threads": None,
        "data_workers": 0,
        "device": "cpu",
        "channels_last": False,
    }
    plain |= {"data_root": Path(), "manifest": Path(config.manifest.name), "weights_dtype": "float32"}
    labels = tuple(label.model_copy(update={"colour": "#000000"}) for label in config.bundle.labels)
    fixed = {"version": "", "title": "", "licence": "", "citations": (), "intended_use": "", "limits": ()}
    bundle = config.bundle.model_copy(update={"labels": labels, "data_statement": "", "training_note": "", **fixed})
    return {**plain, "bundle": bundle}
