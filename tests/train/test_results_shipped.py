"""The shipped trainings, made small: on phantoms each beats a stated bar, and stock MONAI says the same."""

import csv
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import run as stock_run

from diascope.bundles.find import find_bundle
from diascope.bundles.network import open_network, prepare_input
from diascope.errors import InputError
from diascope.findings import ImageFacts
from diascope.imaging.resample import GridOfLogits
from diascope.tasks.classify import probabilities
from diascope.tasks.detect import detect
from diascope.tasks.inference import run_network
from diascope.train.bundle_training import train_bundle, train_interim
from diascope.train.progress import read_log
from diascope.train.recipe import StartSettings
from diascope.train.settings import TrainConfig, load_train_config
from diascope.train.training import train_network, training_data
from diascope.train.volumes import read_image
from diascope.volume import Volume
from tests.train.recipe_phantoms import write_crops, write_radiographs, write_structures, write_tumours

STARTS_FROM_NOTHING = {"brain_six_structures", "chest_xray_lung_segmentation", "hippocampus_segmentation"}

SMALL_2D = ["network.args.filters=[8,8,16,16,16]", "batch_size=4", "steps_per_epoch=12", "optimiser.learning_rate=0.01"]


def recipe(repository: Path, name: str, root: Path, phantom: Callable[[Path], Path], *overrides: str) -> TrainConfig:
    """A shipped config, on phantoms, with a small network that starts from nothing."""
    manifest = phantom(root)
    start = ["init_from=null"] if name not in STARTS_FROM_NOTHING else []
    common = ["precision=fp32", "epochs=3", "validate_every_epochs=1", "schedule.warmup_steps=2", "data_workers=0"]
    common += ["cost_on_card=false"]
    where = [f"manifest={manifest}", f"data_root={root}"]
    return load_train_config(
        repository / "configs" / f"train_{name}.yaml", [*where, *start, *common, "batch_size=2", *overrides]
    )


def last(config: TrainConfig, out: Path) -> dict[str, float]:
    train_network(config, out)
    return read_log(out / "log.jsonl")[-1]


def test_crops_of_two_labels_are_learnt(repository: Path, tmp_path: Path) -> None:
    small = ["network.args.filters=[8,8,16,16]", "steps_per_epoch=10", "optimiser.learning_rate=0.01"]
    config = recipe(repository, "hippocampus_segmentation", tmp_path, write_crops, *small)
    # The window of the shipped training is three times as large.
    window = {"spatial_size": [32, 48, 32]}
    affine = next(one for one in config.augmentation if one.name == "RandAffined")
    smaller = affine.model_copy(update={"args": {**affine.args, **window}})
    augmentation = tuple(smaller if one is affine else one for one in config.augmentation)
    inferer = config.inferer.model_copy(update={"args": {**config.inferer.args, "roi_size": [32, 48, 32]}})
    config = config.model_copy(update={"augmentation": augmentation, "inferer": inferer})

    measured = last(config, tmp_path / "out")

    assert measured["dice_anterior_hippocampus"] > 0.7
    assert measured["dice_posterior_hippocampus"] > 0.7


SMALL_BRAIN = [
    "network.args.filters=[8,8,16,16,16]", "source.window_voxels=[32,48,32]", "inferer.args.roi_size=[32,48,32]",
    "source.phases=[]", "source.ramp_images=0", "source.offset_mm=4", "source.far_fraction=0", "source.rotation_deg=5",
    "source.elastic_mm=1", "validation_images=2", "validate_every_epochs=3", "steps_per_epoch=15", "batch_size=1",
    "optimiser.learning_rate=0.01", "threads=1",
]  # fmt: skip


def brain_recipe(repository: Path, name: str, root: Path, *more: str) -> TrainConfig:
    """A shipped training on synthetic heads, on heads made of blocks."""
    shipped = load_train_config(repository / "configs" / f"train_{name}.yaml")
    return recipe(repository, name, root, lambda folder: write_structures(folder, shipped), *SMALL_BRAIN, *more)


