"""What a training consists of while it runs."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer, lr_scheduler

from diascope.train.settings import TrainConfig
from diascope.train.start import Frozen
from diascope.train.team import Team


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A network that learns.

    Attributes:
        config: Its settings.
        network: What learns; not wrapped, whatever the team.
        optimiser: Moves its weights.
        schedule: Sets the rate of each step.
        loss: What is lowered.
        team: The processes that train it together.
        frozen: Weights that stay as they are; None where all learn.
    """

    config: TrainConfig
    network: nn.Module
    optimiser: Optimizer
    schedule: lr_scheduler.LRScheduler
    loss: nn.Module
    team: Team
    frozen: Frozen | None = None

    @property
    def state(self) -> dict[str, Any]:
        """Everything a checkpoint holds besides the trainer's position."""
        return {"network": self.network, "optimiser": self.optimiser, "schedule": self.schedule}
