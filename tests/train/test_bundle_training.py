"""From a config to a bundle: ours and stock MONAI's run of it agree, and the card says what was measured."""

import csv
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import typer
from monai.bundle import run as stock_run
from numpy.typing import NDArray
from safetensors import safe_open
from typer.testing import CliRunner

from diascope.bundles.find import BundleInfo, find_bundle, read_bundle
from diascope.bundles.network import open_network, prepare_input
from diascope.cli.train import train
from diascope.config import parse_settings
from diascope.errors import BundleError, ConfigError, InputError
from diascope.findings import ImageFacts
from diascope.geometry import Grid, IndexGrid
from diascope.imaging.resample import GridOfLogits
from diascope.tasks.inference import run_network
from diascope.tasks.segment import segment
from diascope.train.bundle_training import export_bundle, train_bundle
from diascope.train.manifest import cases_of, read_manifest
from diascope.train.settings import TrainConfig, load_train_config
from diascope.volume import Volume
from tests.train.training_phantoms import head_values, write_config, write_heads, write_slices


class Made:
    """A tiny training of each kind, and the bundle it made."""

    def __init__(self, root: Path, config: dict[str, Any]) -> None:
        self.root = root
        self.values = config
        self.config = parse_settings(TrainConfig, config)
        self.out = root / "out"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI warns at each `_target_` that a config is a program
            self.folder = train_bundle(self.config, self.out, models=root / "models")


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("heads")
    config = write_heads(root)
    return Made(root, {**config, "epochs": 4, "steps_per_epoch": 10, "optimiser": {"learning_rate": 0.02}})


@pytest.fixture(scope="module")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("balls")
    return Made(root, {**write_slices(root), "optimiser": {"learning_rate": 0.02}, "weights_dtype": "float16"})


def head_image(path: Path, spacing_mm: tuple[float, float, float], turn_deg: float) -> Volume:
    """A head as the network knows it, on axes turned about the vertical; the middle is at the origin."""
    angle = np.deg2rad(turn_deg)
    turned = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shape = tuple(round(size / mm) for size, mm in zip((44, 50, 46), spacing_mm, strict=True))
    affine = np.eye(4)
    affine[:3, :3] = turned * np.array(spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3] + [19.5, 22.5, 20.5]
    at = np.rint(index).astype(int)
    inside = ((at >= 0) & (at < head_values().shape)).all(-1)
    values = np.where(inside, head_values()[tuple(np.moveaxis(np.where(inside[..., None], at, 0), -1, 0))], 0)
    intensity = {0: 0.0, 500: 300.0, 3: 400.0, 42: 400.0, 2: 900.0, 41: 900.0}
    data = np.vectorize(intensity.get, otypes=[np.float32])(values)
    nib.save(nib.Nifti1Image(data, affine), path)
    return Volume(data, Grid(data.shape, nib.load(path).affine), ImageFacts(), "head")


def our_labels(bundle: BundleInfo, volume: Volume) -> NDArray[np.unsignedinteger]:
    opened = open_network(bundle.folder, bundle.sha256, "cpu")
    prepared = prepare_input(bundle, volume)
    return segment(GridOfLogits(run_network(opened, prepared), prepared.affine), volume.space, bundle).data


def stock_labels(folder: Path, image: Path, out: Path) -> NDArray[np.integer]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's readers and its config parser warn freely
        stock_run(
            config_file=str(folder / "configs" / "inference.json"),
            bundle_root=str(folder),
            datalist=[{"image": str(image)}],
            output_dir=str(out),
            device="$torch.device('cpu')",
        )
    (written,) = out.rglob("*_seg.nii.gz")
    return np.asarray(nib.load(written).dataobj).astype(np.uint8)


def test_the_bundle_run_by_stock_monai_gives_the_very_same_labels_where_nothing_is_resampled(
    heads: Made, tmp_path: Path
) -> None:
    volume = head_image(tmp_path / "head.nii.gz", (2.0, 2.0, 2.0), turn_deg=0.0)

    ours = our_labels(find_bundle(str(heads.folder)), volume)
    stock = stock_labels(heads.folder, tmp_path / "head.nii.gz", tmp_path / "stock")

    assert len(np.unique(ours)) == 3
    assert np.array_equal(ours, stock)


def test_on_an_oblique_anisotropic_grid_both_agree_but_for_borders(heads: Made, tmp_path: Path) -> None:
    volume = head_image(tmp_path / "head.nii.gz", (1.3, 0.9, 2.5), turn_deg=11.0)

    ours = our_labels(find_bundle(str(heads.folder)), volume)
    stock = stock_labels(heads.folder, tmp_path / "head.nii.gz", tmp_path / "stock")

    assert ours.shape == stock.shape == volume.data.shape
    assert (ours == stock).mean() > 0.97


def test_slices_with_neighbours_run_under_stock_monai_too(balls: Made, tmp_path: Path) -> None:
    image = nib.load(balls.root / "case-4_image.nii.gz")
    data = np.asarray(image.dataobj, dtype=np.float32)
    affine = np.diag([0.9, 0.9, 4.0, 1.0])
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "scan.nii.gz")

    ours = our_labels(find_bundle(str(balls.folder)), Volume(data, Grid(data.shape, affine), ImageFacts(), "scan"))
    stock = stock_labels(balls.folder, tmp_path / "scan.nii.gz", tmp_path / "stock")

    assert (ours > 0).any()
    assert (ours == stock).mean() > 0.98


