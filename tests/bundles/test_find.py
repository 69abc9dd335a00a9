"""Which networks there are, and that none opens whose files were altered."""

import json
import shutil
from pathlib import Path

import pytest

from diascope.bundles.find import find_bundle, list_bundles, read_bundle, search_path, sided
from diascope.bundles.lock import write_lock
from diascope.errors import BundleError
from tests.tiny_bundle import write_tiny_bundle


def test_a_bundle_says_what_it_draws_and_is_stamped_with_its_digest(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)

    bundle = find_bundle("tiny_bright", tmp_path)

    assert [(label.value, label.name, label.colour) for label in bundle.labels] == [(1, "bright", "#d62728")]
    assert bundle.stamp.licence == "Apache-2.0"
    assert len(bundle.stamp.sha256) == 64


def test_one_altered_byte_of_the_weights_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path)
    weights = folder / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    with pytest.raises(BundleError, match=r"tiny_bright: models/model\.safetensors was altered"):
        find_bundle("tiny_bright", tmp_path)


def test_a_misspelt_name_gets_the_nearest_one(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)

    with pytest.raises(BundleError, match="no bundle named tiny_brigth") as caught:
        find_bundle("tiny_brigth", tmp_path)

    assert caught.value.hint == "did you mean tiny_bright?"


def test_a_bundle_is_found_by_its_folder_too(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "elsewhere")

    assert find_bundle(str(folder)).name == "tiny_bright"


def test_the_folder_of_the_settings_comes_before_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_bundle(tmp_path / "settings", threshold=1.0)
    write_tiny_bundle(tmp_path / "environment", threshold=2.0)
    write_tiny_bundle(tmp_path / "environment", "only_here")
    monkeypatch.setenv("DIASCOPE_MODELS", str(tmp_path / "environment"))

    found = {bundle.name: bundle.folder for bundle in list_bundles(tmp_path / "settings")}

    assert found["tiny_bright"] == tmp_path / "settings" / "tiny_bright"
    assert found["only_here"] == tmp_path / "environment" / "only_here"
    assert search_path(tmp_path / "settings")[:2] == (tmp_path / "settings", tmp_path / "environment")


def test_a_misspelt_need_in_the_metadata_is_named(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path)
    file = folder / "configs" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["diascope"]["needs"] = "grids"
    file.write_text(json.dumps(metadata))

    with pytest.raises(
        BundleError, match=r"tiny_bright: metadata.json .*needs: Input should be 'grid', 'pixels' or 'index'"
    ):
        read_bundle(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": "1"}', "\x00"])
def test_a_metadata_file_that_is_none_is_an_error_of_the_bundle(tmp_path: Path, content: str) -> None:
    folder = write_tiny_bundle(tmp_path)
    (folder / "configs" / "metadata.json").write_text(content)

    with pytest.raises(BundleError, match="does not describe it for diascope"):
        read_bundle(folder)


def test_a_folder_that_happens_to_lie_in_the_working_folder_is_no_bundle_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_bundle(tmp_path / "here", "planted")
    monkeypatch.chdir(tmp_path / "here")

    with pytest.raises(BundleError, match="no bundle named planted"):
        find_bundle("planted", tmp_path / "models")

    assert find_bundle("./planted").name == "planted"


def test_only_the_very_files_that_come_with_diascope_are_called_ours(tmp_path: Path) -> None:
    ours = find_bundle("flair_glioma_segmentation")
    copied = shutil.copytree(ours.folder, tmp_path / "copied" / ours.name)
    write_lock(tmp_path / "copied" / "bundles.lock", copied)
    altered = shutil.copytree(ours.folder, tmp_path / "altered" / ours.name)
    (altered / "LICENSE").write_text("mine")
    write_lock(tmp_path / "altered" / "bundles.lock", altered)

    assert ours.is_shipped
    assert find_bundle(str(copied)).is_shipped
    assert not find_bundle(str(altered)).is_shipped
    assert not find_bundle(str(write_tiny_bundle(tmp_path))).is_shipped


def test_a_bundle_given_by_its_path_needs_a_lock_that_names_its_files(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path)
    (tmp_path / "bundles.lock").unlink()

    with pytest.raises(BundleError, match=r"tiny_bright is not in bundles\.lock"):
        find_bundle(str(folder))


def test_a_modality_that_no_header_ever_names_is_told_with_the_one_that_is_meant(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path)
    file = folder / "configs" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["diascope"]["modality"] = ["MRI"]
    file.write_text(json.dumps(metadata))

    with pytest.raises(BundleError, match=r"modality\.0: .*MRI is no modality of DICOM: write MR"):
        read_bundle(folder)


def test_a_side_is_seen_however_the_words_of_a_label_are_joined() -> None:
    names = ["Left-Hippocampus", "hippocampus_right", "lh.cortex", "cleft", "lung right", "brightness"]

    assert sided(names) == ("Left-Hippocampus", "hippocampus_right", "lh.cortex", "lung right")


@pytest.mark.parametrize(
    ("limit", "told"), [("field_of_view", {"least_extend_mm": [110, 110, 110]}), ("ages", {"least": 18})]
)
def test_a_misspelt_limit_does_not_pass(limit: str, told: dict[str, object], tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path)
    file = folder / "configs" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["diascope"][limit] = told
    file.write_text(json.dumps(metadata))

    with pytest.raises(BundleError, match=rf"{limit}\.{next(iter(told))}"):
        read_bundle(folder)
