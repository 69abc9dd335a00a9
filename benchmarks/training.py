"""Does the data side starve the network? Time of a full training step over that of the network alone, for each source.

    python benchmarks/training.py ../shared/data [CONFIG ...] [--steps 15]

A full step waits for a batch that a worker process makes; the network's own step takes a
batch that is there already. 1.0 is perfect, 1.2 the most that is wanted.

By the clock that holds on an idle machine only. By processor time it holds on a busy one too:
where network and worker have cores of their own, a step takes as long as the slower of the two, the
network's process (with what it takes to receive a batch) or the worker; where they have not
(as many threads as cores), it takes what both need together.
"""

import argparse
import csv
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.data import DataLoader

from diascope.config import find_config
from diascope.train.components import build_network, build_optimiser
from diascope.train.settings import TrainConfig, load_train_config
from diascope.train.sources import CountingSampler, Draws
from diascope.train.training import loss_of, training_data

CONFIGS = (
    "train_brain_structures_segmentation",
    "train_flair_glioma_segmentation",
    "train_hippocampus_segmentation",
    "train_flair_glioma_classification",
    "train_flair_glioma_detection",
    "train_chest_xray_lung_segmentation",
    "train_chest_xray_covid_classification",
)
# The first steps fill the queue and warm the caches.
WARM_STEPS = 4


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("configs", nargs="*", default=CONFIGS)
    arguments.add_argument("--steps", type=int, default=15)
    arguments.add_argument("--cases", type=int, default=6, help="training cases that are read")
    told = arguments.parse_args()
    warnings.simplefilter("ignore")
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f} before; median seconds of {told.steps} steps")
    for name in told.configs:
        config = load_train_config(find_config(name), [f"data_root={told.data.resolve()}", "device=cpu"])
        seen = measured(few(config, told.cases), told.steps)
        ratio = by_processor_time(seen, config, cores)
        print(
            f"{name}: ratio {seen.full / seen.alone:.2f} by the clock, {ratio:.2f} by processor time (network "
            f"{seen.alone_cpu:.3f} s, with receiving {seen.full_cpu:.3f} s, making it {seen.data_cpu:.3f} s), "
            f"load {os.getloadavg()[0]:.0f}",
            flush=True,
        )


@dataclass(frozen=True)
class Times:
    """Median seconds of a step."""

    full: float
    alone: float
    full_cpu: float
    alone_cpu: float
    data_cpu: float


def by_processor_time(seen: Times, config: TrainConfig, cores: int) -> float:
    """Time of a full step over that of the network alone, on a machine that does nothing else."""
    threads, workers = config.threads or cores, config.data_workers
    if workers and threads + workers <= cores:
        return max(seen.full_cpu / threads, seen.data_cpu / workers) * threads / seen.alone_cpu
    return (seen.full_cpu + seen.data_cpu) / seen.alone_cpu


def few(config: TrainConfig, cases: int) -> TrainConfig:
    """Read a part of the cases only: the step is measured, not the reading."""
    with config.manifest.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    train, held = ([row for row in rows if row["split"] == split] for split in ("train", "calibration"))
    kept = [*train[:cases], *held[: max(1, cases // 4)]]
    target = Path(tempfile.mkdtemp()) / config.manifest.name
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    return config.model_copy(update={"manifest": target, "validation_images": 1})


def measured(config: TrainConfig, steps: int) -> Times:
    """Time full steps, steps of the network alone, and the making of a batch."""
    torch.set_num_threads(config.threads or torch.get_num_threads())
    data = training_data(config)
    network = build_network(config.network)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimiser, loss = build_optimiser(config.optimiser, network), loss_of(config, data, network)
    loader = DataLoader(
        Draws(data.source),
        batch_size=config.batch_size,
        sampler=CountingSampler(0),
        num_workers=max(config.data_workers, 1),
    )

    def step(batch: dict[str, torch.Tensor]) -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
            answer = network(batch["image"])
        loss(answer.float() if isinstance(answer, torch.Tensor) else answer, batch["label"]).backward()
        optimiser.step()

    batches = iter(loader)
    batch = next(batches)
    full, full_cpu = timed(lambda _: step(next(batches)), steps)
    alone, alone_cpu = timed(lambda _: step(batch), steps)
    first = config.batch_size
    _, data_cpu = timed(lambda at: [data.source.draw(at * first + one) for one in range(first)], steps)
    return Times(full, alone, full_cpu, alone_cpu, data_cpu)


def timed(do: Callable[[int], object], steps: int) -> tuple[float, float]:
    """Median seconds of doing something, by the clock and by this process's processor time."""
    by_clock, by_processor = [], []
    for number in range(WARM_STEPS + steps):
        began = time.perf_counter(), time.process_time()
        do(number)
        if number >= WARM_STEPS:
            by_clock.append(time.perf_counter() - began[0])
            by_processor.append(time.process_time() - began[1])
    return statistics.median(by_clock), statistics.median(by_processor)


if __name__ == "__main__":
    main()
