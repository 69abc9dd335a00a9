"""Pre-training hides what it says it hides, is judged on that alone, and is a start for a network that segments."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diascope.config import parse_settings
from diascope.errors import ConfigError
from diascope.train.bundle_training import train_bundle
from diascope.train.components import build_network
from diascope.train.progress import read_log
from diascope.train.recipe import StartSettings
from diascope.train.reconstruction import MaskedError, hidden_sample
from diascope.train.settings import Component, TrainConfig
from diascope.train.source_settings import ReconstructionSettings
from diascope.train.start import load_start
from diascope.train.training import train_network
from tests.train.training_phantoms import write_slices

HALF = ReconstructionSettings(kind="masked_reconstruction", hidden_fraction=0.5, block_voxels=4)


def pretraining(root: Path) -> dict[str, Any]:
    """Fill in hidden blocks of three-dimensional balls, of which nobody drew an outline."""
    values = write_slices(root)
    with (root / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": "", "label_sha256": ""} for row in rows)
    network = {**values["network"]["args"], "spatial_dims": 3, "in_channels": 1, "out_channels": 1, "norm": "instance"}
    return {
        **values,
        "bundle": {**values["bundle"], "name": "ball_start", "labels": []},
        "source": {"kind": "masked_reconstruction", "hidden_fraction": 0.4, "block_voxels": 4},
        "network": {"name": "UNet", "args": network},
        "preprocessing": [
            {"name": "Orientationd", "args": {"axcodes": "RAS", "labels": None}},
            {"name": "NormalizeIntensityd"},
        ],
        # The balls have 6 to 10 slices: windows of 8, which a network of two levels takes, cover them all.
        "inferer": {"name": "SlidingWindowInferer", "args": {"roi_size": [32, 32, 8], "overlap": 0.25}},
        "augmentation": [
            {"name": "RandFlipd", "args": {"keys": "image", "prob": 0.5, "spatial_axis": 0}},
            {"name": "SpatialPadd", "args": {"keys": "image", "spatial_size": [32, 32, 8]}},
            {"name": "RandSpatialCropd", "args": {"keys": "image", "roi_size": [32, 32, 8], "random_size": False}},
        ],
        "optimiser": {"learning_rate": 0.01},
        "batch_size": 2,
        "epochs": 3,
        "steps_per_epoch": 10,
    }


def test_whole_blocks_are_hidden_as_many_as_told_and_the_truth_is_kept() -> None:
    image = torch.rand(2, 5, 7, 11) + 1

    sample = hidden_sample(image, "case", HALF, np.random.default_rng(0))

    seen, truth, hidden = sample["image"], sample["label"][:2], sample["label"][2]
    assert torch.equal(truth, image)
    assert set(hidden.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(seen, image * (1 - hidden))
    blocks = [
        hidden[i : i + 4, j : j + 4, k : k + 4] for i in range(0, 5, 4) for j in range(0, 7, 4) for k in range(0, 11, 4)
    ]
    assert all(len(block.unique()) == 1 for block in blocks)
    assert sum(float(block.flatten()[0]) for block in blocks) == 6  # half of 2 x 2 x 3


def test_the_hidden_blocks_depend_on_the_generator_only() -> None:
    image = torch.rand(1, 8, 8)
    first, again, other = (
        hidden_sample(image, "case", HALF, np.random.default_rng(seed))["label"][1] for seed in (1, 1, 5)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_only_hidden_voxels_count() -> None:
    truth = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]], [[0.0, 1.0, 1.0, 0.0]]]])  # image, hidden
    filled = torch.tensor([[[[99.0, 2.5, 1.0, -99.0]]]])

    assert MaskedError()(filled, truth).item() == pytest.approx((0.5 + 2.0) / 2)


def test_images_without_labels_teach_a_network_to_fill_in_and_it_is_a_start_for_one_that_segments(
    tmp_path: Path,
) -> None:
    config = parse_settings(TrainConfig, pretraining(tmp_path))

    folder = train_bundle(config, tmp_path / "out")

    log = read_log(tmp_path / "out" / "log.jsonl")
    assert log[-1]["filled"] > 0.1  # most of what is hidden is noise, which nobody can know
    assert log[-1]["error"] < log[0]["error"]
    assert not (folder / "configs" / "metadata.json").exists()  # no bundle: it answers no question
    assert "It is a start for others" in (folder / "docs" / "README.md").read_text()
    segmenting = Component(name="UNet", args={**config.network.args, "out_channels": 3})
    transfer = load_start(build_network(segmenting), segmenting, StartSettings(bundle=str(folder)))
    assert transfer.fresh
    assert len(transfer.taken) > 10 * len(transfer.fresh) / 4


def test_a_network_with_other_outputs_than_inputs_cannot_fill_in(tmp_path: Path) -> None:
    values = pretraining(tmp_path)
    values["network"]["args"]["out_channels"] = 2

    with pytest.raises(ConfigError, match="as many outputs as inputs, UNet has 2 and 1"):
        train_network(parse_settings(TrainConfig, values), tmp_path / "out")
