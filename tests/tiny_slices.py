"""Bundles that answer slice by slice, with weights drawn by chance: what they say means nothing, how it flows does."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from diascope.bundles.detector import SliceDetector
from diascope.bundles.lock import write_lock
from diascope.bundles.slices import SliceClassifier

LABELS = {"1": "tumour", "2": "cyst"}
FILTERS = [4, 6, 8, 8, 8]


def write_slice_bundle(models: Path, task: str) -> Path:
    """Write and lock `tiny_classify` or `tiny_detect`, for images of any geometry.

    Every threshold is so low that something is seen, or found, in every image.
    """
    network: torch.nn.Module
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if task == "classify":
            network = SliceClassifier(1, len(LABELS) + 1, FILTERS)
            definition = {"_target_": "diascope.bundles.slices.SliceClassifier", "num_classes": len(LABELS) + 1}
        else:
            network = SliceDetector(1, len(LABELS), FILTERS, pyramid_channels=8)
            definition = {
                "_target_": "diascope.bundles.detector.SliceDetector",
                "num_classes": len(LABELS),
                "pyramid_channels": 8,
            }
        with torch.no_grad():
            for name, weights in network.named_parameters():
                if "cls_logits" in name or "bbox_reg" in name or name.endswith("head.1.weight"):
                    weights.copy_(torch.randn(weights.shape) * 0.3)
            if isinstance(network, SliceClassifier):
                network.head[1].bias.copy_(torch.tensor([-5.0, 0.0, 0.5]))
    folder = models / f"tiny_{task}"
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True)
    block: dict[str, Any] = {"format": 1, "task": task, "needs": "index", "labels": LABELS, "licence": "Apache-2.0"}
    metadata = {
        "version": "1.0.0",
        "description": "Says something, for tests.",
        "diascope": {**block, "modality": ["MR"], "min_score": 0.05},
    }
    steps = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "NormalizeIntensityd", "keys": "image"},
    ]
    inference = {
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "network_def": {**definition, "in_channels": 1, "filters": FILTERS},
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        "inferer": {"_target_": "diascope.bundles.slices.EachSlice"},
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
    save_file(network.state_dict(), folder / "models" / "model.safetensors")
    write_lock(models / "bundles.lock", folder)
    return folder
