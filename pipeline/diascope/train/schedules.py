"""Learning-rate decay by name: the rate of each optimiser step, with a warm-up before any of them.

Each decay is a formula of the step and the number of steps, so that a resumed or a
lengthened training knows its rate without a history.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping

from monai.optimizers import WarmupCosineSchedule
from torch.optim import Optimizer, lr_scheduler

from diascope.errors import ConfigError
from diascope.train.names import pick
from diascope.train.recipe import ScheduleSettings

# A warm-up begins with this part of the rate: with 0 the first step would be lost.
WARMUP_BEGINS_WITH = 0.01


def constant(_step: int, _total_steps: int) -> float:
    """Keep the rate."""
    return 1.0


def step_decay(step: int, _total_steps: int, step_size: int, gamma: float = 0.1) -> float:
    """Multiply by gamma after every `step_size` steps."""
    return float(gamma ** (step // step_size))


def exponential(step: int, _total_steps: int, gamma: float) -> float:
    """Multiply by gamma after every step."""
    return float(gamma**step)


def inverse_time(step: int, _total_steps: int, decay: float) -> float:
    """Decay as 1 / (1 + decay · t), t in steps (after Robbins and Monro, 1951)."""
    return 1.0 / (1.0 + decay * step)


def cosine(step: int, total_steps: int, end: float = 0.0) -> float:
    """Fall along half a cosine to the part `end` of the rate (Loshchilov and Hutter, SGDR, ICLR 2017)."""
    part = min(step / max(total_steps, 1), 1.0)
    return end + (1.0 - end) * 0.5 * (1.0 + math.cos(math.pi * part))


def polynomial(step: int, total_steps: int, power: float = 0.9) -> float:
    """Fall as (1 - t / T) ** power."""
    return float((1.0 - min(step / max(total_steps, 1), 1.0)) ** power)


DECAYS: Mapping[str, Callable[..., float]] = {
    "1/t": inverse_time,
    "constant": constant,
    "cosine": cosine,
    "exponential": exponential,
    "polynomial": polynomial,
    "step": step_decay,
}

# MONAI's own, in which the warm-up is an argument: kept for configs that name it.
WARMUP_COSINE = "warmup_cosine"


def build_schedule(settings: ScheduleSettings, optimiser: Optimizer, total_steps: int) -> lr_scheduler.LRScheduler:
    """Build the schedule of the learning rate, stepped once per optimiser step.

    Raises:
        ConfigError: There is no such schedule, or it has no such argument.
    """
    if settings.name == WARMUP_COSINE:
        return _warmup_cosine(settings, optimiser, total_steps)
    decay = pick(DECAYS, settings.name, "schedule", also=[WARMUP_COSINE])
    try:
        inspect.signature(decay).bind(0, total_steps, **settings.args)
    except TypeError as error:
        raise ConfigError(f"schedule {settings.name}: {error}") from None
    factor = functools.partial(
        _factor, decay=functools.partial(decay, **settings.args), warmup=settings.warmup_steps, total_steps=total_steps
    )
    return lr_scheduler.LambdaLR(optimiser, factor)


def _factor(step: int, decay: Callable[[int, int], float], warmup: int, total_steps: int) -> float:
    if step < warmup:
        return WARMUP_BEGINS_WITH + (1 - WARMUP_BEGINS_WITH) * step / warmup
    return decay(step - warmup, total_steps - warmup)


def _warmup_cosine(settings: ScheduleSettings, optimiser: Optimizer, total_steps: int) -> lr_scheduler.LRScheduler:
    unknown = sorted(set(settings.args) - {"warmup_steps"})
    if unknown:
        raise ConfigError(f"schedule {WARMUP_COSINE}: it has no argument {unknown[0]}, only warmup_steps")
    asked = settings.warmup_steps or int(settings.args.get("warmup_steps", 100))
    built: lr_scheduler.LRScheduler = WarmupCosineSchedule(
        optimiser, min(asked, total_steps // 4), total_steps, warmup_multiplier=WARMUP_BEGINS_WITH
    )
    return built
