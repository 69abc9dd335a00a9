"""A training in MLflow: everything about it arrives, parts are nested, and a dead server stalls nothing."""

import json
import socket
import time
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from diascope.bundles.lock import digest_bundle, whole_digest
from diascope.config import parse_settings
from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.tracker import RunDescription, open_tracker
from diascope.run.training_tracking import datasets, flat_settings, tracking_wishes, train_tracked
from diascope.train.folds import training_cases
from diascope.train.settings import TrainConfig, load_train_config
from tests.train.training_phantoms import slice_config, write_config, write_slices


def client_of(store: Path) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{store}")


def runs_of(store: Path) -> list[Any]:
    client = client_of(store)
    return list(client.search_runs([one.experiment_id for one in client.search_experiments()]))


def tracked(values: dict[str, Any], out: Path, uri: str) -> tuple[Path, list[str]]:
    told: list[str] = []
    out.mkdir(exist_ok=True)
    tracker = open_tracker(out, TrackingSettings(uri=uri), told.append)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns at each `_target_` that a config is a program
        return train_tracked(parse_settings(TrainConfig, values), out, tracker), told


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    return {**write_slices(tmp_path), "epochs": 2, "steps_per_epoch": 3}


def test_everything_about_a_training_arrives(small: dict[str, Any], tmp_path: Path, store: Path) -> None:
    folder, _ = tracked(small, tmp_path / "out", f"sqlite:///{store}")

    (run,) = runs_of(store)
    client = client_of(store)
    assert (run.info.run_name, run.info.status) == ("ball_segmentation", "FINISHED")
    assert run.data.params["optimiser.learning_rate"] == "0.01"
    assert run.data.params["network.args.channels"] == "[8, 16, 16]"
    assert run.data.tags["diascope.kind"] == "training"
    logged = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    for name in ("loss", "dice", "dice_ball", "learning_rate"):
        history = client.get_metric_history(run.info.run_id, name)
        assert [(one.step, one.value) for one in history] == [
            (line["epoch"], pytest.approx(line[name])) for line in logged
        ]
    assert 0 < run.data.metrics["system/process_memory_usage_megabytes"] < 1e6
    assert 0 <= run.data.metrics["test.dice"] <= 1
    contexts = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
    assert json.loads(contexts["training"].profile) == {"cases": 3, "patients": 3}
    assert json.loads(contexts["validation"].profile) == {"cases": 1, "patients": 1}
    pictures = {one.path for one in client.list_artifacts(run.info.run_id, "pictures")}
    assert pictures == {"pictures/learning_curves.png", "pictures/validation_overlays.png"}
    assert (folder / "docs" / "README.md").is_file()


def test_the_finished_bundle_is_registered_with_its_card_as_description(
    small: dict[str, Any], tmp_path: Path, store: Path
) -> None:
    folder, _ = tracked(small, tmp_path / "out", f"sqlite:///{store}")
    tracked(small, tmp_path / "out", f"sqlite:///{store}")  # the same command again: finished already

    client = client_of(store)
    (run,) = runs_of(store)
    card = (folder / "docs" / "README.md").read_text()
    (version,) = client.search_model_versions("name = 'ball_segmentation'")
    assert version.run_id == run.info.run_id
    assert version.description == card
    assert client.get_registered_model("ball_segmentation").description == card
    facts = {"version": "0.1.0", "licence": "Apache-2.0", "research_only": "false"}
    assert version.tags == {**facts, "sha256": whole_digest(digest_bundle(folder))}
    stored = Path(client.download_artifacts(run.info.run_id, "bundle/models/model.safetensors", str(tmp_path)))
    assert stored.read_bytes() == (folder / "models" / "model.safetensors").read_bytes()