@pytest.fixture(scope="module")
def six_structures(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path]:
    root = tmp_path_factory.mktemp("six")
    config = brain_recipe(repository, "brain_six_structures", root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns at each `_target_` that a config is a program
        return config, train_interim(config, root / "out")


def test_merged_structures_are_learnt_from_synthetic_heads(six_structures: tuple[TrainConfig, Path]) -> None:
    config, folder = six_structures

    first, *_, final = read_log(folder.parent / "log.jsonl")

    assert len(config.bundle.labels) == 6
    # Two seeds ended at 0.80 and 0.81 of the first epoch's loss, Dice 0.20 and 0.16; without learning 1.00 and 0.06.
    assert final["loss"] < 0.9 * first["loss"]
    assert final["dice"] > 0.11


def test_structures_of_both_sides_are_learnt_from_where_the_merged_ones_ended(
    six_structures: tuple[TrainConfig, Path], repository: Path, tmp_path: Path
) -> None:
    config = brain_recipe(repository, "brain_structures_segmentation", tmp_path)
    if "left_thalamus" in {label.name for label in config.bundle.labels}:
        config = config.model_copy(update={"init_from": StartSettings(bundle=str(six_structures[1]))})

    train_network(config, tmp_path / "out")

    first, *_, final = read_log(tmp_path / "out" / "log.jsonl")
    # Of 31 labels two seeds ended at 0.86 and 0.87; six without learning at 1.00.
    assert final["loss"] < 0.93 * first["loss"]


def test_gliomas_are_outlined(repository: Path, tmp_path: Path) -> None:
    config = recipe(repository, "flair_glioma_segmentation", tmp_path, write_tumours, *SMALL_2D, "epochs=4")

    measured = last(config, tmp_path / "out")

    assert measured["dice_tumour"] > 0.7


def test_every_shipped_training_is_tried_here(repository: Path) -> None:
    shipped = {path.stem.removeprefix("train_") for path in (repository / "configs").glob("train_*.yaml")}
    tried = set(re.findall(r'recipe\(\s*repository, "([a-z0-9_]+)"', Path(__file__).read_text(encoding="utf-8")))

    assert shipped == tried


def test_lungs_on_pictures_are_learnt_from_the_pictures_that_have_a_mask(repository: Path, tmp_path: Path) -> None:
    config = recipe(repository, "chest_xray_lung_segmentation", tmp_path, write_radiographs, *SMALL_2D)

    measured = last(config, tmp_path / "out")

    assert measured["dice_lungs"] > 0.85
    assert len(training_data(config).source.volumes) == 4  # of 8 training pictures


def test_classes_of_pictures_are_learnt_from_a_column_of_the_manifest(repository: Path, tmp_path: Path) -> None:
    config = recipe(repository, "chest_xray_covid_classification", tmp_path, write_radiographs, *SMALL_2D)

    measured = last(config, tmp_path / "out")

    assert measured["auc_covid_19"] > 0.9


def test_a_class_without_an_example_is_named_before_the_first_epoch(repository: Path, tmp_path: Path) -> None:
    config = recipe(
        repository, "chest_xray_covid_classification", tmp_path, write_radiographs, "source.classes={COVID-19: 1}"
    )

    with pytest.raises(InputError, match="no training slice shows none of the labels"):
        training_data(config)


@pytest.fixture(scope="module")
def classifier(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path]:
    root = tmp_path_factory.mktemp("classifier")
    config = recipe(repository, "flair_glioma_classification", root, write_tumours, *SMALL_2D)
    return config, _bundle(config, root)


@pytest.fixture(scope="module")
def detector(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path]:
    root = tmp_path_factory.mktemp("detector")
    small = ["network.args.pyramid_channels=16", "epochs=8"]
    config = recipe(repository, "flair_glioma_detection", root, write_tumours, *SMALL_2D, *small)
    return config, _bundle(config, root)


def test_slices_with_a_tumour_are_told_from_those_without(classifier: tuple[TrainConfig, Path]) -> None:
    _, folder = classifier

    assert read_log(folder.parents[1] / "out" / "log.jsonl")[-1]["auc_tumour"] > 0.9
    card = (folder / "docs" / "README.md").read_text()
    assert "| site A |" in card
    assert "slices of 2 patients" in card


def test_the_classifiers_table_has_every_slice_of_every_test_case_with_its_truth(
    classifier: tuple[TrainConfig, Path],
) -> None:
    config, folder = classifier

    with (folder.parents[1] / "out" / "test_scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))

    for case in ("scan-6", "scan-7"):
        mask = np.asarray(nib.load(config.data_root / f"{case}_label.nii.gz").dataobj)
        mine = [row for row in rows if row["case"] == case]
        assert [int(row["slice_k"]) for row in mine] == list(range(mask.shape[2]))
        assert [row["is_shown"] == "True" for row in mine] == mask.any(axis=(0, 1)).tolist()


def test_a_classifier_says_the_same_under_stock_monai(classifier: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = classifier

    ours = _output(folder, config.data_root / "scan-6_image.nii.gz")
    stock = _stock(folder, config.data_root / "scan-6_image.nii.gz", tmp_path)

    assert stock.shape[-1] == 2
    assert stock[0, 0, :, 1] == pytest.approx(probabilities(ours.logits[:, 0, 0], "softmax")[0], abs=1e-5)


def test_tumours_are_found_where_they_are(detector: tuple[TrainConfig, Path]) -> None:
    config, folder = detector
    bundle = find_bundle(str(folder))
    image = read_image(config.data_root / "scan-6_image.nii.gz", "scan-6")
    mask = np.asarray(nib.load(config.data_root / "scan-6_label.nii.gz").dataobj)

    found = detect(_output(folder, config.data_root / "scan-6_image.nii.gz"), image.space, bundle, "scan-6")

    assert found
    low, high = np.argwhere(mask).min(axis=0), np.argwhere(mask).max(axis=0) + 1
    shared = np.clip(np.minimum(high, found[0].box_ijk[1]) - np.maximum(low, found[0].box_ijk[0]), 0, None).prod()
    union = (high - low).prod() + np.subtract(found[0].box_ijk[1], found[0].box_ijk[0]).prod() - shared
    assert shared / union > 0.3


def test_the_detectors_limit_was_set_on_the_calibration_split_and_its_card_has_the_curve(
    detector: tuple[TrainConfig, Path],
) -> None:
    _, folder = detector

    block = json.loads((folder / "configs" / "metadata.json").read_text())["diascope"]
    card = (folder / "docs" / "README.md").read_text()
    assert block["task"] == "detect"
    assert block["min_score"] != 0.5
    assert f"from {block['min_score']:.3f} on are reported" in card
    assert "sensitivity at 0.25 fp" in card


def test_a_detector_says_the_same_under_stock_monai(detector: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    config, folder = detector

    ours = _output(folder, config.data_root / "scan-6_image.nii.gz")
    stock = _stock(folder, config.data_root / "scan-6_image.nii.gz", tmp_path)

    assert np.moveaxis(stock, -1, 0) == pytest.approx(ours.logits, abs=1e-3)


def _bundle(config: TrainConfig, root: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns at each `_target_` that a config is a program
        return train_bundle(config, root / "out", models=root / "models")


def _output(folder: Path, image: Path) -> GridOfLogits:
    bundle = find_bundle(str(folder))
    read = read_image(image, "scan")
    prepared = prepare_input(bundle, Volume(read.values, read.space, ImageFacts(), "scan"))
    return GridOfLogits(run_network(open_network(bundle.folder, bundle.sha256, "cpu"), prepared), prepared.affine)


def _stock(folder: Path, image: Path, out: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's readers and its config parser warn freely
        stock_run(
            config_file=str(folder / "configs" / "inference.json"),
            bundle_root=str(folder),
            datalist=[{"image": str(image)}],
            output_dir=str(out),
            device="$torch.device('cpu')",
        )
    (written,) = out.rglob("*.nii.gz")
    return np.asarray(nib.load(written).dataobj)
