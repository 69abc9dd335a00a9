"""Tiny datasets with manifests and configs, small enough to learn from within seconds."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml
from numpy.typing import NDArray

SPLITS = ("train", "train", "train", "calibration", "test")

# Values of the toy label maps: background, left and right outer part, left and right core, skin.
HEAD_VALUES = (0, 3, 42, 2, 41, 500)


def write_slices(root: Path, seed: int = 5) -> dict[str, Any]:
    """Write five patients with a bright ball on a dark noisy ground; gives the config that trains on them."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, split in enumerate(SPLITS):
        centre = rng.uniform([10, 12, 2], [22, 28, 4])
        i, j, k = np.meshgrid(np.arange(32), np.arange(40), np.arange(6 + number), indexing="ij")
        ball = ((i - centre[0]) ** 2 + (j - centre[1]) ** 2 + 4 * (k - centre[2]) ** 2) < 36
        image = (rng.normal(40, 6, ball.shape) + 80 * ball).clip(0, 255).astype(np.uint8)
        rows.append(_write_case(root, f"case-{number}", split, image, ball.astype(np.uint8)))
    _write_manifest(root / "manifest.csv", rows)
    return slice_config(root)


def slice_config(root: Path) -> dict[str, Any]:
    """The config of the bright balls, as its yaml would be read."""
    return {
        "bundle": _bundle("ball_segmentation", "index", [{"name": "ball", "colour": "#d62728"}]),
        "manifest": str(root / "manifest.csv"),
        "data_root": str(root),
        "source": {"kind": "slices"},
        "network": {
            "name": "UNet",
            "args": {
                "spatial_dims": 2,
                "in_channels": 3,
                "out_channels": 2,
                "channels": [8, 16, 16],
                "strides": [2, 2],
                "num_res_units": 1,
                "norm": "batch",
            },
        },
        "preprocessing": [
            {"name": "Orientationd", "args": {"axcodes": "RAS", "labels": None}},
            {"name": "Resized", "args": {"spatial_size": [32, 32, -1], "mode": "area"}},
            {"name": "NormalizeIntensityd"},
            {"name": "neighbour_slices"},
        ],
        "inferer": {"name": "SliceInferer", "args": {"roi_size": [32, 32], "sw_batch_size": 4, "spatial_dim": 2}},
        "augmentation": [{"name": "RandFlipd", "args": {"keys": ["image", "label"], "prob": 0.5, "spatial_axis": 0}}],
        "loss": {"batch_dice": True},
        "optimiser": {"learning_rate": 0.01},
        "schedule": {"args": {"warmup_steps": 3}},
        "epochs": 4,
        "steps_per_epoch": 8,
        "batch_size": 4,
        "precision": "fp32",
        "threads": 1,
        "data_workers": 0,
        "cost_on_card": False,  # it takes a process of its own; test_cost.py asks for it
        "seed": 3,
    }


def write_heads(root: Path) -> dict[str, Any]:
    """Write five toy heads as label maps, axes LIA as the real ones; gives the config that trains on them."""
    rows = []
    for number, split in enumerate(SPLITS):
        case = f"head-{number}"
        path = root / f"{case}.nii.gz"
        # RAS array, stored with other axes: a reader that ignores the affine sees a head lying on its side.
        stored = nib.as_closest_canonical(nib.Nifti1Image(head_values(number), np.eye(4)))
        turn = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(np.eye(4)), nib.orientations.axcodes2ornt("LIA")
        )
        nib.save(stored.as_reoriented(turn), path)
        rows.append([case, case, split, "", path.name, "", _sha256(path)])
    _write_manifest(root / "manifest.csv", rows)
    (root / "values.csv").write_text("".join(f"{value}\n" for value in HEAD_VALUES))
    (root / "classes.csv").write_text("0\n1\n2\n3\n4\n5\n")
    return head_config(root)


