import csv
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from diascope.findings import read_report
from tests.phantoms import Phantoms, asymmetric_head, ball, ball_mm3, oblique_grid, write_nifti, write_out


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    return write_out(tmp_path_factory.mktemp("phantoms") / "out")


def test_the_oblique_grid_lies_where_an_independent_library_says(tmp_path: Path) -> None:
    grid = oblique_grid()
    write_nifti(tmp_path / "grid.nii.gz", np.zeros(grid.shape, dtype=np.int16), grid)

    image = SimpleITK.ReadImage(tmp_path / "grid.nii.gz")

    x, y, z = image.TransformIndexToPhysicalPoint((4, 2, 9))
    np.testing.assert_allclose(grid.to_ras_mm(np.array([[4.0, 2.0, 9.0]]))[0], [-x, -y, z], atol=1e-4)
    assert grid.is_oblique
    assert not grid.is_sheared


def test_a_ball_has_the_volume_of_a_ball() -> None:
    grid = oblique_grid((60, 60, 40), (0.7, 0.8, 1.1))

    mask = ball(grid, (1.0, -9.0, 15.0), 10.0)

    assert mask.sum() * grid.voxel_mm3 == pytest.approx(ball_mm3(10.0), rel=0.005)


def test_the_heads_marker_is_on_the_left_for_an_independent_library(tmp_path: Path) -> None:
    head = asymmetric_head()
    write_nifti(tmp_path / "head.nii.gz", head.marker.astype(np.uint8), head.volume.space)

    image = SimpleITK.ReadImage(tmp_path / "head.nii.gz")
    shape = SimpleITK.LabelShapeStatisticsImageFilter()
    shape.Execute(image)

    # DICOM's LPS, which SimpleITK speaks, counts to the patient's left.
    x, y, z = shape.GetCentroid(1)
    np.testing.assert_allclose((-x, -y, z), head.marker_centre_ras_mm, atol=1.0)
    assert x > 20


def test_every_case_json_reads_back_as_it_was_written(out: Phantoms) -> None:
    for role, report in out.reports.items():
        assert read_report(out.case_folder(role) / "case.json") == report
    assert {report.status for report in out.reports.values()} == {"done", "failed", "nothing_to_do"}


def test_every_file_a_report_names_is_there_and_labels_lie_on_their_image(out: Phantoms) -> None:
    seen = 0
    for role, report in out.reports.items():
        case = out.case_folder(role)
        stored = {image.image_id: case / image.stored for image in report.images if image.stored}
        for segmentation in report.segmentations or ():
            labels, image = nib.load(case / segmentation.file), nib.load(stored[segmentation.image_id])
            assert labels.shape == image.shape
            np.testing.assert_array_equal(labels.affine, image.affine)
            allowed = {0, *(label.value for label in segmentation.labels)}
            assert set(np.unique(np.asarray(labels.dataobj)).tolist()) <= allowed
            seen += 1
        for heatmap in report.heatmaps or ():
            data = nib.load(case / heatmap.file).get_fdata()
            assert (data.min(), data.max()) == pytest.approx(heatmap.raw_range)
            seen += 1
    assert seen == 11


def test_millimetres_are_found_on_a_grid_only(out: Phantoms) -> None:
    for role, spaces in (("radiograph", 0), ("no_geometry", 0), ("head", 1)):
        report = out.reports[role]
        image = nib.load(out.case_folder(role) / str(report.images[0].stored))
        assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == spaces
        assert all((finding.volume_mm3 is not None) == bool(spaces) for finding in report.findings or ())


def test_a_findings_box_holds_its_mask_and_nothing_more(out: Phantoms) -> None:
    finding = (out.reports["head"].findings or ())[0]
    mask = np.asarray(nib.load(out.case_folder("head") / "flair_glioma_detection.seg.whole_tumour.nii.gz").dataobj)
    (i0, j0, k0), (i1, j1, k1) = finding.box_ijk

    assert mask[i0:i1, j0:j1, k0:k1].sum() == mask.sum() == finding.size_voxels
    assert all(mask[cut].any() for cut in (np.s_[i0], np.s_[i1 - 1], np.s_[:, j0], np.s_[:, j1 - 1], np.s_[:, :, k0]))


def test_the_tables_account_for_every_case_and_number(out: Phantoms) -> None:
    with (out.folder / "cases.csv").open(newline="") as stream:
        cases = list(csv.DictReader(stream))
    with (out.folder / "measurements.csv").open(newline="") as stream:
        measurements = list(csv.DictReader(stream))

    assert {row["case_id"] for row in cases} == {report.case_id for report in out.reports.values()}
    assert len(measurements) == sum(len(report.measurements or ()) for report in out.reports.values()) == 305


def test_no_identifier_stands_outside_private(out: Phantoms) -> None:
    assert out.folder.joinpath("private").stat().st_mode & 0o777 == 0o700
    looked_at = 0
    for folder, below, files in os.walk(out.folder):
        below[:] = [name for name in below if name != "private"]
        for file in files:
            content = (Path(folder) / file).read_bytes()
            assert not [text for text in out.identifiers if text.encode() in content]
            looked_at += 1
    assert looked_at > 20
