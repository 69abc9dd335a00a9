"""Several processes that train one network, as torchrun starts them; alone, nothing changes.

A batch is divided among the processes and the gradients are averaged, so a training
is the same on one card and on four, but for rounding (and for norms over the batch).
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ignite.distributed as idist
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from diascope.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Team:
    """Which process of how many this is.

    Attributes:
        device: Where its network is.
        rank: Its number, from 0.
        size: How many there are.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share_of(self, batch_size: int) -> int:
        """Give this process's part of a batch.

        Raises:
            ConfigError: The batch cannot be divided evenly.
        """
        if batch_size % self.size:
            raise ConfigError(
                f"batch_size {batch_size} cannot be divided among {self.size} processes",
                hint=f"set batch_size to a multiple of {self.size}",
            )
        return batch_size // self.size

    def wrap(self, network: nn.Module) -> nn.Module:
        """Have the gradients of a network averaged over the team."""
        if self.size == 1:
            return network
        if self.device.type == "cuda":
            shared = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # torch's
            return DistributedDataParallel(shared, device_ids=[self.device.index])
        return DistributedDataParallel(network)

    def mean_of(self, value: float) -> float:
        """Average a number over the team."""
        if self.size == 1:
            return value
        total = idist.all_reduce(torch.tensor(value, dtype=torch.float64, device=self.device))
        return float(total) / self.size

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Have the first process do something before the others do it."""
        if not self.is_first:
            idist.barrier()
        yield
        if self.is_first and self.size > 1:
            idist.barrier()


@contextmanager
def joined_team(device: str) -> Iterator[Team]:
    """Join the processes that torchrun started; without torchrun this one is the team.

    Args:
        device: As the config has it; with several processes on cards each takes the card of its local number.
    """
    if not torch.distributed.is_torchelastic_launched():
        yield Team(torch.device(device))
        return
    is_cuda = device.startswith("cuda")
    idist.initialize("nccl" if is_cuda else "gloo")
    try:
        own = torch.device("cuda", idist.get_local_rank()) if is_cuda else torch.device("cpu")
        yield Team(own, idist.get_rank(), idist.get_world_size())
        # Who ends while another still computes takes the connection away from under it.
        idist.barrier()
    finally:
        # What still holds the group at the interpreter's end (engines and their handlers are cycles)
        # leaves threads of gloo running, and C++ then aborts a process that has done its work.
        gc.collect()
        idist.finalize()
