"""Training learns, is the same for a seed, survives a kill, and names what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diascope.config import parse_settings
from diascope.errors import ConfigError, InputError
from diascope.train.engine import newest_weights
from diascope.train.progress import read_log
from diascope.train.settings import TrainConfig, load_train_config
from diascope.train.training import train_network
from tests.train.recipe_phantoms import write_tumours
from tests.train.training_phantoms import write_config, write_heads, write_slices

RUN = """
import sys
from pathlib import Path
from diascope.train.settings import load_train_config
from diascope.train.training import train_network
train_network(load_train_config(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def trained(config: dict[str, Any], out: Path) -> list[dict[str, float]]:
    train_network(parse_settings(TrainConfig, config), out)
    return read_log(out / "log.jsonl")


def curve(log: list[dict[str, float]]) -> list[tuple[float, float, float | None]]:
    return [(line["epoch"], line["loss"], line.get("dice")) for line in log]


def _interrupt(epoch: int, metrics: Mapping[str, float]) -> None:
    if epoch == 2:
        raise KeyboardInterrupt


def test_a_tiny_network_finds_bright_balls_within_seconds(tmp_path: Path) -> None:
    log = trained({**write_slices(tmp_path), "epochs": 6}, tmp_path / "out")

    assert [line["epoch"] for line in log] == [1, 2, 3, 4, 5, 6]
    assert log[-1]["dice_ball"] > 0.8
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]


def test_synthesis_from_label_maps_lowers_the_loss(tmp_path: Path) -> None:
    config = {**write_heads(tmp_path), "epochs": 3, "steps_per_epoch": 8, "optimiser": {"learning_rate": 0.01}}

    log = trained(config, tmp_path / "out")

    assert log[-1]["loss"] < 0.9 * log[0]["loss"]
    assert {"dice_outer", "dice_core"} <= set(log[-1])


def test_the_same_seed_gives_the_same_curve_and_another_one_another(tmp_path: Path) -> None:
    config = {**write_slices(tmp_path), "epochs": 2, "steps_per_epoch": 3}

    first = trained(config, tmp_path / "first")
    again = trained({**config, "data_workers": 1}, tmp_path / "again")
    other = trained({**config, "seed": 4}, tmp_path / "other")

    assert curve(first) == curve(again)
    assert curve(first) != curve(other)


def slices_of_balls(root: Path, _repository: Path) -> dict[str, Any]:
    return {**write_slices(root), "steps_per_epoch": 2}


def classes_of_slices(root: Path, repository: Path) -> dict[str, Any]:
    return small_recipe(repository, "flair_glioma_classification", root)


def boxes_in_slices(root: Path, repository: Path) -> dict[str, Any]:
    return small_recipe(repository, "flair_glioma_detection", root, "network.args.pyramid_channels=16")


def small_recipe(repository: Path, name: str, root: Path, *more: str) -> dict[str, Any]:
    """A shipped config with its dropout and its augmentation, on phantoms, with a small network."""
    settings = [
        f"manifest={write_tumours(root)}", f"data_root={root}", "init_from=null", "steps_per_epoch=2", "batch_size=4",
        "network.args.filters=[8,8,8,8,8]", "precision=fp32", "schedule.warmup_steps=2", "validate_every_epochs=1",
        *more,
    ]  # fmt: skip
    return load_train_config(repository / "configs" / f"train_{name}.yaml", settings).model_dump(mode="json")


@pytest.mark.parametrize("recipe", [slices_of_balls, classes_of_slices, boxes_in_slices])
def test_a_training_killed_in_the_middle_ends_with_the_same_curve(
    recipe: Callable[[Path, Path], dict[str, Any]], repository: Path, tmp_path: Path
) -> None:
    config = {**recipe(tmp_path, repository), "epochs": 6}
    whole = trained(config, tmp_path / "whole")
    yaml = write_config(config, tmp_path / "train.yaml")
    out = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen([sys.executable, "-c", RUN, str(yaml), str(out)], env=environment)
    try:
        deadline = time.monotonic() + 240
        while len(list((out / "checkpoints").glob("*epoch=*.pt"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    reached = len(read_log(out / "log.jsonl"))
    assert reached >= 2

    resumed = trained(config, out)

    assert told_again(resumed) == told_again(whole)
    left, right = newest_weights(tmp_path / "whole" / "checkpoints"), newest_weights(out / "checkpoints")
    assert left is not None
    assert right is not None
    assert all(torch.equal(left[name], right[name]) for name in left)


def told_again(log: list[dict[str, float]]) -> list[dict[str, float]]:
    """Everything that was logged but the clock: losses, rates, and whatever the validation measures."""
    assert all({"dice", "auc", "sensitivity"} & set(line) for line in log)
    return [{name: value for name, value in line.items() if name != "seconds"} for line in log]


def test_a_checkpoint_cut_short_by_a_kill_is_left_aside(tmp_path: Path) -> None:
    config = {**write_slices(tmp_path), "epochs": 3, "steps_per_epoch": 2}
    whole = trained(config, tmp_path / "out")
    newest = tmp_path / "out" / "checkpoints" / "checkpoint_epoch=3.pt"
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])

    resumed = trained(config, tmp_path / "out")

    assert curve(resumed) == curve(whole)
    assert newest.is_file()


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    config = {**write_slices(tmp_path), "epochs": 2, "steps_per_epoch": 2}
    first = trained(config, tmp_path / "out")

    assert trained(config, tmp_path / "out") == first


def test_a_longer_training_goes_on_where_the_shorter_one_ended(tmp_path: Path) -> None:
    config = {**write_slices(tmp_path), "epochs": 2, "steps_per_epoch": 2}
    short = trained(config, tmp_path / "out")

    longer = trained({**config, "epochs": 3}, tmp_path / "out")

    assert longer[:2] == short
    assert [line["epoch"] for line in longer] == [1, 2, 3]
    assert longer[-1]["learning_rate"] == pytest.approx(0.0, abs=1e-9)


def test_a_training_made_shorter_ends_with_its_rate_run_out(tmp_path: Path) -> None:
    config = {**write_slices(tmp_path), "epochs": 40, "steps_per_epoch": 2}
    with pytest.raises(KeyboardInterrupt):
        train_network(parse_settings(TrainConfig, config), tmp_path / "out", [_interrupt])

    log = trained({**config, "epochs": 4}, tmp_path / "out")

    assert log[-1]["learning_rate"] == pytest.approx(0.0, abs=1e-9)


def test_the_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    config = {**write_slices(tmp_path), "epochs": 1, "steps_per_epoch": 1}
    trained(config, tmp_path / "out")

    with pytest.raises(ConfigError, match="holds a training with other settings"):
        trained({**config, "seed": 99}, tmp_path / "out")


def test_a_loss_that_is_no_number_is_named_with_the_case(tmp_path: Path) -> None:
    import nibabel as nib

    config = {**write_slices(tmp_path), "batch_size": 1, "epochs": 1, "preprocessing": [{"name": "neighbour_slices"}]}
    broken = np.full((32, 40, 6), np.nan, dtype=np.float32)
    nib.save(nib.Nifti1Image(broken, None), tmp_path / "case-0_image.nii.gz")

    with pytest.raises(InputError, match=r"the loss is nan at step .* case case-0") as stopped:
        trained(config, tmp_path / "out")

    assert stopped.value.code == "loss_not_finite"


def test_the_seam_for_tracking_receives_every_epoch_with_its_metrics(tmp_path: Path) -> None:
    config = parse_settings(TrainConfig, {**write_slices(tmp_path), "epochs": 2, "steps_per_epoch": 2})
    heard: list[tuple[int, dict[str, float]]] = []

    train_network(config, tmp_path / "out", [lambda epoch, metrics: heard.append((epoch, dict(metrics)))])

    logged = read_log(tmp_path / "out" / "log.jsonl")
    assert [json.loads(json.dumps({"epoch": epoch, **metrics})) for epoch, metrics in heard] == logged
    assert {"loss", "dice", "dice_ball", "learning_rate", "steps"} <= set(logged[-1])
