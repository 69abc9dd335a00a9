"""A network that learnt a shortcut: the alarm must ring, and stay silent for one that learnt the lesion."""

import numpy as np
import pytest
import torch
from torch import nn

from diascope.bundles.network import NetworkInput
from diascope.explain.checks import check, verdict
from diascope.explain.heatmap import Explained, explain
from diascope.explain.reference import weights_digest
from diascope.explain.settings import CheckSettings, MethodBudget
from diascope.findings import Check
from tests.explain.networks import classify, opened

SIDE = 64

METHODS_THAT_LOCATE = ["hires_cam", "integrated_gradients", "occlusion"]
QUICK = MethodBudget(steps=8, draws=4, cells=16)


def radiographs(count: int, *, lesion: bool, tag: bool, air: bool, seed: int) -> torch.Tensor:
    """Bodies with texture, in dark air or filling the picture; with a bright lesion, or a striped tag in a corner."""
    rng = np.random.default_rng(seed)
    i, j = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    body = (i / 24) ** 2 + (j / 20) ** 2 < 1 if air else np.ones((SIDE, SIDE), dtype=bool)
    images = np.zeros((count, 1, SIDE, SIDE), dtype=np.float32)
    for image in images[:, 0]:
        image[body] = 1 + 0.05 * rng.standard_normal(int(body.sum()))
        if lesion:
            at = rng.integers(-10, 11, 2)
            image[(i - at[0]) ** 2 + (j - at[1]) ** 2 < 16] += 1.5
        if tag:
            image[0:2, 2:14:2], image[0:2, 3:14:2] = 2.5, 0
    return torch.from_numpy(images)


def trained(*, of_the_lesion: bool, air: bool) -> nn.Module:
    """A small network whose classes differ in the lesion, or in the tag of one hospital and in nothing else."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
        )  # fmt: skip
        steps = torch.optim.Adam(network.parameters(), 0.02)
        for step in range(60):
            images = torch.cat(
                [
                    radiographs(
                        4,
                        lesion=bool(one) if of_the_lesion else bool(other),
                        tag=bool(other) if of_the_lesion else bool(one),
                        air=air,
                        seed=4 * step + 2 * one + other,
                    )
                    for one in (0, 1)
                    for other in (0, 1)
                ]
            )
            loss = nn.functional.cross_entropy(network(images), torch.tensor([0] * 8 + [1] * 8))
            steps.zero_grad()
            loss.backward()
            steps.step()
    return network.eval()


def asked(network: nn.Module, method: str, *, air: bool) -> tuple[dict[str, Check], tuple[str, str]]:
    image = NetworkInput(radiographs(1, lesion=True, tag=True, air=air, seed=991)[0].numpy(), np.eye(4))
    request, one = classify(method, budget=QUICK), opened(network)
    explained = Explained(one, image, request, explain(one, image, request))
    checks = check(explained, CheckSettings(enabled=False), weights_digest(network.state_dict()))
    # As if the dear questions had been answered with yes, which they are for a faithful map of a shortcut.
    dear = ("depends_on_weights", "deletion_gain_over_random")
    return {one.name: one for one in checks}, verdict((*checks, *(Check(name, True, 1.0, "yes") for name in dear)))


@pytest.fixture(scope="module", params=[True, False], ids=["in air", "filling the picture"])
def of_the_tag(request: pytest.FixtureRequest) -> tuple[nn.Module, bool]:
    return trained(of_the_lesion=False, air=request.param), request.param


@pytest.fixture(scope="module")
def of_the_lesion() -> nn.Module:
    return trained(of_the_lesion=True, air=True)


@pytest.mark.parametrize("method", METHODS_THAT_LOCATE)
def test_a_network_that_learnt_a_tag_at_the_border_raises_the_alarm(
    of_the_tag: tuple[nn.Module, bool], method: str
) -> None:
    network, air = of_the_tag

    checks, (trust, reason) = asked(network, method, air=air)

    if air:
        assert checks["energy_outside_body"].passed is False
        assert "of the map lies outside the body" in reason
    else:
        assert checks["energy_at_border"].passed is False
        assert "of the map lies at the image's border" in reason
    assert trust == "doubtful"


@pytest.mark.parametrize("method", METHODS_THAT_LOCATE)
def test_a_network_that_learnt_the_lesion_raises_none_in_the_same_image(of_the_lesion: nn.Module, method: str) -> None:
    checks, (trust, _) = asked(of_the_lesion, method, air=True)

    assert checks["energy_outside_body"].passed
    assert checks["energy_at_border"].passed
    assert trust == "supported"
