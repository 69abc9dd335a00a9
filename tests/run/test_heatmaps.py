"""Heatmaps in a run: without being asked, questioned by sample or on demand, for every task."""

import csv
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from diascope.bundles.find import find_bundle
from diascope.bundles.lock import write_lock
from diascope.evaluation.calibration_file import CALIBRATION, BundleCalibration, ConfidenceCurve, write_calibration
from diascope.explain.reference import Standing
from diascope.explain.request import RawMap
from diascope.explain.settings import ExplainSettings
from diascope.findings import CaseReport, Check, read_report
from diascope.geometry import IndexGrid
from diascope.identity import IdentityKey
from diascope.io.outfolder import OutFolder
from diascope.io.write_nifti import write_volume
from diascope.run.batch import Books, run_batch
from diascope.run.found import found_in
from diascope.run.heatmaps import MadeMap, heatmap_order, of_case, settle_maps
from diascope.run.listener import ReportWriter
from diascope.run.request import make_request, run_config
from diascope.run.session import make_order
from diascope.tasks.device import Device
from tests.phantom_volumes import asymmetric_head, oblique_grid
from tests.tiny_bundle import write_tiny_bundle
from tests.tiny_slices import write_slice_bundle

KEY = IdentityKey(bytes(range(32)))
FEW = "reinitialisations: 2, random_maps: 2, centre_blobs: 2, cells: 4, steps: 2, windows: 1, removals: 4"
OCCLUSION = "explain={targets: [bright], method: occlusion, budget: {cells: 4}, checks: {%s, %s}}"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_bundle(folder)
    write_slice_bundle(folder, "classify")
    write_slice_bundle(folder, "detect")
    return folder


def scans(folder: Path, n: int) -> Path:
    if folder.is_dir():  # a file that is written again is another input
        return folder
    folder.mkdir(parents=True)
    for at in range(n):
        head = asymmetric_head(oblique_grid((20, 22, 12), (8.0, 9.0, 12.0), (9.0, -4.0, 6.0), (2.0 + at, -9.0, 12.0)))
        write_volume(folder / f"head{at}.nii.gz", head.volume)
    return folder


def run(tmp_path: Path, models: Path, bundle: str, *settings: str, cases: int = 2) -> tuple[list[CaseReport], Books]:
    """Run a network over some heads, as the command does; give the reports in the order of the ids."""
    overrides = [f"models.dir={models}", "tracking.enabled=false", *settings]
    config, name = run_config(None, bundle, overrides)
    request = make_request((scans(tmp_path / "scans", cases),), config, name)
    out = OutFolder(tmp_path / "out")
    out.create()
    with found_in(request.inputs, request.config.ingest, KEY, out.private) as found:
        order = make_order(request, found, KEY, out, Device("cpu", "cpu, for a test"))
        books = Books()
        list(run_batch(order, ReportWriter(order), books))
    return [read_report(file) for file in sorted(out.cases.glob("*/case.json"))], books


def table(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "out" / "heatmaps.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_of_a_batch_a_sample_is_questioned_and_the_others_have_its_rate_beside_them(
    tmp_path: Path, models: Path
) -> None:
    reports, _ = run(tmp_path, models, "tiny_bright", OCCLUSION % (FEW, "sample: 1"))

    trusts = [record.trust for report in reports for record in report.heatmaps or ()]
    assert sorted(trust == "unchecked" for trust in trusts) == [False, True]
    rows = table(tmp_path)
    assert [row["case_id"] for row in rows] == [report.case_id for report in reports]
    assert {row["batch_checked"] for row in rows} == {"1"}
    assert {row["weights_as_locked"] for row in rows} == {"true"}
    html = (tmp_path / "out" / "report.html").read_text()
    assert "of 1 (95 % interval" in html[html.index('id="heatmaps"') :]


def test_one_case_is_questioned_on_demand_and_the_rest_of_the_batch_stays_as_it_is(
    tmp_path: Path, models: Path
) -> None:
    first, _ = run(tmp_path, models, "tiny_bright", OCCLUSION % (FEW, "sample: 1"))
    (left,) = [report for report in first if report.heatmaps and report.heatmaps[0].trust == "unchecked"]

    wanted = OCCLUSION % (FEW, f"sample: 1, cases: [{left.case_id}]")
    second, books = run(tmp_path, models, "tiny_bright", wanted)
    third, again = run(tmp_path, models, "tiny_bright", OCCLUSION % (FEW, "sample: 0"))

    assert books.resumed == 1
    assert all(report.heatmaps and report.heatmaps[0].trust != "unchecked" for report in second)
    assert again.resumed == 2  # what was asked more than it must be is as good
    assert third == second


