"""`diascope ingest`: images, reports, and a fate for every file."""

import json
import shutil
import zipfile
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from diascope.cli.ingest import ingest
from diascope.errors import ConfigError, InputError, PipelineError
from diascope.findings import CaseReport, read_report
from diascope.identity import load_key
from diascope.io.outfolder import OutFolder
from diascope.io.private import check_accounting, read_identities, read_inputs
from tests.io.dicom_phantoms import Phantom, radiograph, save, without, write_series

AFFINE = np.array([[-0.7, 0.1, 0.0, 31.0], [0.1, 0.8, 0.3, -42.5], [0.0, -0.1, 2.5, 17.25], [0, 0, 0, 1]])

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(ingest)


def voxels(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 100


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "Meyer Anna"
    folder.mkdir()
    nibabel.Nifti1Image(voxels(5, 7, 11), AFFINE).to_filename(folder / "brain.nii.gz")
    nibabel.Nifti1Image(voxels(5, 7, 11, 4), AFFINE).to_filename(folder / "rest.nii")
    nrrd.write(str(folder / "plain.nrrd"), voxels(5, 7, 11))
    colours = np.random.default_rng(7).integers(0, 255, (9, 13, 3), dtype=np.uint8)
    Image.fromarray(colours).save(folder / "photo.png")
    (folder / "readme.txt").write_text("hello")
    return folder


def run(*arguments: object, key: Path | None = None) -> Result:
    chosen = ["--set", f"identity.key_file={key}"] if key else []
    return CliRunner().invoke(app, [str(one) for one in arguments] + chosen, catch_exceptions=True)


@pytest.fixture
def out(tmp_path: Path) -> OutFolder:
    return OutFolder(tmp_path / "out")


def reports(out: OutFolder) -> dict[str, CaseReport]:
    """The report of each case by the name of its file."""
    names = {row.case_id: Path(row.path).name for row in read_inputs(out) if row.case_id}
    return {names[folder.name]: read_report(folder / "case.json") for folder in out.cases.iterdir()}


def test_every_image_is_converted_and_lies_where_it_lay(scans: Path, out: OutFolder, tmp_path: Path) -> None:
    result = run(scans, "-o", out.root, key=tmp_path / "key")

    assert result.exit_code == 0, result.output
    found = reports(out)
    assert set(found) == {"brain.nii.gz", "rest.nii", "plain.nrrd", "photo.png"}
    (image,) = found["brain.nii.gz"].images
    stored = nibabel.load(out.case(found["brain.nii.gz"].case_id) / str(image.stored))
    assert np.array_equal(np.asarray(stored.dataobj), voxels(5, 7, 11))
    assert np.allclose(stored.affine, AFFINE, atol=1e-6)
    assert (image.space, image.shape, image.axcodes) == ("grid", (5, 7, 11), "LAS")


def test_four_axes_stay_one_image(scans: Path, out: OutFolder, tmp_path: Path) -> None:
    run(scans, "-o", out.root, key=tmp_path / "key")

    report = reports(out)["rest.nii"]
    stored = nibabel.load(out.case(report.case_id) / str(report.images[0].stored))

    assert np.array_equal(np.asarray(stored.dataobj), voxels(5, 7, 11, 4))
    assert any("4 volumes" in note for note in report.images[0].notes)


def test_no_affine_is_made_up_and_colours_stay(scans: Path, out: OutFolder, tmp_path: Path) -> None:
    run(scans, "-o", out.root, key=tmp_path / "key")
    found = reports(out)

    plain = nibabel.load(out.case(found["plain.nrrd"].case_id) / str(found["plain.nrrd"].images[0].stored))
    photo = sitk.ReadImage(str(out.case(found["photo.png"].case_id) / str(found["photo.png"].images[0].stored)))

    assert (int(plain.header["sform_code"]), int(plain.header["qform_code"])) == (0, 0)
    assert found["plain.nrrd"].images[0].spacing_mm is None
    by_itk = sitk.GetArrayFromImage(sitk.ReadImage(str(scans / "photo.png")))
    assert np.array_equal(sitk.GetArrayFromImage(photo)[0], by_itk)


def test_every_file_is_accounted_for_and_originals_are_untouched(scans: Path, out: OutFolder, tmp_path: Path) -> None:
    with zipfile.ZipFile(scans / "more.zip", "w") as archive:
        archive.write(scans / "rest.nii", "inside.nii")
    before = {path: path.read_bytes() for path in scans.iterdir()}

    run(scans, "-o", out.root, key=tmp_path / "key")

    rows = {row.path: row for row in read_inputs(out)}
    check_accounting(list(rows.values()))
    inside = f"{scans / 'more.zip'}!inside.nii"
    assert set(rows) == {inside, *(str(path) for path in scans.iterdir())}
    assert sum(row.fate == "used" for row in rows.values()) == 5
    assert all(len(row.sha256) == 64 for row in rows.values() if row.fate == "used")
    assert rows[inside].sha256 == rows[str(scans / "rest.nii")].sha256
    assert {path: path.read_bytes() for path in scans.iterdir()} == before


def test_results_below_the_scans_do_not_come_back_as_scans(scans: Path, tmp_path: Path) -> None:
    out = OutFolder(scans / "converted")
    run(scans, "-o", out.root, key=tmp_path / "key")
    first = {row.case_id for row in read_inputs(out)}

    run(scans, "-o", out.root, key=tmp_path / "key")

    again = read_inputs(out)
    assert {row.case_id for row in again} == first
    assert [(row.path, row.fate) for row in again if row.code == "output_folder"] == [(str(out.root), "skipped")]


def test_pixels_that_are_missing_fail_that_image_alone(scans: Path, out: OutFolder, tmp_path: Path) -> None:
    packed = (scans / "brain.nii.gz").read_bytes()
    (scans / "cut.nii.gz").write_bytes(packed[:-20])

    result = run(scans, "-o", out.root, key=tmp_path / "key")

    assert result.exit_code == 1
    found = reports(out)
    assert found["cut.nii.gz"].status == "failed"
    assert sum(report.status == "done" for report in found.values()) == 4
    (row,) = [row for row in read_inputs(out) if row.path.endswith("cut.nii.gz")]
    assert row.fate == "failed"
    assert row.code in {"truncated", "corrupt"}
    assert row.file_id in out.rejects_csv.read_text()
    assert not list(out.case(found["cut.nii.gz"].case_id).rglob("*.nii.gz"))


def test_nothing_outside_private_tells_who_it_is(scans: Path, out: OutFolder, tmp_path: Path) -> None:
    result = run(scans, "-o", out.root, key=tmp_path / "key")

    told = [path.read_bytes() for path in out.root.rglob("*") if path.is_file() and out.private not in path.parents]
    assert told
    for secret in (b"Meyer", b"Anna", str(tmp_path).encode()):
        assert not any(secret in content for content in told)
        assert secret.decode() not in result.output
    assert read_identities(out)


def test_the_same_input_gives_the_same_bytes(scans: Path, tmp_path: Path) -> None:
    contents = []
    for name in ("one", "other"):
        out = OutFolder(tmp_path / name)
        run(scans, "-o", out.root, key=tmp_path / "key")
        contents.append(
            {path.relative_to(out.root): path.read_bytes() for path in out.cases.rglob("*") if path.is_file()}
        )

    assert contents[0]
    assert contents[0] == contents[1]


def test_each_line_of_json_is_a_case(scans: Path, out: OutFolder, tmp_path: Path) -> None:
    result = run(scans, "-o", out.root, "--json", key=tmp_path / "key")

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["status"] for row in rows} == {"done"}
    assert len(rows) == 4


