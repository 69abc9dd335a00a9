"""Transfer learning takes what fits, names what does not, and keeps frozen what is to stay."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from diascope.config import parse_settings
from diascope.errors import BundleError, ConfigError
from diascope.train.bundle_training import train_bundle
from diascope.train.components import build_network
from diascope.train.engine import newest_weights
from diascope.train.recipe import StartSettings
from diascope.train.settings import Component, TrainConfig, load_train_config
from diascope.train.start import Frozen, head_names, load_start
from diascope.train.training import train_network
from tests.train.training_phantoms import slice_config, write_config, write_slices


class Made:
    """A bundle that finds bright balls, from which others start."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.values = {**write_slices(root), "optimiser": {"learning_rate": 0.02}, "epochs": 3}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI warns at each `_target_` that a config is a program
            train_bundle(parse_settings(TrainConfig, self.values), root / "out", models=root / "models")
        self.folder = root / "models" / "ball_segmentation"
        self.network: dict[str, Any] = self.values["network"]

    def component(self, **args: Any) -> Component:
        return Component(name=self.network["name"], args={**self.network["args"], **args})

    def start(self, **settings: Any) -> StartSettings:
        return StartSettings(bundle=str(self.folder), **settings)


@pytest.fixture(scope="module")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("balls"))


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "models" / "model.safetensors")


def test_the_same_network_starts_with_every_weight_of_the_bundle(balls: Made) -> None:
    network = build_network(balls.component())

    transfer = load_start(network, balls.component(), balls.start())

    assert transfer.fresh == ()
    stored = weights_of(balls.folder)
    assert all(torch.equal(value, stored[name]) for name, value in network.state_dict().items())


def test_other_classes_give_a_new_head_and_keep_the_rest(balls: Made) -> None:
    told = balls.component(out_channels=5)
    network = build_network(told)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    transfer = load_start(network, told, balls.start())

    stored, after = weights_of(balls.folder), network.state_dict()
    assert transfer.fresh
    assert set(transfer.fresh) == {name for name, value in after.items() if value.shape != stored[name].shape}
    assert all(torch.equal(after[name], before[name]) for name in transfer.fresh)
    assert all(torch.equal(after[name], stored[name]) for name in transfer.taken)
    assert set(transfer.fresh) | set(transfer.taken) == set(after)


def test_a_network_of_another_width_is_refused_with_names_and_both_shapes(balls: Made) -> None:
    told = balls.component(channels=[8, 12, 16])

    with pytest.raises(ConfigError, match=r"weights do not fit.*\(12, 8, 3, 3\) is \(16, 8, 3, 3\) there") as refused:
        load_start(build_network(told), told, balls.start())

    assert refused.value.code == "start_does_not_fit"


def test_other_input_channels_are_no_new_head(balls: Made) -> None:
    told = balls.component(in_channels=1)

    with pytest.raises(ConfigError, match=r"\(8, 1, 3, 3\) is \(8, 3, 3, 3\) there"):
        load_start(build_network(told), told, balls.start())


def test_what_is_named_as_new_begins_at_random(balls: Made) -> None:
    told = balls.component(in_channels=1)
    network = build_network(told)
    first = next(name for name, value in network.state_dict().items() if value.shape == (8, 1, 3, 3))
    stage = f"{first.rsplit('.', 3)[0]}.*"

    transfer = load_start(network, told, balls.start(fresh=("model.0.*",)))

    assert first in transfer.fresh, stage
    assert transfer.taken


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("DynUNet", {"kernel_size": [3] * 3, "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 8, 8],
                     "in_channels": 1, "out_channels": 2}, "output_block"),
        ("SegResNet", {"init_filters": 8, "in_channels": 1, "out_channels": 2}, "conv_final.2"),
        ("resnet18", {"n_input_channels": 1, "num_classes": 2}, "fc"),
        ("DenseNet121", {"in_channels": 1, "out_channels": 2}, "class_layers.out"),
        ("ViT", {"in_channels": 1, "img_size": [32, 32], "patch_size": [16, 16], "hidden_size": 16, "mlp_dim": 16,
                 "num_layers": 1, "num_heads": 2, "num_classes": 2}, "classification_head"),
    ],
)  # fmt: skip
def test_the_head_is_what_depends_on_the_number_of_classes_in_every_kind_of_network(
    name: str, args: dict[str, Any], expected: str
) -> None:
    told = Component(name=name, args={"spatial_dims": 2, **args})

    head = head_names(told, build_network(told).state_dict())

    assert head
    assert all(expected in one for one in head)


def test_weights_are_found_behind_the_name_of_their_owner() -> None:
    from diascope.train.start import _counterpart, _prefixes

    inner = {f"layer{number}.weight": torch.zeros(number, 2) for number in range(1, 5)}
    outer = {f"feature_extractor.encoder.{name}": value for name, value in inner.items()} | {
        "head.weight": torch.zeros(7)
    }

    assert _counterpart("feature_extractor.encoder.layer3.weight", *_prefixes(outer, inner)) == "layer3.weight"
    assert _counterpart("layer3.weight", *_prefixes(inner, outer)) == "feature_extractor.encoder.layer3.weight"