def test_a_map_is_drawn_below_the_segmentation(tmp_path: Path, models: Path) -> None:
    (plain,), _ = run(tmp_path / "plain", models, "tiny_bright", cases=1)
    (mapped,), _ = run(tmp_path / "mapped", models, "tiny_bright", OCCLUSION % (FEW, "sample: 0"), cases=1)

    heights = []
    for name, report in (("plain", plain), ("mapped", mapped)):
        with Image.open(tmp_path / name / "out" / "cases" / report.case_id / "preview.png") as page:
            heights.append(page.height)
    assert plain.heatmaps is None
    assert heights[1] > 1.5 * heights[0]


def test_the_map_of_an_ensemble_says_that_it_is_the_mean_of_its_members(tmp_path: Path) -> None:
    for name in ("fold_a", "fold_b"):
        write_tiny_bundle(tmp_path / "models", name)

    (report,), _ = run(
        tmp_path, tmp_path / "models", "fold_a", "bundles.0.ensemble=[fold_b]", OCCLUSION % ("sample: 1", FEW), cases=1
    )

    (record,) = report.heatmaps or ()
    assert "the mean of the raw maps of 2 networks, on the first one's grid" in record.trust_reason
    assert {one.name: one.passed for one in record.checks}["weights_as_locked"]


def test_an_anatomy_is_not_explained_without_being_asked(tmp_path: Path, models: Path) -> None:
    (report,), _ = run(tmp_path, models, "tiny_bright", cases=1)

    assert report.heatmaps is None
    assert not (tmp_path / "out" / "heatmaps.csv").exists()
    assert 'id="heatmaps"' not in (tmp_path / "out" / "report.html").read_text()


def test_a_class_is_explained_without_being_asked_in_the_slice_that_shows_it_most(tmp_path: Path, models: Path) -> None:
    (report,), _ = run(tmp_path, models, "tiny_classify", "explain.checks.sample=0", cases=1)

    (record,) = report.heatmaps or ()
    of_slices = [one for one in report.predictions or () if one.slice_k is not None]
    best = max((one for one in of_slices if one.target == record.target), key=lambda one: one.score)
    top = max((one for one in report.predictions or () if one.slice_k is None), key=lambda one: one.score)
    assert (record.target, record.method, record.finding_id) == (top.target, "grad_cam", None)
    folder = tmp_path / "out" / "cases" / report.case_id
    heat = np.asarray(nib.load(folder / record.file).dataobj)
    assert np.flatnonzero(np.abs(heat).sum(axis=(0, 1))).tolist() == [best.slice_k]


def test_findings_are_explained_without_being_asked_five_at_most_each_in_its_own_file(
    tmp_path: Path, models: Path
) -> None:
    (report,), _ = run(tmp_path, models, "tiny_detect", "explain.checks.sample=0", cases=1)

    assert report.findings is not None
    assert len(report.findings) > 5
    records = report.heatmaps or ()
    assert [one.finding_id for one in records] == [f"tiny_detect-{n}" for n in range(1, 6)]
    assert {one.method for one in records} == {"hires_cam"}
    files = [f"tiny_detect.heatmap.{one.target}-{n}.nii.gz" for n, one in enumerate(records, start=1)]
    assert [one.file for one in records] == files
    folder = tmp_path / "out" / "cases" / report.case_id
    assert all((folder / file).is_file() for file in files)


def test_nothing_is_explained_where_the_config_says_so(tmp_path: Path, models: Path) -> None:
    (report,), _ = run(tmp_path, models, "tiny_classify", "explain=null", cases=1)

    assert report.heatmaps is None


def test_an_order_is_made_only_where_a_network_has_something_to_explain(models: Path) -> None:
    anatomy, classifier = find_bundle("tiny_bright", models), find_bundle("tiny_classify", models)

    assert heatmap_order(ExplainSettings(), [anatomy], is_checked=True) is None
    assert heatmap_order(None, [classifier], is_checked=True) is None
    assert heatmap_order(ExplainSettings(), [anatomy, classifier], is_checked=True) is not None
    assert heatmap_order(ExplainSettings(targets=("bright",)), [anatomy], is_checked=True) is not None


def test_an_image_that_is_foreign_to_its_network_makes_its_map_unsupported() -> None:
    raw = RawMap(np.ones((2, 3, 1), np.float32), np.eye(4), "tumour", "hires_cam", None, 1)
    yes = tuple(
        Check(name, True, 1.0, "yes")
        for name in (
            "weights_as_locked", "depends_on_weights", "deletion_gain_over_random", "insertion_gain_over_random",
            "deletion_gain_over_centre_blob", "insertion_gain_over_centre_blob",
        )
    )  # fmt: skip
    made, spaces = MadeMap("net", "img", raw, yes), {"img": IndexGrid((2, 3, 1))}

    _, (usual,) = settle_maps([made], spaces, {("net", "img"): Standing(out_of_distribution=0.7)})
    _, (foreign,) = settle_maps([made], spaces, {("net", "img"): Standing(out_of_distribution=3.1)})
    _, (unknown,) = settle_maps([made], spaces)

    assert (usual.trust, foreign.trust, unknown.trust) == ("supported", "unsupported", "supported")
    assert "features 3.10 from the card's images" in foreign.trust_reason


