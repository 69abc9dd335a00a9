"""What a training says of its bundle is what a run reads."""

import json
from pathlib import Path

import torch
import yaml

from diascope.bundles.find import DiascopeBlock
from diascope.config import parse_settings
from diascope.geometry import FieldOfView
from diascope.image_facts import AgeRange
from diascope.train.export import bundle_metadata, write_start
from diascope.train.settings import TrainConfig, load_train_config


def test_the_field_of_view_of_a_training_comes_to_the_run(repository: Path) -> None:
    file = repository / "configs" / "train_brain_structures_segmentation.yaml"
    limits = {"least_extent_mm": [110, 111, 112], "most_voxel_mm": 8}
    config = load_train_config(file, [f"bundle.field_of_view={json.dumps(limits)}"])

    written = json.loads(json.dumps(bundle_metadata(config)))["diascope"]

    assert written["field_of_view"] == limits
    assert DiascopeBlock.model_validate(written).field_of_view == FieldOfView((110.0, 111.0, 112.0), most_voxel_mm=8.0)


def test_the_images_that_a_training_asks_for_are_those_that_a_run_gives_its_network(repository: Path) -> None:
    config = load_train_config(repository / "configs" / "train_flair_glioma_detection.yaml")

    written = json.loads(json.dumps(bundle_metadata(config)))["diascope"]

    assert config.bundle.select is not None
    assert DiascopeBlock.model_validate(written).own_select == config.bundle.select


def test_the_ages_of_a_training_come_to_the_run(repository: Path) -> None:
    file = repository / "configs" / "train_hippocampus_segmentation.yaml"
    config = load_train_config(file, ["bundle.ages={least_years: 18}"])

    written = json.loads(json.dumps(bundle_metadata(config)))["diascope"]

    assert written["ages"] == {"least_years": 18}
    assert DiascopeBlock.model_validate(written).ages == AgeRange(least_years=18)


def test_the_settings_of_every_shipped_training_are_read_again_as_they_were_written(repository: Path) -> None:
    files = sorted((repository / "configs").glob("train_*.yaml"))
    assert files
    for file in files:
        config = load_train_config(file)

        # As training.json holds them, by which a training that was killed knows itself again.
        assert parse_settings(TrainConfig, config.model_dump(mode="json")) == config, file.name


def test_the_carried_config_names_the_start_without_the_path_of_this_machine(repository: Path, tmp_path: Path) -> None:
    config = load_train_config(repository / "configs" / "train_brain_structures_segmentation.yaml")
    assert config.init_from is not None
    assert str(repository) in config.init_from.bundle

    write_start(config, torch.nn.Conv3d(1, 1, 1), tmp_path / "bundle", card="")

    carried = yaml.safe_load((tmp_path / "bundle" / "configs" / "train.yaml").read_text())
    assert carried["init_from"] == {"bundle": "../out/train_brain_six/brain_six_structures_segmentation"}
