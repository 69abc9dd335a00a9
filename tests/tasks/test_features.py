from collections.abc import Iterator

import numpy as np
import pytest
import torch
from monai.networks.nets import DenseNet, UNet
from torch import nn

from diascope.errors import InputError
from diascope.tasks.features import watched


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def hooks_of(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


class Funnel(nn.Module):
    """Doubles the image in channel 1, halves its grid, and gives two classes at full size."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv3d(1, 3, 2, stride=2, bias=False)
        self.up = nn.ConvTranspose3d(3, 2, 2, stride=2)
        with torch.no_grad():
            self.down.weight.copy_(torch.tensor([1.0, 2.0, -1.0]).reshape(3, 1, 1, 1, 1).expand(3, 1, 2, 2, 2) / 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.down(x))


def test_features_are_the_mean_over_the_coarsest_map() -> None:
    image = torch.rand(1, 1, 4, 6, 8)
    network = Funnel().eval()

    with watched(network) as watch, torch.inference_mode():
        network(image)

    # The mean of the halved image is the mean of the image, times 1, 2 and -1.
    assert watch.layer == "down"
    np.testing.assert_allclose(watch.vector(), image.mean().item() * np.array([1, 2, -1]), rtol=1e-5)


def test_windows_count_alike_however_they_are_batched() -> None:
    windows = torch.rand(5, 1, 4, 6, 8)
    network = Funnel().eval()

    found = []
    for size in (1, 2, 5):
        with watched(network) as watch, torch.inference_mode():
            for part in windows.split(size):
                network(part)
        found.append(watch.vector())
        assert watch.windows == 5

    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5)


def test_no_hook_stays_and_the_answer_is_the_same_also_after_an_error() -> None:
    network = Funnel().eval()
    image = torch.rand(1, 1, 4, 4, 4)
    before = network(image)

    with pytest.raises(RuntimeError), watched(network):
        network(torch.rand(1, 7, 4, 4, 4))
    with watched(network):
        seen = network(image)

    assert hooks_of(network) == 0
    assert torch.equal(seen, before)


def test_a_u_net_gives_what_is_known_at_its_bottleneck() -> None:
    network = UNet(3, 1, 2, channels=(4, 8, 16), strides=(2, 2)).eval()

    with watched(network) as watch, torch.inference_mode():
        network(torch.rand(2, 1, 16, 16, 16))

    # MONAI's U-Net joins its bottleneck (16) with the level above (8) on the same grid.
    assert watch.vector().shape == (24,)


def test_a_classifier_gives_what_its_last_layer_reads() -> None:
    network = DenseNet(2, 1, 3, init_features=8, growth_rate=4, block_config=(2, 2)).eval()
    image = torch.rand(2, 1, 32, 48)

    with watched(network) as watch, torch.inference_mode():
        said = network(image)

    # The classes are a linear map of the features: nothing that decides is left out.
    last = network.class_layers.out
    expected = watch.vector() @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(said.mean(0).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_window_whose_numbers_are_not_finite_is_left_out() -> None:
    network = Funnel().eval()
    good = torch.rand(1, 1, 4, 4, 4)

    with watched(network) as watch, torch.inference_mode():
        network(torch.cat([good, torch.full_like(good, torch.inf)]))

    assert watch.windows == 1
    assert watch.vector()[0] == pytest.approx(good.mean().item(), rel=1e-5)


def test_a_network_without_any_map_is_named() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()

    with watched(network) as watch:
        network(torch.rand(1, 1, 8, 8))

    with pytest.raises(InputError, match="no layer of the network gives a map"):
        watch.vector()
