"""What a bundle's results are worth is learnt on the calibration split, and only where it has enough patients."""

import csv
import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from diascope.bundles.find import find_bundle
from diascope.bundles.network import open_network, prepare_input
from diascope.cli.models import app
from diascope.config import parse_settings
from diascope.errors import BundleError, PipelineError
from diascope.evaluation.calibration_file import CALIBRATION, BundleCalibration, read_calibration
from diascope.evaluation.out_of_distribution import REFERENCE, Yardstick, read_reference
from diascope.imaging.resample import GridOfLogits
from diascope.tasks.features import watched
from diascope.tasks.inference import run_network
from diascope.tasks.uncertainty import lesion_probabilities
from diascope.train.bundle_training import train_bundle
from diascope.train.components import build_network
from diascope.train.export import lock_bundle, write_bundle
from diascope.train.folds import training_cases
from diascope.train.judging import judge_bundle
from diascope.train.scoring import scored_images
from diascope.train.settings import TrainConfig, load_train_config
from diascope.volume import Volume
from tests.train.recipe_phantoms import write_radiographs
from tests.train.training_phantoms import head_config, slice_config, write_slices

PATIENTS = 32


class Made:
    """A bundle that finds bright balls, with many patients to calibrate it on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        values = {**write_slices(root), "epochs": 5, "optimiser": {"learning_rate": 0.02}}
        self._add_patients(root)
        self.config = parse_settings(TrainConfig, values)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI warns at each `_target_` that a config is a program
            self.folder = train_bundle(self.config, root / "out", models=root / "models")
        self.calibration: BundleCalibration | None = read_calibration(self.folder / CALIBRATION)

    def _add_patients(self, root: Path) -> None:
        rng = np.random.default_rng(9)
        i, j, k = np.meshgrid(np.arange(32), np.arange(40), np.arange(5), indexing="ij")
        with (root / "manifest.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        for number in range(PATIENTS):
            name = f"more-{number}"
            at = rng.uniform([10, 12, 1], [22, 28, 3])
            ball = ((i - at[0]) ** 2 + (j - at[1]) ** 2 + 4 * (k - at[2]) ** 2) < 36
            # From clear to hardly visible: some balls are missed in part.
            image = (rng.normal(40, 6, ball.shape) + rng.uniform(12, 80) * ball).clip(0, 255).astype(np.uint8)
            for kind, values in (("image", image), ("label", ball.astype(np.uint8))):
                nib.save(nib.Nifti1Image(values, None), root / f"{name}_{kind}.nii.gz")
            files = {kind: f"{name}_{kind}.nii.gz" for kind in ("image", "label")}
            blank = {"image_sha256": "", "label_sha256": "", "site": "B"}
            rows.append({"case": name, "patient": name, "split": "calibration", **files, **blank})
        with (root / "manifest.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


@pytest.fixture(scope="module")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("judged"))


def test_the_bundle_carries_both_files_and_the_lock_covers_them(balls: Made) -> None:
    bundle = find_bundle(str(balls.folder))

    locked = json.loads((balls.folder.parent / "bundles.lock").read_text())["bundles"][bundle.name]
    assert {str(CALIBRATION), str(REFERENCE)} <= set(locked)


def test_the_threshold_holds_the_missed_volume_on_the_calibration_patients(balls: Made) -> None:
    assert balls.calibration is not None
    rule = balls.calibration.missed_volume["ball"]
    assert rule.threshold is not None
    assert rule.cases == PATIENTS + 1
    bundle = find_bundle(str(balls.folder))
    opened = open_network(bundle.folder, bundle.sha256, "cpu")
    missed = []
    for image in scored_images(balls.config, "calibration"):
        prepared = prepare_input(bundle, image.volume)
        seen = GridOfLogits(run_network(opened, prepared), prepared.affine)
        shares = lesion_probabilities(seen, 1, image.truth == 1, np.eye(4))
        missed.append(float((shares < rule.threshold).mean()))

    # Conformal risk control counts one lost case more.
    assert (sum(missed) + 1) / (len(missed) + 1) <= rule.bound
    assert max(missed) > 0


def test_a_surer_network_has_the_better_dice_on_the_curve(balls: Made) -> None:
    assert balls.calibration is not None
    curve = balls.calibration.confidence
    assert curve is not None

    assert curve.cases == PATIENTS + 1
    assert curve.calibrated(curve.raw[0]) <= curve.calibrated(curve.raw[-1])
    assert curve.seen[-1] > curve.seen[0]


def test_an_image_of_another_kind_lies_far_from_the_reference_and_a_usual_one_does_not(balls: Made) -> None:
    reference = read_reference(balls.folder)
    assert reference is not None
    assert reference.features.shape[0] == PATIENTS + 1
    yardstick = Yardstick(reference)
    bundle = find_bundle(str(balls.folder))
    opened = open_network(bundle.folder, bundle.sha256, "cpu")

    def distance(volume: Volume) -> float:
        with watched(opened.network) as watch:
            run_network(opened, prepare_input(bundle, volume))
        assert watch.layer == reference.layer
        return yardstick.score(watch.vector())

    (image,) = scored_images(balls.config, "test")
    checkered = np.indices(image.volume.data.shape).sum(0) % 2 * np.float32(200)
    odd = Volume(checkered.astype(np.float32), image.volume.space, image.volume.facts, "odd")

    assert distance(image.volume) < 2
    assert distance(odd) > 3


def test_too_few_patients_give_no_file_and_a_reason_with_numbers(tmp_path: Path, balls: Made) -> None:
    few: dict[str, Any] = slice_config(balls.root)
    shutil.copytree(balls.folder, tmp_path / balls.folder.name)
    lock_bundle(tmp_path / balls.folder.name)
    manifest = balls.root / "few.csv"
    manifest.write_text("".join(
        line for line in (balls.root / "manifest.csv").read_text().splitlines(keepends=True) if "more-" not in line
    ))  # fmt: skip
    config = parse_settings(TrainConfig, {**few, "manifest": str(manifest)})

    reasons = judge_bundle(config, tmp_path / balls.folder.name)

    assert any("1 patients are too few for a curve, 30 are needed" in reason for reason in reasons)
    assert any("4 patients are too few to say what is usual, 10 are needed" in reason for reason in reasons)
    assert not (tmp_path / balls.folder.name / CALIBRATION).exists()
    assert not (tmp_path / balls.folder.name / REFERENCE).exists()


def test_a_judging_that_breaks_off_leaves_what_the_bundle_had(tmp_path: Path, balls: Made) -> None:
    folder = tmp_path / balls.folder.name
    shutil.copytree(balls.folder, folder)
    before = {file: (folder / file).read_bytes() for file in (CALIBRATION, REFERENCE)}
    # The last image of the calibration patients is read after all others were judged.
    lines = (balls.root / "manifest.csv").read_text().splitlines(keepends=True)
    manifest = balls.root / "broken.csv"
    manifest.write_text("".join([*lines[:-1], lines[-1].replace(f"more-{PATIENTS - 1}_image", "broken_image")]))
    (balls.root / "broken_image.nii.gz").write_bytes(b"no image")

    with pytest.raises(PipelineError):
        judge_bundle(parse_settings(TrainConfig, {**slice_config(balls.root), "manifest": str(manifest)}), folder)

    assert {file: (folder / file).read_bytes() for file in before} == before


def test_few_held_out_patients_are_joined_by_those_of_the_training_and_the_file_says_so(
    tmp_path: Path, balls: Made
) -> None:
    folder = tmp_path / balls.folder.name
    shutil.copytree(balls.folder, folder)
    manifest = balls.root / "nine.csv"
    lines = (balls.root / "manifest.csv").read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if "more-" not in line or re.match(r"more-[0-5],", line)))
    told = slice_config(balls.root)

    judge_bundle(parse_settings(TrainConfig, {**told, "manifest": str(manifest)}), folder)

    with safe_open(folder / REFERENCE, framework="numpy") as file:
        assert file.metadata()["split"] == "training and calibration"
        assert len(set(file.get_tensor("patient").tolist())) == 10  # 7 held out, 3 of the training


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # MONAI: a config is a program
def test_a_classifier_brings_reference_features_and_the_command_makes_them_again(
    tmp_path: Path, repository: Path
) -> None:
    told = [
        f"manifest={write_radiographs(tmp_path)}", f"data_root={tmp_path}", "init_from=null",
        "network.args.filters=[8,8,16,16,16]", "precision=fp32",
    ]  # fmt: skip
    name = "chest_xray_covid_classification"
    training = repository / "configs" / f"train_{name}.yaml"
    config = load_train_config(training, told)
    folder = tmp_path / "models" / name
    write_bundle(config, build_network(config.network), folder, "card")
    lock_bundle(folder)

    done = CliRunner().invoke(app, ["judge", str(folder), "-c", str(training), *(f"--set={one}" for one in told)])

    assert done.exit_code == 0, done.output
    assert "not learnt: the calibration of covid_19: " in done.output
    reference = read_reference(folder)
    assert reference is not None
    judged = [one for one in training_cases(config) if one.split in {"train", "calibration"}]
    assert len(reference.features) == len(judged)
    assert find_bundle(name, tmp_path / "models").sha256 in done.output
    other = CliRunner().invoke(app, ["judge", str(tmp_path / "models"), "-c", str(training)])
    assert isinstance(other.exception, BundleError)
    (folder / "docs" / "README.md").write_text("another card")
    altered = CliRunner().invoke(app, ["judge", str(folder), "-c", str(training), *(f"--set={one}" for one in told)])
    assert "was altered" in str(altered.exception)


def test_nothing_is_calibrated_on_synthetic_images(tmp_path: Path) -> None:
    (reason,) = judge_bundle(parse_settings(TrainConfig, head_config(tmp_path)), tmp_path)

    assert "synthetic" in reason
