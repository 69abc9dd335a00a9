"""`diascope manifest`: made from headers or from names, and checked."""

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from diascope.cli.manifest import manifest
from diascope.errors import ConfigError, InputError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(manifest)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number in range(20):
        for part in ("flair", "tumour"):
            path = root / f"s{number:02d}" / f"{part}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            voxels = np.full((5, 7, 11), number, dtype=np.uint8)
            nibabel.Nifti1Image(voxels, np.diag([0.7, 0.8, 2.5, 1])).to_filename(path)
    lines = [f"s{n:02d},{'FM'[n % 2]},{40 + n},Meyer {n}" for n in range(20)]
    (tmp_path / "cases.csv").write_text("\n".join(["case,sex,age_years,name", *lines]) + "\n")
    return root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def by_pattern(data: Path, out: Path, *more: object) -> Result:
    pattern = ["--set", "image='{case}/flair.nii.gz'", "--set", "label='{case}/tumour.nii.gz'"]
    return run(data, "-o", out, *pattern, "--set", f"table={data.parent / 'cases.csv'}", *more)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_manifest_by_pattern_has_image_truth_groups_and_split(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.csv"

    result = by_pattern(data, out, "--set", "split.stratify=[sex]")

    assert result.exit_code == 0, result.output
    made = rows(out)
    assert len(made) == 20
    assert (made[3]["case"], made[3]["image"], made[3]["label"]) == ("s03", "s03/flair.nii.gz", "s03/tumour.nii.gz")
    assert (made[3]["sex"], made[3]["age_years"]) == ("M", "43")
    assert sum(row["split"] == "test" and row["sex"] == "F" for row in made) == 2
    assert "20 files, 20 cases, 20 patients: 14 train, 2 calibration, 4 test" in result.stdout


def test_names_are_left_out_and_that_is_said(data: Path, tmp_path: Path) -> None:
    result = by_pattern(data, tmp_path / "m.csv")

    assert "Meyer" not in (tmp_path / "m.csv").read_text()
    assert "left out, because they may tell who it is: name" in result.stderr


def test_a_manifest_by_headers_is_made_and_checked(data: Path, tmp_path: Path) -> None:
    out, key = tmp_path / "m.csv", ["--set", f"key_file={tmp_path / 'key'}"]

    assert run(data, "-o", out, *key).exit_code == 0
    assert len(rows(out)) == 40
    result = run(data, "-o", out, "--check", *key)

    assert result.exit_code == 0
    assert result.stdout == "everything is as the manifest says\n"


def test_every_file_that_changed_vanished_or_came_is_named(data: Path, tmp_path: Path) -> None:
    out, key = tmp_path / "m.csv", ["--set", f"key_file={tmp_path / 'key'}"]
    by_pattern(data, out)
    (data / "s01" / "flair.nii.gz").write_bytes((data / "s02" / "flair.nii.gz").read_bytes())
    (data / "s03" / "tumour.nii.gz").unlink()
    (data / "s04" / "new.nii.gz").write_bytes((data / "s02" / "flair.nii.gz").read_bytes())
    (data / "s05" / "note.txt").write_text("no image")

    result = run(data, "-o", out, "--check", "--json", *key)

    assert result.exit_code == 3
    assert json.loads(result.stdout) == {
        "changed": ["s01/flair.nii.gz"],
        "vanished": ["s03/tumour.nii.gz"],
        "came": ["s04/new.nii.gz"],
    }


def test_several_inputs_need_a_data_root(data: Path, tmp_path: Path) -> None:
    key = ["--set", f"key_file={tmp_path / 'key'}"]

    result = run(data / "s01", data / "s02", "-o", tmp_path / "m.csv", *key)

    assert isinstance(result.exception, ConfigError)
    assert "--root" in result.exception.hint
    assert run(data / "s01", data / "s02", "-o", tmp_path / "m.csv", "--root", data, *key).exit_code == 0
    assert {row["image"].split("/")[0] for row in rows(tmp_path / "m.csv")} == {"s01", "s02"}


def test_an_image_that_cannot_be_read_is_told(data: Path, tmp_path: Path) -> None:
    (data / "broken.nii").write_bytes(b"nothing")

    result = run(data, "-o", tmp_path / "m.csv", "--set", f"key_file={tmp_path / 'key'}")

    assert result.exit_code == 1
    assert "1 files are images that cannot be read" in result.stderr
    assert len(rows(tmp_path / "m.csv")) == 40


def test_a_manifest_that_was_just_made_is_found_true_beside_a_broken_image(data: Path, tmp_path: Path) -> None:
    (data / "broken.nii").write_bytes(b"nothing")
    out, key = tmp_path / "m.csv", ["--set", f"key_file={tmp_path / 'key'}"]
    run(data, "-o", out, *key)

    result = run(data, "-o", out, "--check", *key)

    assert (result.exit_code, result.stdout) == (0, "everything is as the manifest says\n")


def test_a_folder_without_an_image_makes_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.nii").write_bytes(b"nothing")

    result = run(tmp_path / "in", "-o", tmp_path / "m.csv", "--set", f"key_file={tmp_path / 'key'}")

    assert isinstance(result.exception, InputError)
    assert result.exception.code == "no_image"
    assert not (tmp_path / "m.csv").exists()