def test_a_folder_without_an_image_says_so_and_names_each_file(out: OutFolder, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "readme.txt").write_text("hello")

    result = run(tmp_path / "in", "-o", out.root, key=tmp_path / "key")

    assert isinstance(result.exception, InputError)
    assert "none of 1 files is an image" in str(result.exception)
    assert "text" in out.rejects_csv.read_text()


def test_another_key_on_the_same_folder_is_refused(scans: Path, out: OutFolder, tmp_path: Path) -> None:
    run(scans, "-o", out.root, key=tmp_path / "key")

    result = run(scans, "-o", out.root, key=tmp_path / "other key")

    assert isinstance(result.exception, ConfigError)
    assert load_key(tmp_path / "key").fingerprint in str(result.exception)


def test_a_misspelt_setting_does_not_pass(scans: Path, out: OutFolder) -> None:
    result = run(scans, "-o", out.root, "--set", "ingest.alow_gaps=true")

    assert isinstance(result.exception, PipelineError)
    assert "allow_gaps" in result.exception.hint
    shutil.rmtree(out.root, ignore_errors=True)


def test_a_quarantined_scan_is_released_by_its_path_in_a_yaml_and_who_did_it_stays_private(tmp_path: Path) -> None:
    dataset = radiograph("1.2.840.10008.5.1.4.1.1.6.1", "US", np.arange(63, dtype=np.uint8).reshape(7, 9))
    del dataset.BurnedInAnnotation
    save(dataset, tmp_path / "scans" / "us" / "IM1")
    before, after = OutFolder(tmp_path / "before"), OutFolder(tmp_path / "after")
    config = tmp_path / "release.yaml"
    config.write_text("ingest:\n  release:\n    - {file: '*/us/*', reason: 'seen by Dr Panza'}\n")

    held = run(tmp_path / "scans", "-o", before.root, key=tmp_path / "key")
    passed = run(tmp_path / "scans", "-o", after.root, "-c", config, key=tmp_path / "key")

    assert (held.exit_code, passed.exit_code) == (1, 0)
    assert [(row.fate, row.code) for row in read_inputs(before)] == [("refused", "burned_in_suspected")]
    assert [(row.fate, row.code, row.reason) for row in read_inputs(after)] == [
        ("used", "released", "seen by Dr Panza")
    ]
    outside = [path for path in after.root.rglob("*") if path.is_file() and after.private not in path.parents]
    assert outside
    assert not [path for path in outside if b"Panza" in path.read_bytes()]
    assert "Panza" not in passed.output


def test_a_conversion_with_interpolated_slices_is_to_be_looked_at_first(tmp_path: Path) -> None:
    write_series(tmp_path / "scans", Phantom(), without(3))
    out = OutFolder(tmp_path / "out")

    result = run(tmp_path / "scans", "-o", out.root, "--set", "ingest.allow_gaps=true", key=tmp_path / "key")

    assert result.exit_code == 0
    assert "look first" in result.stdout
    (file,) = out.cases.glob("*/case.json")
    report = read_report(file)
    assert report.review_first
    assert report.review_reasons == (
        f"{report.images[0].image_id}: 1 of 11 slices were interpolated between their neighbours",
    )
