"""A shell with a network of its own, and a scan for it."""

from pathlib import Path

import pytest

from diascope.io.write_nifti import write_volume
from tests.cli.shell import Shell
from tests.phantom_volumes import asymmetric_head, oblique_grid
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_bundle(folder)
    return folder


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    write_volume(folder / "HEAD_MUELLER.nii.gz", asymmetric_head(oblique_grid((20, 22, 12), (8.0, 9.0, 12.0))).volume)
    return folder


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], models: Path, tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, models, tmp_path)
