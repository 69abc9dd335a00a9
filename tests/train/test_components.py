"""Components are named from tables, and say what else there is."""

import subprocess
import sys
import warnings
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from diascope.errors import ConfigError
from diascope.train.components import NETWORKS, build_network, build_optimiser, bundle_network, bundle_preprocessing
from diascope.train.recipe import OptimiserSettings, ScheduleSettings
from diascope.train.schedules import build_schedule
from diascope.train.settings import Component

UNET = {"channels": [4, 8], "strides": [2]}
SEGMENTERS: dict[str, dict[str, Any]] = {
    "AttentionUnet": UNET,
    "BasicUNet": {"features": [4, 4, 4, 4, 4, 4]},
    "DynUNet": {
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [4, 8, 8],
    },
    "SegResNet": {"init_filters": 8},
    "SwinUNETR": {"feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [2, 2, 2, 2]},
    "UNETR": {"img_size": [64, 64], "feature_size": 4, "hidden_size": 16, "mlp_dim": 16, "num_heads": 2},
    "UNet": UNET,
}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "DenseNet121": {"in_channels": 1, "out_channels": 3},
    "DenseNet169": {"in_channels": 1, "out_channels": 3},
    "EfficientNetBN": {"model_name": "efficientnet-b0", "in_channels": 1, "num_classes": 3},
    "ViT": {
        "in_channels": 1, "img_size": [32, 32], "patch_size": [16, 16], "hidden_size": 16, "mlp_dim": 16,
        "num_layers": 1, "num_heads": 2, "num_classes": 3,
    },
    "resnet18": {"n_input_channels": 1, "num_classes": 3},
    "resnet34": {"n_input_channels": 1, "num_classes": 3},
    "resnet50": {"n_input_channels": 1, "num_classes": 3},
}  # fmt: skip
PLANE = {"spatial_dims": 2}


def stock_network(component: Component) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns at each `_target_` that a config is a program
        return ConfigParser({"network": bundle_network(component)}).get_parsed_content("network")


@pytest.mark.parametrize("name", sorted(SEGMENTERS))
def test_a_network_that_segments_is_built_by_its_name_here_and_by_stock_monai(name: str) -> None:
    told = Component(name=name, args={**PLANE, "in_channels": 1, "out_channels": 3, **SEGMENTERS[name]})
    network = build_network(told).eval()

    with torch.no_grad():
        assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 3, 64, 64)
    theirs = stock_network(told).state_dict()
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in theirs.items()
    }


@pytest.mark.parametrize("name", sorted(CLASSIFIERS))
def test_a_network_that_classifies_gives_one_number_per_class_and_downloads_nothing(name: str) -> None:
    told = Component(name=name, args={**PLANE, **CLASSIFIERS[name]})
    network = build_network(told).eval()

    with torch.no_grad():
        assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    assert set(stock_network(told).state_dict()) == set(network.state_dict())


def test_networks_need_no_torchvision() -> None:
    networks = {**CLASSIFIERS, "UNETR": {**SEGMENTERS["UNETR"], "in_channels": 1, "out_channels": 3}}
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from diascope.train.components import build_network\n"
        "from diascope.train.settings import Component\n"
        f"for name, args in {networks!r}.items():\n"
        "    build_network(Component(name=name, args={'spatial_dims': 2, **args}))\n"
        "print('built')"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.strip().endswith("built"), done.stderr[-2000:]


def test_pretrained_weights_of_somebody_else_are_not_fetched() -> None:
    with pytest.raises(ConfigError, match="nothing is downloaded"):
        build_network(Component(name="DenseNet121", args={**PLANE, **CLASSIFIERS["DenseNet121"], "pretrained": True}))


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("unet", "UNet"), ("DenseNet", "DenseNet121"), ("swin_unetr", "SwinUNETR"), ("ResNet18", "resnet18")],
)
def test_a_wrong_name_is_answered_with_the_near_ones(wrong: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"no network named {wrong}") as refused:
        build_network(Component(name=wrong))

    assert near in refused.value.hint.partition("?")[0]


def test_every_network_is_tried_here() -> None:
    assert set(SEGMENTERS) | set(CLASSIFIERS) <= set(NETWORKS)


@pytest.mark.parametrize("name", ["UNet", "DynUNet", "SegResNet", "DenseNet121", "ViT"])
def test_dropout_is_an_argument_of_the_network_and_acts_in_training_only(name: str) -> None:
    key = {"SegResNet": "dropout_prob", "DenseNet121": "dropout_prob", "ViT": "dropout_rate"}.get(name, "dropout")
    args = CLASSIFIERS.get(name) or {"in_channels": 1, "out_channels": 3, **SEGMENTERS[name]}
    torch.manual_seed(0)
    network = build_network(Component(name=name, args={**PLANE, **args, key: 0.5}))
    image = torch.randn(2, 1, 32, 32)

    with torch.no_grad():
        network.train()
        assert not torch.allclose(network(image), network(image))
        network.eval()
        assert torch.equal(network(image), network(image))


def test_sgd_takes_its_momentum() -> None:
    weights = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        weights.weight.fill_(0.0)
    optimiser = build_optimiser(OptimiserSettings(name="sgd", learning_rate=1.0, args={"momentum": 0.5}), weights)
    for _ in range(3):
        optimiser.zero_grad()
        weights(torch.ones(1, 1)).sum().backward()  # the gradient is always 1
        optimiser.step()

    # Speeds 1, 1.5 and 1.75.
    assert float(weights.weight.detach()) == pytest.approx(-4.25)


def test_an_unknown_network_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no network named os\.system") as refused:
        build_network(Component(name="os.system"))

    assert "DynUNet" in refused.value.hint


def test_a_misspelt_argument_is_refused_with_the_components_name() -> None:
    with pytest.raises(ConfigError, match=r"BasicUNet: .*in_chanels"):
        build_network(Component(name="BasicUNet", args={"in_chanels": 1}))


def test_a_random_transform_cannot_become_preprocessing() -> None:
    with pytest.raises(ConfigError, match="no preprocessing named RandFlipd"):
        bundle_preprocessing([Component(name="RandFlipd")])


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize(
    ("schedule", "args"),
    [("warmup_cosine", {"warmup_steps": 2}), ("constant", {}), ("polynomial", {}), ("exponential", {"gamma": 0.9})],
)
def test_every_optimiser_goes_with_every_schedule(name: str, schedule: str, args: dict[str, object]) -> None:
    network = torch.nn.Linear(2, 1)
    before = network.weight.detach().clone()
    optimiser = build_optimiser(OptimiserSettings(name=name), network)
    rates = build_schedule(ScheduleSettings(name=schedule, args=args), optimiser, 10)

    for _ in range(3):
        network(torch.ones(1, 2)).sum().backward()
        optimiser.step()
        rates.step()

    assert not torch.equal(before, network.weight)
