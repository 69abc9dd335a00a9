"""Each decay is the formula its name says, torch's own where torch has it, with a warm-up before any of them."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch.optim import Optimizer, lr_scheduler

from diascope.errors import ConfigError
from diascope.train.recipe import ScheduleSettings
from diascope.train.schedules import DECAYS, build_schedule

RATE = 0.5
STEPS = 20


def optimiser() -> Optimizer:
    return torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=RATE)


def followed(schedule: lr_scheduler.LRScheduler, steps: int = STEPS) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return rates


def rates_of(name: str, warmup_steps: int = 0, **args: float) -> list[float]:
    settings = ScheduleSettings(name=name, args=args, warmup_steps=warmup_steps)
    return followed(build_schedule(settings, optimiser(), STEPS))


def test_one_over_t_really_is_one_over_t() -> None:
    rates = rates_of("1/t", decay=0.25)

    # After 4 steps of decay 1/4 the rate is a half, after 12 a quarter.
    assert [rates[at] for at in (0, 4, 12)] == pytest.approx([RATE, RATE / 2, RATE / 4])
    assert [RATE / rate for rate in rates] == pytest.approx([1 + 0.25 * step for step in range(STEPS)])


@pytest.mark.parametrize(
    ("name", "args", "theirs"),
    [
        ("step", {"step_size": 7, "gamma": 0.3}, lambda opt: lr_scheduler.StepLR(opt, 7, 0.3)),
        ("exponential", {"gamma": 0.9}, lambda opt: lr_scheduler.ExponentialLR(opt, 0.9)),
        ("cosine", {}, lambda opt: lr_scheduler.CosineAnnealingLR(opt, STEPS)),
        ("polynomial", {"power": 2.0}, lambda opt: lr_scheduler.PolynomialLR(opt, STEPS, 2.0)),
        ("constant", {}, lambda opt: lr_scheduler.ConstantLR(opt, 1.0)),
    ],
)
def test_a_decay_agrees_with_torchs_own(
    name: str, args: dict[str, float], theirs: Callable[[Optimizer], lr_scheduler.LRScheduler]
) -> None:
    assert rates_of(name, **args) == pytest.approx(followed(theirs(optimiser())))


def test_the_cosine_ends_at_the_part_it_was_told() -> None:
    schedule = build_schedule(ScheduleSettings(name="cosine", args={"end": 0.1}), optimiser(), STEPS)
    followed(schedule)

    assert schedule.get_last_lr()[0] == pytest.approx(0.1 * RATE)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("1/t", {"decay": 0.25}),
        ("constant", {}),
        ("cosine", {}),
        ("exponential", {"gamma": 0.9}),
        ("polynomial", {}),
        ("step", {"step_size": 3}),
    ],
)
def test_a_warm_up_rises_in_a_straight_line_before_any_decay_which_then_begins_at_its_beginning(
    name: str, args: dict[str, float]
) -> None:
    rates = rates_of(name, warmup_steps=5, **args)

    assert rates[0] == pytest.approx(0.01 * RATE)
    assert len({round(right - left, 9) for left, right in itertools.pairwise(rates[:6])}) == 1
    decay = DECAYS[name]
    assert rates[5:] == pytest.approx([RATE * decay(step, STEPS - 5, **args) for step in range(STEPS - 5)])


def test_every_decay_is_tried_with_a_warm_up() -> None:
    tried = {"1/t", "constant", "cosine", "exponential", "polynomial", "step"}

    assert tried == set(DECAYS)


def test_a_resumed_schedule_goes_on_with_the_same_rates() -> None:
    settings = ScheduleSettings(name="cosine", warmup_steps=4)
    whole = followed(build_schedule(settings, optimiser(), STEPS))
    first = build_schedule(settings, optimiser(), STEPS)
    begun = followed(first, 9)
    resumed = build_schedule(settings, optimiser(), STEPS)
    resumed.load_state_dict(first.state_dict())

    # The first rate of a fresh optimiser is not the schedule's: torch keeps it in the optimiser's state.
    assert begun + followed(resumed, STEPS - 9) == pytest.approx(whole)


def test_a_wrong_name_is_answered_with_the_near_ones() -> None:
    with pytest.raises(ConfigError, match="no schedule named cosin") as refused:
        build_schedule(ScheduleSettings(name="cosin"), optimiser(), STEPS)

    assert refused.value.hint.startswith("did you mean cosine")


def test_a_wrong_argument_is_refused_with_the_schedules_name() -> None:
    with pytest.raises(ConfigError, match=r"schedule 1/t: .*decline"):
        build_schedule(ScheduleSettings(name="1/t", args={"decay": 1, "decline": 1}), optimiser(), STEPS)
    with pytest.raises(ConfigError, match=r"schedule warmup_cosine: it has no argument gamma"):
        build_schedule(ScheduleSettings(args={"gamma": 1}), optimiser(), STEPS)


def test_monais_warm_up_with_cosine_ends_at_nothing() -> None:
    rates = rates_of("warmup_cosine", warmup_steps=5)

    assert rates[5] == pytest.approx(RATE) == pytest.approx(max(rates))
    assert rates[-1] < 0.02 * RATE
    assert not math.isclose(rates[0], RATE)
