"""Every bundle that comes with diascope runs under `python -m monai.bundle run`, and says the same there."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo, find_bundle, list_bundles
from diascope.bundles.network import open_network, prepare_input
from diascope.findings import ImageFacts
from diascope.geometry import Grid
from diascope.imaging.resample import GridOfLogits
from diascope.io.nifti import space_of
from diascope.tasks.classify import probabilities
from diascope.tasks.inference import run_network
from diascope.tasks.segment import segment
from diascope.volume import Volume

POSTFIX = {"segment": "seg", "classify": "classes", "detect": "boxes"}

# Labels are compared voxel by voxel; where an image is resampled, stock MONAI takes the winner after the way back, too,
# but interpolates probabilities, and diascope logits.
LEAST_AGREEMENT = 0.985


def head(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Volume:
    """A skull around grey and white matter with dark ventricles and one bright lesion, on an oblique Grid."""
    angle = np.deg2rad(7.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    x, y, z = np.moveaxis(np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3], -1, 0)
    data = np.random.default_rng(3).normal(20, 6, shape)
    for radii, centre, value in (
        ((78, 95, 85), (0, 0, 0), 250),
        ((70, 86, 76), (0, 0, 0), 60),
        ((66, 82, 72), (0, 0, 0), 430),
        ((55, 70, 58), (0, 0, 4), 620),
        ((9, 26, 12), (-14, 0, 6), 90),
        ((9, 26, 12), (14, 0, 6), 90),
        ((18, 20, 16), (30, 25, 12), 900),
    ):
        inside = sum(((at - middle) / radius) ** 2 for at, middle, radius in zip((x, y, z), centre, radii, strict=True))
        data = np.where(inside < 1, value + np.random.default_rng(4).normal(0, 12, shape), data)
    return Volume(data.clip(0).astype(np.float32), Grid(shape, affine), ImageFacts(), "head")


def crop() -> Volume:
    """A brighter body in a grey block of 36 x 50 x 34 mm, on turned axes."""
    shape = (36, 50, 34)
    i, j, k = np.indices(shape)
    body = ((i - 18) / 7) ** 2 + ((j - 25) / 17) ** 2 + ((k - 17) / 6) ** 2 < 1
    data = np.random.default_rng(1).normal(300, 25, shape) + 140 * body
    affine = np.array([[-1.0, 0, 0, 18], [0, 0, 1.0, -17], [0, 1.0, 0, -25], [0, 0, 0, 1]])
    return Volume(data.astype(np.float32), Grid(shape, affine), ImageFacts(), "crop")


def radiograph() -> Volume:
    """Two dark lungs in a bright chest, as one slice that lies nowhere."""
    x, y = np.meshgrid(np.arange(230), np.arange(200), indexing="ij")
    data = np.random.default_rng(2).normal(170, 5, x.shape)
    for at in (70, 160):
        data -= 100 * (((x - at) / 32) ** 2 + ((y - 95) / 62) ** 2 < 1)
    shape = (*data.shape, 1)
    header = nib.Nifti1Image(data[..., None].astype(np.float32), None).header
    return Volume(data[..., None].astype(np.float32), space_of(header, shape)[0], ImageFacts(), "radiograph")


IMAGES = {
    "brain_structures_segmentation": lambda: head((88, 70, 62), (2.0, 2.9, 3.1)),
    "flair_glioma_classification": lambda: head((96, 112, 9), (1.8, 1.8, 12.0)),
    "flair_glioma_detection": lambda: head((96, 112, 9), (1.8, 1.8, 12.0)),
    "flair_glioma_segmentation": lambda: head((96, 112, 9), (1.8, 1.8, 12.0)),
    "hippocampus_segmentation": crop,
    "chest_xray_covid_classification": radiograph,
    "chest_xray_lung_segmentation": radiograph,
}


def ours(bundle: BundleInfo, volume: Volume) -> NDArray[np.generic]:
    """What a run makes of the network's numbers, in the shape in which stock MONAI saves it."""
    prepared = prepare_input(bundle, volume)
    logits = run_network(open_network(bundle.folder, bundle.sha256, "cpu"), prepared)
    if bundle.block.task == "segment":
        return segment(GridOfLogits(logits, prepared.affine), volume.space, bundle).data
    if bundle.block.task == "classify":
        shown = probabilities(logits[:, 0, 0], "softmax")
        return np.concatenate([1 - shown.sum(axis=0, keepdims=True), shown])
    return logits[:, :, 0]


def stock(bundle: BundleInfo, image: Path, out: Path) -> NDArray[np.generic]:
    """What stock MONAI writes, in a process of its own that no code of ours has started."""
    command = [
        *(sys.executable, "-W", "ignore", "-m", "monai.bundle", "run"),
        *("--config_file", str(bundle.folder / "configs" / "inference.json")),
        *("--bundle_root", str(bundle.folder), "--output_dir", str(out)),
        *("--datalist", f"[{{'image': '{image}'}}]", "--device", "$torch.device('cpu')"),
    ]
    # A bundle may name classes of diascope, which is installed where it is used.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (written,) = out.rglob(f"*_{POSTFIX[bundle.block.task]}.nii.gz")
    saved = np.asarray(nib.load(written).dataobj)
    # Channels come last in a file.
    return saved if bundle.block.task == "segment" else np.moveaxis(saved, -1, 0)[:, :, 0]


def test_every_bundle_is_tried_here(repository: Path) -> None:
    shipped = {path.parents[1].name for path in (repository / "models").glob("*/configs/metadata.json")}

    assert set(IMAGES) == shipped
    assert shipped <= {bundle.name for bundle in list_bundles(repository / "models")}


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(IMAGES))
def test_a_shipped_bundle_says_the_same_under_stock_monai(name: str, repository: Path, tmp_path: Path) -> None:
    bundle = find_bundle(name, repository / "models")
    volume = IMAGES[name]()
    is_somewhere = isinstance(volume.space, Grid)
    nib.save(nib.Nifti1Image(volume.data, volume.space.affine if is_somewhere else None), tmp_path / "scan.nii.gz")

    we_say = ours(bundle, volume)
    they_say = stock(bundle, tmp_path / "scan.nii.gz", tmp_path)

    if bundle.block.task == "segment":
        they_say = they_say.reshape(we_say.shape)
        assert (we_say > 0).any(), "nothing is drawn, so nothing is compared"
        assert (we_say == they_say).mean() > LEAST_AGREEMENT
        shared = np.count_nonzero((we_say > 0) & (we_say == they_say))
        assert 2 * shared / (np.count_nonzero(we_say) + np.count_nonzero(they_say)) > 0.95
    else:
        they_say = they_say.reshape(we_say.shape)
        assert np.ptp(we_say) > 0
        assert they_say == pytest.approx(we_say, abs=1e-3)
