"""An input that does not exist is named before anything is made."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from diascope.cli.ingest import ingest
from diascope.cli.inputs import check_inputs
from diascope.cli.manifest import manifest

app = typer.Typer(pretty_exceptions_enable=False)
app.command("ingest")(ingest)
app.command("manifest")(manifest)


@pytest.mark.parametrize("command", ["ingest", "manifest"])
def test_what_was_typed_is_named_and_nothing_is_made(tmp_path: Path, command: str) -> None:
    (tmp_path / "scans").mkdir()
    typed, out = [tmp_path / "scans", tmp_path / "scnas", tmp_path / "Müller"], tmp_path / "out"

    result = CliRunner().invoke(app, [command, *map(str, typed), "-o", str(out)])

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"error: no such file or folder: {typed[1]}",
        f"error: no such file or folder: {typed[2]}",
        "  try: check the spelling; nothing was done with the other 1",
    ]
    assert result.stdout == ""
    assert not out.exists()


def test_a_manifest_to_check_must_be_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["manifest", str(tmp_path), "-o", str(tmp_path / "gone.csv"), "--check"])

    assert result.exit_code == 2
    assert str(tmp_path / "gone.csv") in result.stderr


def test_a_broken_link_exists_and_is_told_as_a_file_later(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    check_inputs([tmp_path / "link"])
