"""What a network says is numbers, or nothing is said."""

import numpy as np
import pytest
import torch

from diascope.bundles.network import NetworkInput, OpenNetwork
from diascope.errors import InputError
from diascope.tasks.inference import run_network

OPENED = OpenNetwork(torch.nn.Identity(), lambda image, network: network(image), torch.device("cpu"))


def test_the_numbers_of_the_network_come_back_as_they_are() -> None:
    data = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)

    np.testing.assert_array_equal(run_network(OPENED, NetworkInput(data, np.eye(4))), data)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_an_image_that_makes_a_network_say_no_number_is_no_image_without_findings(odd: float) -> None:
    data = np.zeros((1, 2, 3, 4), dtype=np.float32)
    data[0, 1, 2, 3] = odd

    with pytest.raises(InputError, match="not finite") as caught:
        run_network(OPENED, NetworkInput(data, np.eye(4)))

    assert caught.value.code == "not_finite"