def head_values(number: int = 0) -> NDArray[np.int16]:
    """A toy head of 40 x 46 x 42 mm on RAS axes: skin, two outer halves, a core that lies to the front."""
    i, j, k = np.meshgrid(np.arange(40), np.arange(46), np.arange(42), indexing="ij")
    values = np.zeros(i.shape, dtype=np.int16)
    from_middle = ((i - 19.5) / (16 + number % 2)) ** 2 + ((j - 22.5) / 19) ** 2 + ((k - 20.5) / 17) ** 2
    values[from_middle < 1] = 500
    is_left = i < 20
    outer = from_middle < 0.6
    values[outer & is_left], values[outer & ~is_left] = 3, 42
    core = ((i - 19.5) / 8) ** 2 + ((j - 28) / 7) ** 2 + ((k - 20.5) / 7) ** 2 < 1
    values[core & is_left], values[core & ~is_left] = 2, 41
    return values


def head_config(root: Path) -> dict[str, Any]:
    """The config of the toy heads, as its yaml would be read."""
    labels = [
        {"name": "outer", "colour": "#4878d0", "source_values": [3, 42]},
        {"name": "core", "colour": "#e6a532", "source_values": [2, 41]},
    ]
    return {
        "bundle": _bundle("head_segmentation", "grid", labels),
        "manifest": str(root / "manifest.csv"),
        "data_root": str(root),
        "source": {
            "kind": "synthesis",
            "tissue_labels": "values.csv",
            "tissue_classes": "classes.csv",
            "mirrored_values": {42: 3, 41: 2},
            "window_voxels": [16, 24, 16],
            "offset_mm": 4.0,
            "far_fraction": 0.0,
            "elastic_mm": 1.0,
            "contrasts": [{"name": "t1", "mean_of_value": {0: 0.0, 3: 0.4, 2: 0.9}}],
        },
        "network": {
            "name": "UNet",
            "args": {
                "spatial_dims": 3,
                "in_channels": 1,
                "out_channels": 3,
                "channels": [8, 16, 16],
                "strides": [2, 2],
                "num_res_units": 1,
            },
        },
        "preprocessing": [
            {"name": "Orientationd", "args": {"axcodes": "RAS", "labels": None}},
            {"name": "Spacingd", "args": {"pixdim": [2.0, 2.0, 2.0], "mode": "bilinear"}},
            {"name": "NormalizeIntensityd"},
        ],
        "inferer": {"name": "SlidingWindowInferer", "args": {"roi_size": [16, 24, 16], "overlap": 0.25}},
        "loss": {"class_weights": "inverse_sqrt_frequency"},
        "epochs": 2,
        "steps_per_epoch": 4,
        "validation_images": 2,
        "precision": "fp32",
        "threads": 1,
        "data_workers": 0,
        "cost_on_card": False,
    }


def write_config(config: dict[str, Any], target: Path) -> Path:
    """Write a config as yaml."""
    target.write_text(yaml.safe_dump(config))
    return target


def _bundle(name: str, needs: str, labels: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "title": "A phantom",
        "needs": needs,
        "labels": labels,
        "licence": "Apache-2.0",
        "research_only": False,
        "citations": ["nobody"],
        "intended_use": "Tests.",
        "limits": ["Everything else."],
        "data_statement": "Made on the spot.",
    }


def _write_case(root: Path, case: str, split: str, image: NDArray[np.uint8], label: NDArray[np.uint8]) -> list[str]:
    digests = []
    for name, values in (("image", image), ("label", label)):
        path = root / f"{case}_{name}.nii.gz"
        nib.save(nib.Nifti1Image(values, None), path)  # no affine: sform_code = qform_code = 0
        digests.append(_sha256(path))
    return [case, case, split, f"{case}_image.nii.gz", f"{case}_label.nii.gz", *digests]


def _write_manifest(target: Path, rows: list[list[str]]) -> None:
    with target.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "patient", "split", "image", "label", "image_sha256", "label_sha256", "site"])
        writer.writerows([*row, "A"] for row in rows)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
