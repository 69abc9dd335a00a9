"""From a checkpoint to a bundle in the layout of MONAI's model zoo."""

import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from diascope.bundles.lock import write_lock
from diascope.errors import ConfigError
from diascope.geometry import FieldOfView
from diascope.image_facts import AgeRange
from diascope.train.answer_kinds import output_description, task_of
from diascope.train.bundle_config import inference_config
from diascope.train.settings import TrainConfig

# The largest file that may be in the repository.
LARGEST_WEIGHTS_BYTES = 16_000_000

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"


def write_bundle(
    config: TrainConfig, network: nn.Module, folder: Path, card: str, chosen: Mapping[str, Any] | None = None
) -> None:
    """Write metadata, inference config, weights, card and licence.

    Args:
        config: The training.
        network: The trained network.
        folder: The bundle to be; files of an older version are replaced.
        card: The model card in markdown.
        chosen: Further keys of the `diascope` block, chosen after the training.

    Raises:
        ConfigError: The weights are too large for a built-in bundle.
    """
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    _write_weights(config, network, folder / "models" / "model.safetensors")
    _write_json(folder / "configs" / "inference.json", inference_config(config))
    metadata = bundle_metadata(config)
    metadata["diascope"] |= dict(chosen or {})
    _write_json(folder / "configs" / "metadata.json", metadata)
    _write_words(config, folder, card)


def write_start(config: TrainConfig, network: nn.Module, folder: Path, card: str) -> None:
    """Write what a pre-training made: weights for `init_from`, and no bundle, since it answers no question.

    Args:
        config: The pre-training.
        network: The trained network.
        folder: Where to; files of an older version are replaced.
        card: What it is, in markdown.
    """
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    _write_weights(config, network, folder / "models" / "model.safetensors")
    _write_words(config, folder, card)


def install_bundle(folder: Path, models: Path) -> Path:
    """Copy a bundle among the others and lock it.

    Returns:
        Where it lies now.
    """
    target = models / folder.name
    for part in ("configs", "models", "docs", "LICENSE"):
        source = folder / part
        if source.is_dir():
            shutil.rmtree(target / part, ignore_errors=True)
            shutil.copytree(source, target / part)
        else:
            shutil.copy2(source, target / part)
    lock_bundle(target)
    return target


def lock_bundle(folder: Path) -> str:
    """Put a bundle's digests into the lock beside it; gives the digest over all its files."""
    return write_lock(folder.parent / "bundles.lock", folder)


def bundle_metadata(config: TrainConfig) -> dict[str, Any]:
    """Write configs/metadata.json: MONAI's fields, and ours under `diascope`."""
    bundle = config.bundle
    names = {str(value): label.name for value, label in enumerate(bundle.labels, start=1)}
    channels = {"0": "background", **names}
    args = config.network.args
    window = config.inferer.args.get("roi_size", [])
    return {
        "schema": _SCHEMA,
        "version": bundle.version,
        "changelog": {bundle.version: "trained by diascope train"},
        "monai_version": importlib.metadata.version("monai"),
        "pytorch_version": importlib.metadata.version("torch").split("+")[0],
        "numpy_version": importlib.metadata.version("numpy"),
        "required_packages_version": {
            name: importlib.metadata.version(name) for name in ("nibabel", "pytorch-ignite", "safetensors")
        },
        "name": bundle.name,
        "task": bundle.title,
        "description": bundle.title,
        "authors": "The diascope developers",
        "copyright": bundle.licence,
        "data_source": bundle.data_statement,
        "data_type": "nifti",
        "image_classes": "one channel, any intensities",
        "label_classes": ", ".join(f"{value} {name}" for value, name in channels.items()),
        "pred_classes": "one channel per label, softmax",
        "intended_use": bundle.intended_use,
        "references": list(bundle.citations),
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": "/".join(bundle.modality),
                    "num_channels": args.get("in_channels", 1),
                    "spatial_shape": list(window),
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    **output_description(config, channels),
                    "spatial_shape": list(window),
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                }
            },
        },
        "diascope": {
            "format": 1,
            "task": task_of(config),
            "needs": bundle.needs,
            "labels": names,
            "colours": {label.name: label.colour for label in bundle.labels},
            "activation": "softmax",
            "licence": bundle.licence,
            "research_only": bundle.research_only,
            "citations": list(bundle.citations),
            "modality": list(bundle.modality),
            **({"select": bundle.select.model_dump(mode="json", exclude_unset=True)} if bundle.select else {}),
            **({"explain": bundle.explain.model_dump(exclude_defaults=True)} if bundle.explain else {}),
            **({"field_of_view": _stated(bundle.field_of_view)} if bundle.field_of_view else {}),
            **({"ages": _stated(bundle.ages)} if bundle.ages else {}),
        },
    }


def _stated(limits: FieldOfView | AgeRange) -> dict[str, Any]:
    return {key: value for key, value in asdict(limits).items() if value is not None}


def _write_words(config: TrainConfig, folder: Path, card: str) -> None:
    shared = config.model_dump(mode="json", exclude_defaults=True)
    shared |= {"manifest": f"../data_manifests/{config.manifest.name}", "data_root": "../../shared/data"}
    if config.init_from and (start := Path(config.init_from.bundle)).name != config.init_from.bundle:
        # No path of the machine that trained it: the last two names say which training's output it was.
        shared["init_from"] |= {"bundle": "/".join(("../out", *start.parts[-2:]))}
    text = yaml.safe_dump(shared, sort_keys=False, allow_unicode=True, width=120)
    (folder / "configs" / "train.yaml").write_text(text, encoding="utf-8")
    (folder / "docs" / "README.md").write_text(card, encoding="utf-8")
    (folder / "LICENSE").write_text(_licence_text(config), encoding="utf-8")


def _write_weights(config: TrainConfig, network: nn.Module, target: Path) -> None:
    dtype = {"float32": torch.float32, "float16": torch.float16}[config.weights_dtype]
    # Kernels only: norms and biases are few, and small variances do not survive float16. Copies,
    # because DynUNet names its layers twice, and safetensors takes no tensors that share memory.
    weights = {
        name: value.detach().cpu().to(dtype if value.ndim > 1 else value.dtype, copy=True).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(weights, target)
    target.chmod(0o644)  # safetensors writes for the owner only
    size = target.stat().st_size
    if size > LARGEST_WEIGHTS_BYTES:
        raise ConfigError(
            f"the weights are {size / 1e6:.1f} MB, a bundle may have {LARGEST_WEIGHTS_BYTES / 1e6:.0f} MB",
            hint="use fewer filters, or weights_dtype: float16",
        )


def _write_json(target: Path, content: dict[str, Any]) -> None:
    target.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _licence_text(config: TrainConfig) -> str:
    bundle = config.bundle
    links = {
        "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
        "CC-BY-NC-SA-4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode",
    }
    research = "For research only: the licence forbids commercial use.\n\n" if bundle.research_only else ""
    link = links.get(bundle.licence, "")
    return (
        f"The weights and the other files of this bundle ({bundle.name}) are licensed under {bundle.licence}"
        f"{': ' + link if link else ''}\n\n{research}Data they were made from:\n{bundle.data_statement}\n"
    )
