"""Every file below the inputs is found once, and nothing hangs."""

import os
import shutil
from pathlib import Path

import pytest

from diascope.errors import InputError
from diascope.io.files import find_files
from diascope.io.outfolder import OutFolder


def names(*inputs: Path) -> list[str]:
    return [file.path.name for file in find_files(inputs).files]


def test_files_are_found_in_a_stable_order_each_once(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/deep/er/3", "top"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)

    assert names(tmp_path) == ["3", "1", "2", "top"]
    assert names(tmp_path, tmp_path / "b", tmp_path / "top") == ["3", "1", "2", "top"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("x")
    (tmp_path / "a" / "again").symlink_to(tmp_path)

    assert names(tmp_path) == ["file"]


def test_a_link_to_a_file_is_followed_and_a_broken_one_named(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "content").write_text("x")
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "good").symlink_to(tmp_path / "store" / "content")
    (tmp_path / "inputs" / "broken").symlink_to(tmp_path / "nowhere")

    found = find_files([tmp_path / "inputs"])

    assert [file.path.name for file in found.files] == ["good"]
    assert [(file.path.name, failure.code) for file, failure in found.unusable] == [("broken", "cannot_read")]


def test_a_pipe_is_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    found = find_files([tmp_path])

    assert [failure.code for _, failure in found.unusable] == ["special_file"]


def test_an_input_that_does_not_exist_is_an_error_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="input 2 of 2 does not exist") as caught:
        find_files([tmp_path, tmp_path / "patient-name"])
    assert "patient-name" not in str(caught.value)


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert find_files([tmp_path]).files == []


def results(folder: Path) -> OutFolder:
    """An output folder with an image of a case, as a run leaves it."""
    out = OutFolder(folder)
    with out.claimed():
        (out.case("case-1") / "images").mkdir(parents=True)
        (out.case("case-1") / "images" / "image-1.nii.gz").write_bytes(b"voxels")
        out.run_json.write_text('{"diascope": "1", "key_fingerprint": "ab"}')
        out.rejects_csv.write_text("file_id\n")
    return out


def test_an_output_folder_among_the_scans_is_told_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "scan").write_text("x")
    results(tmp_path / "out")

    found = find_files([tmp_path])

    assert [file.path.name for file in found.files] == ["scan"]
    ((folder, failure),) = found.results
    assert folder.path == tmp_path / "out"
    assert failure.code == "output_folder"
    assert "4 files" in failure.reason  # image, run.json, rejects.csv, .lock


def test_results_without_private_are_known_by_their_run_json(tmp_path: Path) -> None:
    shutil.rmtree(results(tmp_path / "out").private)

    assert names(tmp_path) == []


def test_scans_beside_the_results_in_one_folder_are_read(tmp_path: Path) -> None:
    results(tmp_path)
    (tmp_path / "scan").write_text("x")

    assert names(tmp_path) == ["scan"]


def test_images_of_a_case_are_read_where_their_folder_is_given(tmp_path: Path) -> None:
    out = results(tmp_path)

    assert names(out.case("case-1") / "images") == ["image-1.nii.gz"]


def test_somebody_elses_run_json_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "scan").write_text("x")
    (tmp_path / "run.json").write_text('{"tool": "another"}')

    assert names(tmp_path) == ["scan", "run.json"]
