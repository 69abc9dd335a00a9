"""Does pre-training without labels help where labels are few? Hippocampus, a tenth of the labels, 3 seeds each way.

    python benchmarks/pretraining.py ../shared/data -o /tmp/pretraining

One pre-training by masked reconstruction on all training images; then, from it and from
nothing, the same short training on the first tenth of the labelled cases, for each seed.
At 2 mm and with half of the channels, so that it fits into minutes of one thread. No setting was chosen by looking
at these figures. Scored on the test cases' own voxels by the main path's steps.
"""

import argparse
import csv
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from diascope.config import config_folder, parse_settings
from diascope.evaluation.bootstrap import mean_estimate, resample
from diascope.train.bundle_training import train_bundle, train_interim
from diascope.train.progress import read_log
from diascope.train.scoring import TestScore, read_scores, score_bundle, write_scores
from diascope.train.settings import TrainConfig

SEEDS = (1, 2, 3)
LABELLED_FRACTION = 0.1
PRETRAINING_STEPS = 300
STEPS = 150


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("-o", "--out", type=Path, required=True)
    arguments.add_argument("--steps", type=int, default=STEPS, help="of each training with labels, in fifties")
    told = arguments.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    told.out.mkdir(parents=True, exist_ok=True)
    shipped = yaml.safe_load((config_folder() / "train_hippocampus_segmentation.yaml").read_text(encoding="utf-8"))
    manifest = config_folder().parent / "data_manifests" / "hippocampus.csv"
    base = coarse(shipped, told.data.resolve(), told.steps)

    start = told.out / "start"
    values = {**base, **reconstruction(base), "manifest": str(manifest), "seed": 1}
    began = time.monotonic()
    folder = train_bundle(parse_settings(TrainConfig, values), start)
    filled = read_log(start / "log.jsonl")[-1]["filled"]
    print(f"pre-training: {filled:.3f} of the hidden grey filled in, {(time.monotonic() - began) / 60:.1f} min")

    few = fewer_labels(manifest, told.out / "few.csv")
    scores: dict[str, list[list[TestScore]]] = {"nothing": [], "pre-training": []}
    for seed in SEEDS:
        for name, init in (("nothing", None), ("pre-training", {"bundle": str(folder)})):
            values = {**base, "manifest": str(told.out / "few.csv"), "seed": seed, "init_from": init}
            scores[name].append(trained(values, told.out / f"{name.replace('-', '_')}_{seed}"))
    print(table(scores, few, told.steps))
    (told.out / "table.json").write_text(json.dumps({name: [means(one) for one in of] for name, of in scores.items()}))


def coarse(shipped: dict[str, Any], data: Path, steps: int) -> dict[str, Any]:
    """The shipped config at 2 mm, and short."""
    values = {**shipped, "data_root": str(data), "device": "cpu", "threads": 1, "data_workers": 0, "precision": "fp32"}
    values["preprocessing"] = [
        {**one, "args": {**one["args"], "pixdim": [2.0, 2.0, 2.0]}} if one["name"] == "Spacingd" else one
        for one in shipped["preprocessing"]
    ]
    values["network"] = {**shipped["network"], "args": {**shipped["network"]["args"], "filters": [8, 16, 32, 64]}}
    window = [24, 32, 24]
    values["inferer"] = {**shipped["inferer"], "args": {**shipped["inferer"]["args"], "roi_size": window}}
    values["augmentation"] = [
        {**one, "args": {**one["args"], "spatial_size": window, "translate_range": [2, 2, 2]}}
        if one["name"] == "RandAffined"
        else one
        for one in shipped["augmentation"]
    ]
    values |= {"steps_per_epoch": 50, "epochs": steps // 50, "validate_every_epochs": steps // 50}
    return values


def reconstruction(base: dict[str, Any]) -> dict[str, Any]:
    """What a pre-training has instead: one output, images only."""
    network = {**base["network"], "args": {**base["network"]["args"], "out_channels": 1}}
    augmentation = [
        {**one, "args": {**one["args"], "keys": "image", **({"mode": "bilinear"} if "mode" in one["args"] else {})}}
        for one in base["augmentation"]
        if one["name"] in {"RandFlipd", "RandAffined"}
    ]
    return {
        "bundle": {**base["bundle"], "name": "hippocampus_start", "labels": []},
        "source": {"kind": "masked_reconstruction", "hidden_fraction": 0.5, "block_voxels": 4},
        "network": network,
        "augmentation": augmentation,
        "epochs": PRETRAINING_STEPS // 50,
        "validate_every_epochs": PRETRAINING_STEPS // 50,
    }


def fewer_labels(manifest: Path, target: Path) -> int:
    """Keep the first tenth of the training cases, and all others."""
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    train = sorted(row["case"] for row in rows if row["split"] == "train")
    kept = set(train[: round(LABELLED_FRACTION * len(train))])
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if row["split"] != "train" or row["case"] in kept)
    return len(kept)


def trained(values: dict[str, Any], out: Path) -> list[TestScore]:
    """Train and score on the test cases, or read what was scored before."""
    done = out / "test_scores.csv"
    if not done.is_file():
        config = parse_settings(TrainConfig, {key: value for key, value in values.items() if value is not None})
        write_scores(score_bundle(config, train_interim(config, out)), out)
    return list(read_scores(done))


def means(scores: list[TestScore]) -> dict[str, float]:
    """Mean Dice by label."""
    labels = dict.fromkeys(one.label for one in scores)
    return {label: float(np.mean([one.dice for one in scores if one.label == label])) for label in labels}


def table(scores: dict[str, list[list[TestScore]]], labelled: int, steps: int) -> str:
    """Say what came out, either way."""
    lines = [f"{labelled} labelled cases, {steps} steps, {len(SEEDS)} seeds; mean Dice on the test cases by seed"]
    for name, of in scores.items():
        by_label = {label: [means(one)[label] for one in of] for label in means(of[0])}
        shown = "; ".join(f"{label} " + " ".join(f"{value:.3f}" for value in seen) for label, seen in by_label.items())
        lines.append(f"from {name}: {shown}")
    patients = [one.patient for one in scores["nothing"][0]]
    apart = np.mean(
        [
            [helped.dice - plain.dice for plain, helped in zip(a, b, strict=True)]
            for a, b in zip(scores["nothing"], scores["pre-training"], strict=True)
        ],
        axis=0,
    )
    gain = mean_estimate(apart, resample(patients, np.random.default_rng(1)), nothing="no scores")
    lines.append(f"gain by pre-training, paired by case and seed, 95 % interval over patients: {gain}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