def test_a_file_without_geometry_gives_the_same_labels_under_stock_monai_and_keeps_its_place(
    balls: Made, tmp_path: Path
) -> None:
    # An L of balls and a bright corner, so that a mirrored axis is seen; no sform, no qform.
    rng = np.random.default_rng(2)
    i, j, k = np.meshgrid(np.arange(32), np.arange(40), np.arange(7), indexing="ij")
    balls_at = [(8, 9, 3), (8, 30, 3), (22, 30, 4)]
    shown = np.any([((i - x) ** 2 + (j - y) ** 2 + 4 * (k - z) ** 2) < 30 for x, y, z in balls_at], axis=0)
    data = (rng.normal(40, 6, shown.shape) + 80 * shown).clip(0, 255).astype(np.float32)
    nib.save(nib.Nifti1Image(data, None), tmp_path / "scan.nii.gz")
    fallback = nib.load(tmp_path / "scan.nii.gz").affine
    assert fallback[0, 0] == -1  # nibabel makes it up

    ours = our_labels(find_bundle(str(balls.folder)), Volume(data, IndexGrid(data.shape), ImageFacts(), "scan"))
    stock = stock_labels(balls.folder, tmp_path / "scan.nii.gz", tmp_path / "stock")

    assert (ours > 0).any()
    assert not np.array_equal(ours, ours[::-1])
    assert (ours == stock).mean() > 0.995
    (written,) = (tmp_path / "stock").rglob("*_seg.nii.gz")
    assert np.allclose(nib.load(written).affine, fallback)


def test_the_weights_are_small_and_load_without_pickle(heads: Made, balls: Made) -> None:
    for made, dtype in ((heads, torch.float32), (balls, torch.float16)):
        weights = made.folder / "models" / "model.safetensors"
        with safe_open(weights, framework="pt") as stored:
            everything = [stored.get_tensor(name) for name in list(stored.keys())]
        kernels = [tensor for tensor in everything if tensor.ndim > 1]

        assert weights.stat().st_size < 16_000_000
        assert kernels
        assert {kernel.dtype for kernel in kernels} == {dtype}


def test_the_bundle_says_of_itself_what_the_config_said(heads: Made) -> None:
    bundle = read_bundle(heads.folder)

    assert [(label.value, label.name, label.colour) for label in bundle.labels] == [
        (1, "outer", "#4878d0"),
        (2, "core", "#e6a532"),
    ]
    assert bundle.block.needs == "grid"
    assert bundle.block.licence == "Apache-2.0"


def test_the_card_holds_the_mean_of_the_scores_that_were_written(balls: Made) -> None:
    with (balls.out / "test_scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    assert [row["case"] for row in rows] == ["case-4"]
    mean = np.mean([float(row["dice"]) for row in rows])
    card = (balls.folder / "docs" / "README.md").read_text()
    assert f"| ball | {mean:.3f} (" in card
    assert "1 patients" in card
    assert "Made on the spot." in card


def test_the_card_of_a_synthetic_test_says_that_it_is_synthetic(heads: Made) -> None:
    card = (heads.folder / "docs" / "README.md").read_text()

    assert "These images are synthetic" in card
    assert "| label | all | t1 |" in card


def test_the_installed_bundle_is_locked_and_an_altered_byte_is_found(balls: Made, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(balls.folder.parent, models)
    find_bundle("ball_segmentation", models)
    weights = models / "ball_segmentation" / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))

    with pytest.raises(BundleError, match=r"ball_segmentation: models/model\.safetensors was altered"):
        find_bundle("ball_segmentation", models)


def test_the_config_inside_the_bundle_describes_the_same_training(balls: Made) -> None:
    carried = load_train_config(balls.folder / "configs" / "train.yaml")

    same = {"manifest", "data_root"}
    assert carried.model_dump(exclude=same) == balls.config.model_dump(exclude=same)


def test_an_interim_export_leaves_the_test_cases_alone_and_says_so(balls: Made, tmp_path: Path) -> None:
    shutil.copytree(balls.config.data_root, tmp_path / "data")
    unreadable = balls.config.model_copy(update={"data_root": tmp_path / "data"})
    for case in cases_of(read_manifest(unreadable.manifest, unreadable.data_root), "test"):
        case.image.write_bytes(b"whoever opens this fails")
    with pytest.raises(InputError):
        export_bundle(unreadable, balls.out, is_interim=False)

    folder = export_bundle(unreadable, balls.out)

    assert "the test cases were not used" in (folder / "docs" / "README.md").read_text()


def test_an_export_without_a_checkpoint_is_refused(balls: Made, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no checkpoint yet"):
        export_bundle(balls.config, tmp_path)


def test_the_command_line_trains_and_names_the_bundle(tmp_path: Path) -> None:
    yaml = write_config({**write_slices(tmp_path), "epochs": 3}, tmp_path / "train.yaml")
    app = typer.Typer()
    app.command()(train)

    changes = ["--set", "epochs=1", "--set", "tracking.enabled=false"]
    result = CliRunner().invoke(app, [str(yaml), "-o", str(tmp_path / "out"), *changes])

    assert result.exit_code == 0, result.output
    assert "ball_segmentation" in result.stdout
    assert json.loads((tmp_path / "out" / "log.jsonl").read_text())["epoch"] == 1