def test_a_confidence_that_the_card_never_saw_makes_the_map_unsupported(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "models")
    sure = ConfidenceCurve(raw=(0.99999, 0.999999), seen=(0.8, 0.9), cases=20)
    write_calibration(folder / CALIBRATION, BundleCalibration(split="calibration", patients=20, confidence=sure))
    write_lock(tmp_path / "models" / "bundles.lock", folder)

    (report,), _ = run(tmp_path, tmp_path / "models", "tiny_bright", OCCLUSION % (FEW, "sample: 0"), cases=1)

    (record,) = report.heatmaps or ()
    (asked,) = [one for one in record.checks if one.name == "confidence_in_reference"]
    assert asked.passed is False
    assert record.trust == "unsupported"
    assert "on the card's images 1.00 and more" in record.trust_reason


def test_maps_of_several_images_of_one_network_are_kept_apart() -> None:
    raw = RawMap(np.ones((2, 3, 1), np.float32), np.eye(4), "tumour", "hires_cam", None, 1)
    spaces = {"a": IndexGrid((2, 3, 1)), "b": IndexGrid((2, 3, 1))}

    files, records = settle_maps([MadeMap("net", image_id, raw, ()) for image_id in ("a", "b")], spaces)

    assert sorted(files) == ["net.b.heatmap.tumour.nii.gz", "net.heatmap.tumour.nii.gz"]
    assert [one.file for one in records] == ["net.heatmap.tumour.nii.gz", "net.b.heatmap.tumour.nii.gz"]


def test_maps_of_the_parts_of_an_image_are_kept_apart_however_many_there_are() -> None:
    raw = RawMap(np.ones((2, 3, 1), np.float32), np.eye(4), "tumour", "hires_cam", None, 1)
    maps = [MadeMap("net", "a", raw, (), output_at=at) for at in range(4)]

    files, records = settle_maps(maps, {"a": IndexGrid((2, 3, 1))})

    assert len(files) == 4
    assert [one.file for one in records] == list(files)


def test_a_map_goes_with_the_finding_of_its_own_output_and_none_is_kept_without_a_finding() -> None:
    raw = RawMap(np.ones((2, 3, 1), np.float32), np.eye(4), "tumour", "hires_cam", None, 1, finding_id="net-1")
    off_the_image = replace(raw, finding_id="net-2")
    of_a_class = replace(raw, finding_id=None)
    maps = [
        MadeMap("net", "a", raw, ()),
        MadeMap("net", "a", off_the_image, ()),
        MadeMap("other", "a", of_a_class, (), output_at=1),
        MadeMap("net", "b", raw, (), output_at=2),
    ]

    kept = of_case(maps, ({"net-1": "net-1"}, {}, {"net-1": "net-2"}))
    _, records = settle_maps(kept, {"a": IndexGrid((2, 3, 1)), "b": IndexGrid((2, 3, 1))})

    assert [(one.image_id, one.finding_id, one.file) for one in records] == [
        ("a", "net-1", "net.heatmap.tumour-1.nii.gz"),
        ("a", None, "other.heatmap.tumour.nii.gz"),
        ("b", "net-2", "net.heatmap.tumour-2.nii.gz"),
    ]


def test_lesions_of_two_images_of_a_case_have_an_id_each_which_their_heatmaps_bear(
    tmp_path: Path, models: Path
) -> None:
    anat = tmp_path / "scans" / "sub-01" / "anat"
    heads = scans(tmp_path / "heads", 2)
    anat.mkdir(parents=True)
    (tmp_path / "scans" / "dataset_description.json").write_text('{"Name": "two", "BIDSVersion": "1.10.0"}')
    for at, name in enumerate(("T1w", "T2w")):
        (heads / f"head{at}.nii.gz").rename(anat / f"sub-01_{name}.nii.gz")
    wanted = "bundles=[{name: tiny_detect, select: {select: all}}]"

    (report,), _ = run(tmp_path, models, "tiny_detect", wanted, "explain.checks.sample=0")

    findings = {one.finding_id: one for one in report.findings or ()}
    assert list(findings) == [f"tiny_detect-{n}" for n in range(1, len(findings) + 1)]
    images = [one.image_id for one in findings.values()]
    assert len(set(images)) == 2
    assert images == sorted(images, key=images.index)
    explained = [one.finding_id for one in report.heatmaps or ()]
    first_of_second = images.index(images[-1]) + 1
    assert explained == [f"tiny_detect-{at + n}" for at in (1, first_of_second) for n in range(5)]
    assert all(findings[one.finding_id or ""].image_id == one.image_id for one in report.heatmaps or ())
    measured = [one.subject for one in report.measurements or () if one.quantity == "score"]
    assert measured == list(findings)