def test_folds_are_runs_nested_in_the_run_of_the_cross_validation(
    small: dict[str, Any], tmp_path: Path, store: Path
) -> None:
    tracked({**small, "folds": {"count": 2}, "epochs": 1}, tmp_path / "out", f"sqlite:///{store}")

    runs = {run.info.run_name: run for run in runs_of(store)}
    whole = runs.pop("ball_segmentation (cross-validation)")
    assert set(runs) == {"fold_1", "fold_2"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {whole.info.run_id}
    assert [runs[f"fold_{number}"].data.params["folds.only"] for number in (1, 2)] == ["1", "2"]
    assert all(run.info.status == "FINISHED" and "loss" in run.data.metrics for run in runs.values())
    assert 0 <= whole.data.metrics["out_of_fold.dice"] <= 1
    assert whole.data.tags["diascope.kind"] == "cross-validation"


def test_a_nested_run_that_is_resumed_goes_on_in_the_same_run(tmp_path: Path, store: Path) -> None:
    whole = RunDescription("whole", "hash-of-whole")
    for step in (1, 2):
        tracker = open_tracker(tmp_path, TrackingSettings(uri=f"sqlite:///{store}"), lambda _: None)
        assert tracker is not None
        tracker.start(whole)
        part = tracker.nested(RunDescription("trial_000", "hash-of-part"))
        part.log_metrics({"dice": 0.1 * step}, step)
        part.finish("KILLED" if step == 1 else "FINISHED")
        result = tracker.finish()
        assert result.left == 0

    runs = {run.info.run_name: run for run in runs_of(store)}
    assert set(runs) == {"whole", "trial_000"}
    assert result.run_id == runs["whole"].info.run_id
    history = client_of(store).get_metric_history(runs["trial_000"].info.run_id, "dice")
    assert [one.step for one in history] == [1, 2]
    assert runs["trial_000"].info.status == "FINISHED"


def test_a_training_that_fails_is_marked_so_and_says_why_on_the_way(
    small: dict[str, Any], tmp_path: Path, store: Path
) -> None:
    (tmp_path / "case-1_label.nii.gz").write_bytes(b"no image")

    with pytest.raises(Exception, match="case-1"):
        tracked(small, tmp_path / "out", f"sqlite:///{store}")

    (run,) = runs_of(store)
    assert run.info.status == "FAILED"


def test_a_server_that_never_answers_stalls_no_training(small: dict[str, Any], tmp_path: Path) -> None:
    with closing(socket.socket()) as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(50)
        started = time.monotonic()
        folder, told = tracked(small, tmp_path / "out", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        seconds = time.monotonic() - started

    logged = (tmp_path / "out" / "log.jsonl").read_text().splitlines()
    assert len(logged) == 2
    assert (folder / "models" / "model.safetensors").is_file()
    assert any("wait in tracking.jsonl" in text for text in told)
    # The sender's own start and its wait of 3 s are all there is beside the training.
    assert seconds < 120


def test_pictures_show_curves_and_outlines(small: dict[str, Any], tmp_path: Path, store: Path) -> None:
    tracked(small, tmp_path / "out", f"sqlite:///{store}")

    for name in ("learning_curves", "validation_overlays"):
        with Image.open(tmp_path / "out" / "pictures" / f"{name}.png") as picture:
            colours = picture.convert("RGB").getcolors(maxcolors=2**24)
        assert colours is not None
        coloured = [
            count for count, (red, green, blue) in colours if max(red, green, blue) - min(red, green, blue) > 80
        ]
        assert sum(coloured) > 20, name


def test_the_digest_of_the_data_changes_with_a_file_and_not_with_the_order(tmp_path: Path) -> None:
    config = parse_settings(TrainConfig, write_slices(tmp_path))
    cases = training_cases(config)

    digests = {one.name: one.digest for one in datasets(cases, "m")}
    assert {one.name: one.digest for one in datasets(cases[::-1], "m")} == digests
    write_slices(tmp_path, seed=6)
    changed = {one.name: one.digest for one in datasets(training_cases(config), "m")}

    assert set(digests) == {"m.train", "m.calibration", "m.test"}
    assert all(changed[name] != digests[name] for name in digests)
    assert all(len(digest) <= 36 for digest in digests.values())


def test_settings_are_told_without_folders_and_the_words_of_the_card(tmp_path: Path) -> None:
    flat = flat_settings(parse_settings(TrainConfig, slice_config(tmp_path)))

    assert flat["manifest"] == "manifest.csv"
    assert not any(str(tmp_path) in str(value) for value in flat.values())
    assert not any(key.startswith("bundle.") for key in flat)


def test_a_training_config_says_where_to_track(tmp_path: Path) -> None:
    values = {**slice_config(tmp_path), "tracking": {"experiment": "gliomas", "artifacts": "none"}}
    yaml = write_config(values, tmp_path / "train.yaml")

    wishes = tracking_wishes(yaml, ["tracking.experiment=others", "epochs=1"])

    assert (wishes.experiment, wishes.artifacts) == ("others", "none")
    assert load_train_config(yaml, ["tracking.experiment=others", "epochs=1"]).epochs == 1
