"""What an attribution method is given and gives back: the plug-in point of methods."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from diascope.explain.layers import LayerSeen
from diascope.explain.settings import MethodBudget
from diascope.explain.subject import Subject
from diascope.explain.windows import Windows


@dataclass(frozen=True, slots=True, eq=False)
class MethodInput:
    """A few windows and the score that is to be explained in them.

    Attributes:
        subject: Gives one number per window.
        windows: As many as fit in one pass.
        baseline: The same windows with everything local blurred away.
        layer: Name of the layer to look at; empty for methods that look at none.
        budget: How much may be computed.
        at_once: Windows that fit in one pass.
        seed: For methods that draw.
    """

    subject: Subject
    windows: Windows
    baseline: Windows
    layer: str
    budget: MethodBudget
    at_once: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """The raw maps of a few windows.

    Attributes:
        maps: (n, x, y, z) or (n, x, y), on the grid that the method works on. Maps of
            windows that overlap are added, so a map is a share of the score.
        sums: (n,) what each map adds up to, for methods that promise completeness.
        changes: (n,) what it should add up to: the score's change from the baseline.
    """

    maps: torch.Tensor
    sums: torch.Tensor | None = None
    changes: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """An attribution method, and when it must not be used.

    Attributes:
        run: Makes the maps.
        needs_layer: Whether it looks at one layer.
        needs_baseline: Whether it compares with the blurred image.
        refusal: Gives the reason why it would be wrong for a network, else nothing.
        warning: What everybody who sees such a map must be told.
    """

    run: Callable[[MethodInput], Attribution]
    needs_layer: bool = False
    needs_baseline: bool = False
    refusal: Callable[[nn.Module, Sequence[LayerSeen]], str] = lambda _network, _layers: ""
    warning: str = ""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from a seed, and leave the process's own generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
