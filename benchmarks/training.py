"""Does the data side starve the network? Time of a full training step over that of the network alone, for each source.

    python benchmarks/training.py ../shared/data [CONFIG ...]

A full step waits for a batch that a worker process makes; the network's own step takes a
batch that is there already. 1.0 is perfect, 1.2 the most that is wanted. On a machine that
is busy with other things both are slower, and the ratio is no longer that of the code.
"""

import argparse
import csv
import os
import statistics
import tempfile
import time
import warnings
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
        full, alone = measured(few(config, told.cases), told.steps)
        print(f"{name}: full {full:.3f}, network {alone:.3f}, ratio {full / alone:.2f}, load {os.getloadavg()[0]:.1f}")


def few(config: TrainConfig, cases: int) -> TrainConfig:
    """Read a part of the cases only: the step is measured, not the reading."""
    with config.manifest.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    train, held = ([row for row in rows if row["split"] == split] for split in ("train", "calibration"))
    kept = [*train[:cases], *held[:1]]
    target = Path(tempfile.mkdtemp()) / config.manifest.name
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    return config.model_copy(update={"manifest": target, "validation_images": 1})


def measured(config: TrainConfig, steps: int) -> tuple[float, float]:
    """Median seconds of a full step, and of the network's own."""
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
    full, alone = [], []
    for number in range(WARM_STEPS + steps):
        began = time.perf_counter()
        batch = next(batches)
        step(batch)
        if number >= WARM_STEPS:
            full.append(time.perf_counter() - began)
    del batches, loader
    for number in range(WARM_STEPS + steps):
        began = time.perf_counter()
        step(batch)
        if number >= WARM_STEPS:
            alone.append(time.perf_counter() - began)
    return statistics.median(full), statistics.median(alone)


if __name__ == "__main__":
    main()
