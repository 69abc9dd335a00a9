"""What a case costs is measured in a process of its own, and stands on the card."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from diascope.bundles.network import INFERENCE
from diascope.config import parse_settings
from diascope.errors import BundleError
from diascope.train.bundle_training import train_bundle
from diascope.train.cost import Cost, cost_of, cost_text
from diascope.train.settings import TrainConfig
from tests.train.training_phantoms import write_slices


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cost")
    config = {**write_slices(root), "epochs": 1, "steps_per_epoch": 2, "cost_on_card": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns at each `_target_` that a config is a program
        return train_bundle(parse_settings(TrainConfig, config), root / "out")


def test_the_card_says_what_the_largest_test_case_took(bundle: Path) -> None:
    card = " ".join((bundle / "docs" / "README.md").read_text().split())

    assert "The largest test case (32 x 40 x 10 voxels), alone in a process on the CPU:" in card


def test_memory_of_this_process_does_not_count(bundle: Path) -> None:
    held = np.ones(1_500_000_000, dtype=np.uint8)

    cost = cost_of(bundle, bundle.parents[1] / "case-4_image.nii.gz")

    assert held.nbytes == 1_500_000_000
    assert cost.voxels == (32, 40, 10)
    assert 0.1 < cost.peak_gb < 1.2
    assert 0 < cost.cpu_seconds < 60


def test_a_bundle_that_does_not_open_is_named_with_the_reason(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    for part in (INFERENCE, Path("configs") / "metadata.json"):
        (tmp_path / part).write_bytes((bundle / part).read_bytes())

    with pytest.raises(BundleError, match=r"failed in a process of its own: .*model\.safetensors"):
        cost_of(tmp_path, bundle.parents[1] / "case-4_image.nii.gz")


def test_a_training_that_is_done_is_not_lost_because_its_cost_cannot_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("diascope.train.cost.LONGEST_S", 0.01)
    config = {**write_slices(tmp_path), "epochs": 1, "steps_per_epoch": 2, "cost_on_card": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = train_bundle(parse_settings(TrainConfig, config), tmp_path / "out")

    assert "alone in a process" not in (made / "docs" / "README.md").read_text()
    assert "what a case costs was not measured: bundle" in caplog.text


def test_the_words_of_the_card_have_the_unit() -> None:
    assert "12.3 s of processor time and at most 1.8 GB" in cost_text(Cost(12.345, 1.84, (256, 256, 170)))
