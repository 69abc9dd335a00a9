"""`diascope view` on the command line."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from diascope.io.outfolder import OutFolder
from diascope.viewer.store.opening import file_url, open_engine, out_key
from diascope.viewer.store.reviews import Reviews
from tests.cli.shell import Shell
from tests.phantoms import Phantoms, write_out
from tests.viewer.store.test_reviews import new


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    return write_out(tmp_path_factory.mktemp("view") / "out")


@pytest.fixture
def out(template: Phantoms, tmp_path: Path) -> Path:
    shutil.copytree(template.folder, tmp_path / "out")
    return tmp_path / "out"


def test_a_user_is_added_from_a_pipe(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("three words together\n"))

    code, told, _ = shell("view", "--add-user", "Ben Student:reader")

    (user,) = json.loads((tmp_path / "data" / "diascope" / "viewer" / "users.json").read_text())
    assert code == 0
    assert told == "Ben Student may sign in as reader\n"
    assert (user["name"], user["role"]) == ("Ben Student", "reader")


def test_a_role_that_does_not_exist_is_refused(shell: Shell) -> None:
    code, _, told = shell("view", "--add-user", "Ben:admin")

    assert code == 2
    assert "there is no role admin" in told


def test_another_host_is_refused_with_the_cure(shell: Shell, out: Path) -> None:
    code, told, error = shell("view", out, "--host", "0.0.0.0")

    assert (code, told) == (2, "")
    assert "--add-user" in error


def test_without_a_folder_it_says_what_is_missing(shell: Shell, tmp_path: Path) -> None:
    assert "diascope view OUT" in shell("view")[2]
    code, _, error = shell("view", tmp_path)
    assert code == 2
    assert "holds no results" in error
    assert str(tmp_path) not in error


def test_a_setting_that_is_misspelt_is_told(shell: Shell, out: Path) -> None:
    code, _, error = shell("view", out, "--set", "blindet=true")

    assert code == 2
    assert "did you mean blinded?" in error


def test_the_record_is_exported_without_a_server(shell: Shell, out: Path, tmp_path: Path) -> None:
    reviews = Reviews(open_engine(file_url(OutFolder(out))))
    reviews.add(replace(new("1"), out_key=out_key(OutFolder(out))))
    reviews.close()

    code, told, _ = shell("view", out, "--export", tmp_path / "verdicts.csv")

    assert code == 0
    assert told.startswith("1 rows:")
    assert (tmp_path / "verdicts.csv").read_text().splitlines()[1].startswith("1,case-1,pat-1,reader-1,")


def test_a_name_that_says_nothing_is_refused_with_those_that_do(shell: Shell, out: Path, tmp_path: Path) -> None:
    code, _, error = shell("view", out, "--export", tmp_path / "things.xlsx")

    assert code == 2
    assert "verdicts.csv" in error
    code, _, error = shell("view", out, "--export", tmp_path / "manifest.csv")
    assert "no label map was accepted" in error
