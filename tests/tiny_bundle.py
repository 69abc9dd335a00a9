"""A bundle whose answer is known by construction: bright voxels are `bright`, the rest is background."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from diascope.bundles.lock import write_lock

THRESHOLD = 150.0


def write_tiny_bundle(
    models: Path,
    name: str = "tiny_bright",
    *,
    needs: str = "grid",
    spacing_mm: Sequence[float] | None = None,
    threshold: float = THRESHOLD,
    brighter: float | None = None,
) -> Path:
    """Write and lock a bundle that draws every voxel above a threshold, and above a second one as another label.

    Its network is one 1x1x1 convolution; its steps bring the image to RAS and,
    where a spacing is given, resample it.
    """
    folder = models / name
    thresholds = {"bright": threshold} | ({"brighter": brighter} if brighter is not None else {})
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    metadata = {
        "version": "1.0.0",
        "monai_version": "1.6.1",
        "pytorch_version": "2.13.0",
        "description": "Draws what is brighter than a threshold; for tests.",
        "diascope": {
            "format": 1,
            "task": "segment",
            "needs": needs,
            "labels": {str(value): label for value, label in enumerate(thresholds, start=1)},
            "colours": dict(zip(thresholds, ("#d62728", "#1f77b4"), strict=False)),
            "activation": "softmax",
            "licence": "Apache-2.0",
            "modality": ["MR"],
        },
    }
    steps: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
    ]
    if needs == "grid":
        steps.append({"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None})
    if spacing_mm is not None:
        steps.append({"_target_": "Spacingd", "keys": "image", "pixdim": list(spacing_mm), "mode": "bilinear"})
    inference = {
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "network_def": {
            "_target_": "torch.nn.Conv3d",
            "in_channels": 1,
            "out_channels": 1 + len(thresholds),
            "kernel_size": 1,
        },
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "sw_batch_size": 2, "overlap": 0.25},
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
    # Class 0 says 0 everywhere, and each next one overtakes the one before at its threshold, interpolated or not.
    slopes = 0.1 * torch.arange(1 + len(thresholds), dtype=torch.float32)
    biases = -0.1 * torch.tensor([0.0, *thresholds.values()]).cumsum(0)
    weights = {"weight": slopes.reshape(-1, 1, 1, 1, 1), "bias": biases}
    save_file(weights, folder / "models" / "model.safetensors")
    write_lock(models / "bundles.lock", folder)
    return folder
