"""Components are named from tables, and say what else there is."""

import pytest
import torch

from diascope.errors import ConfigError
from diascope.train.components import (
    build_loss,
    build_network,
    build_optimiser,
    build_schedule,
    bundle_preprocessing,
)
from diascope.train.settings import Component, LossSettings, OptimiserSettings, ScheduleSettings


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


def test_warm_up_rises_to_the_full_rate_and_the_cosine_ends_at_nothing() -> None:
    optimiser = build_optimiser(OptimiserSettings(learning_rate=0.5), torch.nn.Linear(1, 1))
    schedule = build_schedule(ScheduleSettings(args={"warmup_steps": 4}), optimiser, 20)
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()

    assert rates[0] == pytest.approx(0.005)
    assert max(rates) == rates[4] == pytest.approx(0.5)
    assert schedule.get_last_lr()[0] == pytest.approx(0.0, abs=1e-9)


def test_the_loss_of_a_certain_right_answer_is_near_nothing_and_of_a_wrong_one_is_not() -> None:
    loss = build_loss(LossSettings(), None)
    label = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    right = torch.cat([20 * (1 - label), 20 * label], dim=1)

    assert float(loss(right, label)) < 1e-3
    assert float(loss(right.flip(1), label)) > 10


def test_a_class_weight_raises_the_price_of_missing_that_class() -> None:
    label = torch.tensor([[[[0.0, 0.0, 0.0, 1.0]]]])
    missed = torch.zeros(1, 2, 1, 4)
    missed[:, 0] = 3.0  # says background everywhere

    plain = build_loss(LossSettings(dice_weight=0.0), None)(missed, label)
    weighted = build_loss(LossSettings(dice_weight=0.0), [0.5, 5.0])(missed, label)

    assert float(weighted) > 2 * float(plain)
