"""The bundles that come with diascope: small, locked, without pickle, and good on people nobody trained on."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.bundles.network import open_network, prepare_input
from diascope.config import find_config
from diascope.evaluation.curves import delong
from diascope.findings import ImageFacts, Prediction
from diascope.geometry import Grid, IndexGrid, Space
from diascope.imaging.resample import GridOfLogits
from diascope.tasks.classify import classify
from diascope.tasks.inference import run_network
from diascope.tasks.segment import segment
from diascope.train.bundle_config import inference_config
from diascope.train.export import LARGEST_WEIGHTS_BYTES, bundle_metadata
from diascope.train.manifest import cases_of, read_manifest
from diascope.train.settings import LabelSettings, load_train_config
from diascope.train.volumes import read_case
from diascope.volume import Volume

OUTLINES = ("brain_structures_segmentation", "flair_glioma_segmentation")
OTHERS = (
    "hippocampus_segmentation",
    "flair_glioma_classification",
    "flair_glioma_detection",
    "chest_xray_lung_segmentation",
    "chest_xray_covid_classification",
)


@pytest.fixture(params=(*OUTLINES, *OTHERS))
def bundle(request: pytest.FixtureRequest, repository: Path) -> BundleInfo:
    return find_bundle(request.param, repository / "models")


def labels_of(bundle: BundleInfo, data: np.ndarray, space: Space) -> np.ndarray:
    opened = open_network(bundle.folder, bundle.sha256, "cpu")
    prepared = prepare_input(bundle, Volume(data, space, ImageFacts(), "image"))
    return segment(GridOfLogits(run_network(opened, prepared), prepared.affine), space, bundle).data


def classes_of(bundle: BundleInfo, data: np.ndarray, space: Space) -> tuple[Prediction, ...]:
    prepared = prepare_input(bundle, Volume(data, space, ImageFacts(), "image"))
    logits = run_network(open_network(bundle.folder, bundle.sha256, "cpu"), prepared)
    return classify(GridOfLogits(logits, prepared.affine), space, bundle, "image")


def test_its_weights_are_small_and_hold_no_pickle(bundle: BundleInfo) -> None:
    weights = bundle.folder / "models" / "model.safetensors"

    with safe_open(weights, framework="pt") as stored:
        assert list(stored.keys())
    assert weights.stat().st_size < LARGEST_WEIGHTS_BYTES
    assert not list(bundle.folder.rglob("*.pt"))


def test_its_config_in_the_repository_describes_the_network_that_is_shipped(bundle: BundleInfo) -> None:
    config = load_train_config(find_config(f"train_{bundle.name}"))
    written = json.loads((bundle.folder / "configs" / "inference.json").read_text())
    said = json.loads((bundle.folder / "configs" / "metadata.json").read_text())

    assert written == json.loads(json.dumps(inference_config(config)))
    # A detector's limit was chosen after the training, on the calibration split.
    chosen = {"min_score": said["diascope"]["min_score"]} if bundle.block.task == "detect" else {}
    assert said["diascope"] == json.loads(json.dumps(bundle_metadata(config)["diascope"])) | chosen


@pytest.mark.parametrize("name", OUTLINES)
def test_it_runs_on_an_image_of_any_shape_and_gives_the_source_voxels_back(name: str, repository: Path) -> None:
    bundle = find_bundle(name, repository / "models")
    data = np.random.default_rng(0).uniform(0, 900, (37, 52, 23)).astype(np.float32)
    affine = np.diag([1.7, 1.1, 3.0, 1.0])

    labels = labels_of(bundle, data, Grid(data.shape, affine))

    assert labels.shape == data.shape
    assert set(np.unique(labels)) <= {0, *(label.value for label in bundle.labels)}


def test_a_classifier_judges_every_slice_of_a_scan_of_any_shape(repository: Path) -> None:
    bundle = find_bundle("flair_glioma_classification", repository / "models")
    data = np.random.default_rng(0).uniform(0, 900, (37, 52, 23)).astype(np.float32)

    found = classes_of(bundle, data, IndexGrid(data.shape))

    assert [one.slice_k for one in found] == [None, *range(23)]


def test_the_card_tells_licence_limits_and_command(bundle: BundleInfo) -> None:
    card = (bundle.folder / "docs" / "README.md").read_text()

    assert bundle.block.licence in card
    assert "## What it cannot do" in card
    assert f"diascope train configs/train_{bundle.name}.yaml" in card


@pytest.mark.data
def test_gliomas_of_held_out_patients_are_outlined_also_in_12_bits(repository: Path, shared_data: Path) -> None:
    bundle = find_bundle("flair_glioma_segmentation", repository / "models")
    cases = cases_of(read_manifest(repository / "data_manifests" / "lgg_flair.csv", shared_data), "calibration")[:3]
    rng = np.random.default_rng(0)
    tumour = LabelSettings(name="tumour", colour="#d62728")
    overlaps, overlaps_12_bit = [], []
    for case in cases:
        image, label = (one[0].numpy() for one in read_case(case, [tumour]))
        fine = (image * 13.7 + rng.uniform(-27, 27, image.shape)).clip(0, 4095).astype(np.float32)
        for data, found in ((image, overlaps), (fine, overlaps_12_bit)):
            drawn = labels_of(bundle, data, IndexGrid(data.shape)) > 0
            found.append(2 * np.count_nonzero(drawn & (label > 0)) / (drawn.sum() + (label > 0).sum()))

    assert np.mean(overlaps) > 0.8
    assert overlaps_12_bit == pytest.approx(overlaps, abs=0.02)


@pytest.mark.data
def test_slices_with_glioma_are_told_apart_in_12_bits_and_from_sagittal_storage(
    repository: Path, shared_data: Path
) -> None:
    bundle = find_bundle("flair_glioma_classification", repository / "models")
    cases = cases_of(read_manifest(repository / "data_manifests" / "lgg_flair.csv", shared_data), "calibration")[:3]
    tumour = LabelSettings(name="tumour", colour="#d62728")
    rng = np.random.default_rng(0)
    # Stored as front to back, foot to head, right to left, as a sagittal scan is.
    sagittal = np.array([[0, 0, -1.0, 0], [1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1.0]])
    scores: dict[str, list[float]] = {"plain": [], "12 bits": []}
    shown: list[bool] = []
    for case in cases:
        image, label = (one[0].numpy() for one in read_case(case, [tumour]))
        fine = (image * 13.7 + rng.uniform(-27, 27, image.shape)).clip(0, 4095).astype(np.float32)
        for name, data in (("plain", image), ("12 bits", fine)):
            scores[name] += [one.score for one in classes_of(bundle, data, IndexGrid(data.shape))[1:]]
        shown += (label > 0).any(axis=(0, 1)).tolist()
        axial = Grid(fine.shape, np.diag([1.0, 1.0, 2.0, 1.0]))
        turned = np.moveaxis(fine, (0, 1, 2), (2, 0, 1))[:, :, ::-1]
        as_sagittal = classes_of(bundle, turned, Grid(turned.shape, sagittal))
        assert as_sagittal[0].score == pytest.approx(classes_of(bundle, fine, axial)[0].score, abs=1e-4)
        assert len(as_sagittal) == 1  # the network's slices are none of the source's

    for said in scores.values():
        auc = delong(np.array(shown), np.array(said), np.zeros(len(said), dtype=np.int64))
        assert auc is not None
        assert auc.value > 0.95


def test_the_scores_on_the_gliomas_card_are_of_the_manifests_test_patients(repository: Path) -> None:
    with (repository / "data_manifests" / "lgg_flair.csv").open(newline="") as stream:
        test_patients = [row for row in csv.DictReader(stream) if row["split"] == "test"]

    card = (repository / "models" / "flair_glioma_segmentation" / "docs" / "README.md").read_text()

    assert f"{len(test_patients)} patients" in card