def test_frozen_weights_stay_to_the_bit_and_the_others_move(balls: Made, tmp_path: Path) -> None:
    values = {**balls.values, "epochs": 1, "init_from": {"bundle": str(balls.folder), "frozen": ["model.0.*"]}}
    stored = weights_of(balls.folder)

    train_network(parse_settings(TrainConfig, values), tmp_path / "out")

    after = newest_weights(tmp_path / "out" / "checkpoints")
    assert after is not None
    still = {name for name in after if torch.equal(after[name], stored[name])}
    # The running means of the frozen norms are among them.
    assert {name for name in after if name.startswith("model.0.")} <= still
    assert any(name.endswith("running_mean") for name in still)
    assert {name for name in after if not name.startswith("model.0.") and name.endswith("weight")} & still == set()


def test_frozen_weights_move_from_the_epoch_on_that_lets_them_go(balls: Made, tmp_path: Path) -> None:
    start = {"bundle": str(balls.folder), "frozen_layers": 2, "unfreeze_at_epoch": 2}
    values = {**balls.values, "epochs": 2, "init_from": start}
    stored = weights_of(balls.folder)
    first = next(iter(stored))

    train_network(parse_settings(TrainConfig, values), tmp_path / "out")

    by_epoch = {
        epoch: torch.load(tmp_path / "out" / "checkpoints" / f"checkpoint_epoch={epoch}.pt", weights_only=True)[
            "network"
        ]
        for epoch in (1, 2)
    }
    assert first in by_epoch[1]
    weight = next(name for name, value in stored.items() if value.ndim > 1)
    assert torch.equal(by_epoch[1][weight], stored[weight])
    assert not torch.equal(by_epoch[2][weight], stored[weight])


def test_the_first_layers_are_counted_by_their_kernels() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Conv2d(2, 2, 3), torch.nn.Conv2d(2, 1, 1)
    )

    frozen = Frozen(network, StartSettings(bundle="any", frozen_layers=2))

    assert frozen.names == {"0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"}


def test_a_pattern_that_meets_nothing_and_freezing_everything_are_refused(balls: Made) -> None:
    network = build_network(balls.component())
    with pytest.raises(ConfigError, match=r"no weight is named encoder\.\*") as refused:
        Frozen(network, balls.start(frozen=("encoder.*",)))
    assert "model" in refused.value.hint
    with pytest.raises(ConfigError, match="freezes every weight"):
        Frozen(network, balls.start(frozen=("*",)))


def test_a_start_from_a_good_bundle_is_ahead_of_one_from_nothing(balls: Made, tmp_path: Path) -> None:
    from diascope.train.progress import read_log

    short = {**slice_config(balls.root), "epochs": 1, "steps_per_epoch": 2, "optimiser": {"learning_rate": 0.001}}
    for name, start in (("fresh", {}), ("transfer", {"init_from": {"bundle": str(balls.folder)}})):
        train_network(parse_settings(TrainConfig, {**short, **start}), tmp_path / name)

    dice = {name: read_log(tmp_path / name / "log.jsonl")[-1]["dice"] for name in ("fresh", "transfer")}
    assert dice["transfer"] > dice["fresh"] + 0.2


def test_an_altered_bundle_and_one_that_is_not_there_are_refused(balls: Made, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(balls.folder.parent, models)
    weights = models / "ball_segmentation" / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    network, told = build_network(balls.component()), balls.component()

    with pytest.raises(BundleError, match="was altered"):
        load_start(network, told, StartSettings(bundle=str(models / "ball_segmentation")))
    with pytest.raises(ConfigError, match=r"init_from nowhere: its weights cannot be read"):
        load_start(network, told, StartSettings(bundle=str(tmp_path / "nowhere")))
    with pytest.raises(BundleError, match="there is no bundle named nothing_like_it"):
        load_start(network, told, StartSettings(bundle="nothing_like_it"))


def test_the_output_of_a_training_is_a_start_as_it_is_and_its_parent_is_answered_with_it(
    balls: Made, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns at each `_target_` that a config is a program
        made = train_bundle(parse_settings(TrainConfig, {**balls.values, "epochs": 1}), tmp_path / "out")
    yaml = write_config(
        {**balls.values, "init_from": {"bundle": "out/ball_segmentation"}, "epochs": 1}, tmp_path / "next.yaml"
    )
    config = load_train_config(yaml)
    network = build_network(config.network)

    transfer = load_start(network, config.network, config.init_from)

    stored = weights_of(made)
    assert transfer.fresh == ()
    assert all(torch.equal(value, stored[name]) for name, value in network.state_dict().items())
    with pytest.raises(ConfigError, match="init_from out: its weights cannot be read") as refused:
        load_start(network, config.network, StartSettings(bundle=str(tmp_path / "out")))
    assert "out/ball_segmentation" in refused.value.hint


def test_a_training_s_output_that_was_altered_is_no_start(balls: Made, tmp_path: Path) -> None:
    shutil.copytree(balls.root / "out", tmp_path / "out")
    weights = tmp_path / "out" / "ball_segmentation" / "models" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")

    with pytest.raises(BundleError, match="was altered"):
        load_start(build_network(balls.component()), balls.component(), StartSettings(bundle=str(weights.parents[1])))
