"""From DICOM files to a label map, against SimpleITK: left stays left, whatever way the slices lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation

from diascope.bundles.find import find_bundle
from diascope.findings import read_report
from diascope.identity import IdentityKey
from diascope.io.catalogue import catalogue
from diascope.io.outfolder import OutFolder
from diascope.io.reader import Context, IngestSettings
from diascope.io.selection import SelectRule, choose
from diascope.run.batch import Books, run_batch
from diascope.run.case import CaseJob, prepare, read
from diascope.run.found import found_in
from diascope.run.record import CaseRow, RunRecord
from diascope.run.request import make_request, run_config
from diascope.run.session import make_order
from diascope.tasks.device import Device
from tests.io.dicom_phantoms import Phantom, oblique, put_pixels, radiograph, save, without, write_series
from tests.tiny_bundle import write_tiny_bundle

KEY = IdentityKey(bytes(range(32)))
LEFT_BALL_LPS_MM = np.array([28.0, 6.0, 40.0])  # LPS: x > 0 is the patient's left
RADIUS_MM = 12.0
SHAPE = (30, 34, 18)
SPACING_MM = (3.1, 2.9, 5.0)

SAGITTAL = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
CORONAL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


class Deaf:
    """A listener that does nothing."""

    def started(self, record: RunRecord) -> str:
        return ""

    def case_ended(self, row: CaseRow, stage_seconds: Mapping[str, float]) -> None:
        pass

    def ended(self, record: RunRecord, books: Books) -> None:
        pass


@dataclass(frozen=True)
class BallPhantom(Phantom):
    """A dark head with a bright ball in the patient's left half."""

    @property
    def data(self) -> NDArray[np.int16]:
        ijk = np.stack(np.meshgrid(*[np.arange(n) for n in self.shape], indexing="ij"), axis=-1)
        lps_mm = np.array(self.origin_lps_mm) + ijk * np.array(self.spacing_mm) @ self.directions.T
        inside = np.linalg.norm(lps_mm - LEFT_BALL_LPS_MM, axis=-1) <= RADIUS_MM
        return np.where(inside, 400, 50).astype(np.int16)


def phantom(directions: NDArray[np.float64]) -> BallPhantom:
    """Place the field so that its middle is near the midline, and the ball lies within."""
    reach_mm = directions @ (np.array(SPACING_MM) * (np.array(SHAPE) - 1) / 2)
    origin = np.array([4.0, -3.0, 35.0]) - reach_mm
    return BallPhantom(SHAPE, SPACING_MM, directions, tuple(origin.tolist()))  # type: ignore[arg-type]


def run_on(tmp_path: Path, scans: Path) -> tuple[OutFolder, list[CaseRow]]:
    write_tiny_bundle(tmp_path / "models", spacing_mm=(2.0, 2.0, 2.0), threshold=225.0)
    config, name = run_config(None, "tiny_bright", [f"models.dir={tmp_path / 'models'}"])
    request = make_request([scans], config, name)
    out = OutFolder(tmp_path / "out")
    out.create()
    with found_in(request.inputs, request.config.ingest, KEY, out.private) as found:
        order = make_order(request, found, KEY, out, Device("cpu", "cpu"))
        return out, list(run_batch(order, Deaf(), Books()))


def read_by_itk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.mark.parametrize(
    "directions",
    [np.eye(3), SAGITTAL, CORONAL, oblique(), np.diag([-1.0, -1.0, 1.0])],
    ids=["LPS", "sagittal", "coronal", "oblique", "RAS"],
)
def test_a_ball_on_the_left_is_drawn_where_simpleitk_sees_it(tmp_path: Path, directions: NDArray[np.float64]) -> None:
    scans = tmp_path / "scans"
    write_series(scans, phantom(directions))

    out, (row,) = run_on(tmp_path, scans)

    folder = out.case(row.case_id)
    report = read_report(folder / "case.json")
    mask = sitk.ReadImage(str(folder / "tiny_bright.seg.nii.gz"))
    source = read_by_itk(scans)
    on_source = sitk.GetArrayFromImage(sitk.Resample(mask, source, sitk.Transform(), sitk.sitkNearestNeighbor)) > 0
    bright = sitk.GetArrayFromImage(source) > 225
    dice = 2 * (on_source & bright).sum() / (on_source.sum() + bright.sum())
    assert dice > 0.85  # the network works at 2 mm; a flip or a shift of two voxels gives less than 0.6
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(mask, sitk.sitkUInt8))
    assert np.array(shape.GetCentroid(1)) == pytest.approx(LEFT_BALL_LPS_MM, abs=0.6)
    assert report.images[0].shape == SHAPE


def test_good_cases_end_well_beside_a_gap_a_corrupt_image_and_a_text(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    write_series(scans / "good", phantom(oblique()))
    write_series(scans / "gap", Phantom(name="gap", study="another study"), without(4))
    (scans / "notes.txt").write_text("ask Alonso Quixote")

    def torn(_k: int, dataset: Dataset) -> Dataset:
        put_pixels(dataset, np.zeros((6, 5), np.int16))
        dataset.Rows = 900  # promises more pixels than there are
        return dataset

    write_series(scans / "torn", Phantom((5, 6, 3), name="torn", study="third study"), torn)
    files = [path for path in scans.rglob("*") if path.is_file()]

    out, rows = run_on(tmp_path, scans)

    assert sorted(row.status for row in rows) == ["done", "failed", "failed"]
    gap = next(row for row in rows if "5.00 mm apart" in row.reason)
    assert "2.50 mm" in gap.reason
    accounted = (out.private / "inputs.csv").read_text(encoding="utf-8")
    assert all(str(path) in accounted for path in files)
    assert len(accounted.splitlines()) == len(files) + 1
    told = "".join(
        path.read_text(errors="replace") for path in [out.cases_csv, out.rejects_csv, *out.cases.rglob("*.json")]
    )
    assert "Quixote" not in told
    assert "1.2.826" not in told


def test_a_monochrome1_radiograph_reaches_the_network_as_highdicom_shows_it(tmp_path: Path) -> None:
    cells = np.random.default_rng(3).integers(0, 4096, (1, 24, 17)).astype(np.uint16)
    film = radiograph(DigitalXRayImageStorageForPresentation, "DX", cells)
    film.PhotometricInterpretation = "MONOCHROME1"
    film.PresentationLUTShape = "INVERSE"
    save(film, tmp_path / "scans" / "film.dcm")
    bundle = find_bundle(write_tiny_bundle(tmp_path, needs="index").name, tmp_path)
    found = catalogue([tmp_path / "scans"], Context(KEY, IngestSettings()))
    choice = choose(bundle.name, "index", SelectRule(), found.series)
    job = CaseJob(found.series[0].case_id, found.series, (), (choice,), (bundle,), OutFolder(tmp_path / "out"))

    images = read(job)
    (seen,) = prepare(images).inputs

    shown = hd.imread(tmp_path / "scans" / "film.dcm").get_frame(1, apply_presentation_lut=True)
    assert np.corrcoef(seen.data[0, :, :, 0].T.ravel(), shown.ravel())[0, 1] == pytest.approx(1.0, abs=1e-6)
    # What is stored and measured keeps the sense of the file.
    (volume,) = images.volumes.values()
    assert volume.is_inverted
    assert np.array_equal(volume.data[:, :, 0].T, cells[0])
