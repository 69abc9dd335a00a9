"""Each loss does what its name says: formulas worked out by hand, and what each is chosen for."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diascope.errors import ConfigError
from diascope.train.losses import LOSSES, Penalised, at_step, build_loss
from diascope.train.recipe import LossSettings, RegularisationSettings
from diascope.train.sources import class_weights

# Two of eight voxels are foreground; the network gives them 0.8, one other voxel 0.6, the rest 0.1.
LABEL = torch.tensor([[[[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]])
CHANCE = torch.tensor([[[[0.8, 0.8, 0.6, 0.1], [0.1, 0.1, 0.1, 0.1]]]])


def logits(foreground: Tensor) -> Tensor:
    return torch.cat([(1 - foreground).log(), foreground.log()], dim=1)


def value(name: str, weights: list[float] | None = None, **args: object) -> float:
    return float(build_loss(LossSettings(name=name, args=args), weights)(logits(CHANCE), LABEL))


def test_dice_is_one_minus_twice_the_overlap_over_both_sizes() -> None:
    overlap, predicted, true = 1.6, 1.6 + 0.6 + 0.5, 2.0

    assert value("dice") == pytest.approx(1 - 2 * overlap / (predicted + true), abs=1e-4)


def test_tversky_weighs_false_alarms_and_misses_as_told() -> None:
    hits, alarms, misses = 1.6, 0.6 + 0.5, 0.4

    assert value("tversky", alpha=0.3, beta=0.7) == pytest.approx(
        1 - hits / (hits + 0.3 * alarms + 0.7 * misses), abs=1e-4
    )


def test_cross_entropy_is_the_mean_of_minus_the_logarithm_of_the_true_class() -> None:
    expected = -(2 * math.log(0.8) + math.log(0.4) + 5 * math.log(0.9)) / 8

    assert value("cross_entropy") == pytest.approx(expected, abs=1e-5)


def test_focal_loss_looks_away_from_what_is_already_right() -> None:
    chances = [0.8, 0.8, 0.4, *[0.9] * 5]

    # Lin et al. 2017, over both channels of softmax: the other class adds nothing, its truth is 0.
    expected = sum(-((1 - chance) ** 2) * math.log(chance) for chance in chances) / 16
    assert value("focal", gamma=2.0) == pytest.approx(expected, rel=1e-4)


def test_generalised_dice_is_not_ruled_by_the_large_label() -> None:
    label = torch.zeros(1, 1, 10, 10)
    label[..., :9, :] = 1.0
    label[..., 9, 0] = 2.0  # one voxel
    large, both = torch.full((1, 3, 10, 10), -8.0), torch.full((1, 3, 10, 10), -8.0)
    for spoken, small in ((large, False), (both, True)):
        spoken[:, 0] = 8.0
        spoken[:, 0, :9], spoken[:, 1, :9] = -8.0, 8.0
        if small:
            spoken[:, 0, 9, 0], spoken[:, 2, 9, 0] = -8.0, 8.0
    loss = build_loss(LossSettings(name="generalised_dice"), None)

    assert float(loss(both, label)) < 0.01
    assert float(loss(large, label)) > 0.5  # one voxel of a hundred, and half of the price or more


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_teaches_a_network_the_right_answer(name: str) -> None:
    torch.manual_seed(0)
    spoken = nn.Parameter(torch.zeros(1, 2, 2, 4))
    optimiser = torch.optim.Adam([spoken], lr=0.3)
    loss = build_loss(LossSettings(name=name), None)
    for _ in range(60):
        optimiser.zero_grad()
        loss(spoken, LABEL).backward()
        optimiser.step()

    assert torch.equal(spoken.argmax(1, keepdim=True).float(), LABEL)


@pytest.mark.parametrize("name", ["cross_entropy", "dice_ce", "focal"])
def test_a_class_weight_raises_the_price_of_missing_that_class(name: str) -> None:
    missed = logits(torch.full_like(CHANCE, 0.02))
    settings = LossSettings(name=name, dice_weight=0.0)

    plain = float(build_loss(settings, None)(missed, LABEL))
    weighted = float(build_loss(settings, [0.5, 5.0])(missed, LABEL))

    assert weighted > 2 * plain


def test_an_overlap_loss_refuses_class_weights_with_those_that_take_them() -> None:
    with pytest.raises(ConfigError, match="tversky takes no class weights") as refused:
        build_loss(LossSettings(name="tversky"), [1.0, 2.0])

    assert "focal" in refused.value.hint


def test_a_wrong_name_or_argument_is_refused() -> None:
    with pytest.raises(ConfigError, match="no loss named Tverski") as refused:
        build_loss(LossSettings(name="Tverski"), None)
    assert refused.value.hint.startswith("did you mean tversky")
    with pytest.raises(ConfigError, match=r"loss focal: .*gama"):
        build_loss(LossSettings(name="focal", args={"gama": 1}), None)


def test_the_price_of_large_kernels_is_the_formula_and_spares_biases() -> None:
    network = nn.Linear(2, 1)
    nn.init.constant_(network.bias, 100.0)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[3.0, -4.0]]))
    nothing = nn.Module()
    nothing.forward = lambda logits, label: logits.sum() * 0  # type: ignore[method-assign]

    penalised = Penalised(nothing, network, RegularisationSettings(l1=0.1, l2=0.02))
    found = penalised(torch.zeros(1, 2, 1), torch.zeros(1, 1, 1))
    found.backward()

    assert found.item() == pytest.approx(0.1 * 7 + 0.5 * 0.02 * 25)
    assert network.weight.grad is not None
    assert network.weight.grad.tolist()[0] == pytest.approx([0.1 + 0.06, -0.1 - 0.08])
    assert network.bias.grad is None


def test_l1_empties_a_weight_that_nothing_needs_and_l2_only_shrinks_it() -> None:
    ends = {}
    for name, settings in (("l1", RegularisationSettings(l1=0.05)), ("l2", RegularisationSettings(l2=0.05))):
        torch.manual_seed(0)
        network = nn.Linear(2, 2, bias=False)
        loss = Penalised(build_loss(LossSettings(name="cross_entropy"), None), network, settings)
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        for _ in range(300):
            optimiser.zero_grad()
            seen = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])  # the second number is always nothing
            loss(network(seen), torch.tensor([[0.0], [1.0]])).backward()
            optimiser.step()
        ends[name] = network.weight.detach()[:, 1].abs().max()

    assert ends["l1"] < 0.006  # within one step of nothing
    assert ends["l2"] > 0.05


def test_a_rare_class_weighs_more_and_by_the_root_or_in_full() -> None:
    frequencies = np.array([0.81, 0.16, 0.03])

    whole, root = (class_weights(frequencies, kind) for kind in ("inverse_frequency", "inverse_sqrt_frequency"))

    assert class_weights(frequencies, "none") is None
    assert whole is not None
    assert root is not None
    assert whole[2] / whole[0] == pytest.approx(27)
    assert root[1] / root[0] == pytest.approx(9 / 4)
    assert np.mean(whole) == pytest.approx(1) == pytest.approx(np.mean(root))


def test_weighted_by_frequency_both_classes_pull_alike_on_a_network_that_knows_nothing() -> None:
    label = torch.zeros(1, 1, 10, 10)
    label[..., 0, :5] = 1.0  # one voxel in twenty
    pulls = {}
    for kind in ("none", "inverse_frequency"):
        logits = torch.zeros(1, 2, 10, 10, requires_grad=True)
        weights = class_weights(np.array([0.95, 0.05]), kind)
        build_loss(LossSettings(name="cross_entropy"), weights)(logits, label).backward()
        assert logits.grad is not None
        pulls[kind] = float(logits.grad[:, 1].sum())

    assert pulls["none"] > 0.4  # everything pulls towards background
    assert pulls["inverse_frequency"] == pytest.approx(0, abs=1e-5)


def test_class_weights_sink_to_one_between_the_steps_that_are_named() -> None:
    loss = build_loss(LossSettings(ce_weight=1.0, dice_weight=0.0, weights_fade=(100, 300)), [0.25, 4.0])
    plain = value("cross_entropy")
    weighted = value("cross_entropy", [0.25, 4.0])
    half = value("cross_entropy", [0.5, 2.0])

    seen = {}
    for step in (1, 100, 200, 300, 5000):
        at_step(nn.Sequential(loss), step)
        seen[step] = float(loss(logits(CHANCE), LABEL))

    assert seen[1] == seen[100] == pytest.approx(weighted)
    assert seen[200] == pytest.approx(half)
    assert seen[300] == seen[5000] == pytest.approx(plain)
    assert abs(weighted - plain) > 0.005  # pytest.approx above is a thousand times stricter


def test_weights_that_do_not_fade_stay() -> None:
    loss = build_loss(LossSettings(name="cross_entropy"), [0.25, 4.0])
    before = float(loss(logits(CHANCE), LABEL))

    at_step(loss, 10_000)

    assert float(loss(logits(CHANCE), LABEL)) == before


def test_a_fading_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="ends at step 100 before it begins at step 300"):
        LossSettings(weights_fade=(300, 100))
