import numpy as np
import pytest
from torch import nn

from diascope.errors import ConfigError
from diascope.explain.layers import FEWEST_CELLS_DRAWN, LayerSeen, choose_layer, layers_seen
from diascope.explain.subject import ChannelScore
from diascope.explain.windows import split
from tests.explain.networks import TinyUnet, drawn, textured

LAYERS = (
    LayerSeen("stem", 8, (64, 48), 1),
    LayerSeen("block1", 16, (32, 24), 1),
    LayerSeen("block2", 32, (8, 6), 1),
    LayerSeen("block3", 32, (4, 3), 1),
    LayerSeen("shared", 32, (8, 6), 2),
    LayerSeen("up", 32, (8, 6), 1),
    LayerSeen("head", 1, (16, 12), 1),
)


def test_the_layer_is_the_deepest_whose_grid_still_locates() -> None:
    assert choose_layer(LAYERS, None) == "up"


def test_what_is_drawn_voxel_by_voxel_gets_a_finer_layer() -> None:
    assert choose_layer(LAYERS, None, FEWEST_CELLS_DRAWN) == "block1"


def test_where_every_grid_is_too_coarse_the_finest_is_taken() -> None:
    assert choose_layer((*LAYERS[3:4], LayerSeen("last", 32, (2, 2), 1)), None) == "block3"


@pytest.mark.parametrize("name", ["shared", "head", "blok2"])
def test_a_layer_that_ran_twice_has_one_channel_or_does_not_exist_cannot_be_looked_at(name: str) -> None:
    with pytest.raises(ConfigError, match=f"no layer {name}") as caught:
        choose_layer(LAYERS, name)
    assert caught.value.code == "unknown_layer"


def test_the_layers_of_a_network_are_seen_in_the_order_in_which_they_end() -> None:
    network = drawn(TinyUnet, 2, 1)
    image = textured(2, 1, shape=(8, 12)).data
    windows = split(None, image, np.ones((8, 12), dtype=bool))

    seen = layers_seen(ChannelScore(network, "lesion", 1), windows)

    names = [layer.name for layer in seen]
    assert names.index("top") < names.index("down") < names.index("up") < names.index("head")
    assert next(layer for layer in seen if layer.name == "down").grid == (4, 6)
    assert not any(module._forward_hooks for module in network.modules())


def test_a_layer_that_gives_no_map_is_not_listed() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    windows = split(None, textured(2, 1, shape=(8, 12)).data, None)

    assert [layer.name for layer in layers_seen(ChannelScore(network, "a", 1), windows)] == ["0", "1"]
