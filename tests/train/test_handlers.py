"""A training ends when it no longer gets better, keeps its best network, and stops before a bad number spoils it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from diascope.config import parse_settings
from diascope.errors import InputError
from diascope.train.components import build_network
from diascope.train.engine import best_weights, newest_weights
from diascope.train.handlers import best_epoch, is_stalled
from diascope.train.losses import LOSSES
from diascope.train.progress import read_log
from diascope.train.recipe import RegularisationSettings
from diascope.train.settings import TrainConfig
from diascope.train.training import train_network
from tests.train.training_phantoms import write_slices


def history(*dice: float | None) -> list[dict[str, float]]:
    return [
        {"epoch": float(epoch), "loss": 1.0, **({} if value is None else {"dice": value})}
        for epoch, value in enumerate(dice, start=1)
    ]


def test_a_training_is_stalled_after_so_many_validations_without_a_better_one() -> None:
    told = RegularisationSettings(stop_after_validations=2)

    assert not is_stalled(history(0.1, 0.5, 0.4), "dice", told)
    assert is_stalled(history(0.1, 0.5, 0.4, 0.5), "dice", told)
    assert not is_stalled(history(0.1, 0.5, 0.4, 0.6, 0.5), "dice", told)


def test_epochs_without_a_validation_do_not_count() -> None:
    told = RegularisationSettings(stop_after_validations=2)

    assert not is_stalled(history(0.5, None, None, 0.4, None), "dice", told)
    assert is_stalled(history(0.5, None, 0.4, None, 0.4), "dice", told)


def test_a_gain_smaller_than_the_least_improvement_is_none() -> None:
    creeping = history(0.50, 0.505, 0.509)

    assert is_stalled(creeping, "dice", RegularisationSettings(stop_after_validations=2, least_improvement=0.02))
    assert not is_stalled(creeping, "dice", RegularisationSettings(stop_after_validations=2, least_improvement=0.001))


def test_without_early_stopping_nothing_is_stalled() -> None:
    assert not is_stalled(history(*[0.1] * 50), "dice", RegularisationSettings())


def test_the_best_epoch_is_the_first_of_equal_ones_and_never_one_that_is_no_number() -> None:
    assert best_epoch(history(0.2, float("nan"), 0.7, 0.7, None, 0.3), "dice") == 3
    assert best_epoch(history(None, None), "dice") is None


def test_a_training_that_cannot_get_better_ends_early_and_is_not_begun_again(tmp_path: Path) -> None:
    rules = {"stop_after_validations": 2, "least_improvement": 1.0}
    config = {**write_slices(tmp_path), "epochs": 30, "steps_per_epoch": 1, "regularisation": rules}

    train_network(parse_settings(TrainConfig, config), tmp_path / "out")
    first = (tmp_path / "out" / "log.jsonl").read_text()
    train_network(parse_settings(TrainConfig, config), tmp_path / "out")

    assert [line["epoch"] for line in read_log(tmp_path / "out" / "log.jsonl")] == [1, 2, 3]
    assert (tmp_path / "out" / "log.jsonl").read_text() == first


def test_the_network_of_the_best_epoch_is_kept_and_given_where_it_is_asked_for(tmp_path: Path) -> None:
    # At this rate the last epochs spoil what the first ones learnt.
    config = {**write_slices(tmp_path), "epochs": 4, "steps_per_epoch": 6, "weights": "best"}
    states: dict[int, dict[str, torch.Tensor]] = {}

    def keep(epoch: int, metrics: Mapping[str, float]) -> None:
        found = newest_weights(tmp_path / "out" / "checkpoints")
        assert found is not None
        states[epoch] = found

    network = train_network(parse_settings(TrainConfig, config), tmp_path / "out", [keep])

    best = best_epoch(read_log(tmp_path / "out" / "log.jsonl"), "dice")
    assert best is not None
    kept = best_weights(tmp_path / "out" / "checkpoints")
    assert kept is not None
    assert all(torch.equal(value, states[best][name]) for name, value in kept.items())
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    assert not all(torch.equal(states[best][name], states[min(set(states) - {best})][name]) for name in kept)


@pytest.mark.parametrize("clip_norm", [0.05, 0.0])
def test_a_gradient_is_clipped_to_the_norm_and_to_none_where_it_is_0(tmp_path: Path, clip_norm: float) -> None:
    optimiser = {"name": "sgd", "learning_rate": 1.0, "clip_norm": clip_norm}
    config = {**write_slices(tmp_path), "optimiser": optimiser, "schedule": {"name": "constant"}}
    torch.manual_seed(config["seed"])
    before = build_network(parse_settings(TrainConfig, config).network)

    after = train_network(parse_settings(TrainConfig, {**config, "epochs": 1, "steps_per_epoch": 1}), tmp_path / "out")

    start = dict(before.named_parameters())
    moved = torch.cat([(value - start[name]).flatten() for name, value in after.named_parameters()]).norm().item()
    # One step of plain descent moves as far as the gradient is long.
    assert moved == pytest.approx(0.05, rel=1e-3) if clip_norm else moved > 0.1


class Steep(torch.nn.Module):
    """A loss that is finite for ever, and whose gradient is not from the third step on."""

    def __init__(self, *_: Any) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        # The square root of nothing: 0, rising without bound.
        return logits.square().mean() + ((logits.sum() * 0).sqrt() if self.steps > 2 else 0)


def test_an_infinite_gradient_stops_the_training_before_the_weights_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSSES, "steep", Steep)  # type: ignore[arg-type]
    config = {**write_slices(tmp_path), "epochs": 3, "steps_per_epoch": 2, "batch_size": 1, "loss": {"name": "steep"}}

    with pytest.raises(InputError, match=r"the gradient is nan at step 3, on an image of case case-\d") as stopped:
        train_network(parse_settings(TrainConfig, config), tmp_path / "out")

    assert stopped.value.code == "loss_not_finite"
    kept = newest_weights(tmp_path / "out" / "checkpoints")
    assert kept is not None
    assert all(bool(torch.isfinite(value).all()) for value in kept.values())
