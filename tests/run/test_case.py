"""One case from its files to its report, with a network whose answer is known."""

import json
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.bundles.lock import write_lock
from diascope.errors import UnsupportedInput
from diascope.evaluation.calibration_file import CALIBRATION, BundleCalibration, MissRule, write_calibration
from diascope.evaluation.feature_file import read_features
from diascope.evaluation.out_of_distribution import REFERENCE, ReferenceFeatures, write_reference
from diascope.explain.settings import ExplainSettings
from diascope.findings import CaseReport, read_report
from diascope.geometry import Grid
from diascope.identity import IdentityKey
from diascope.io.catalogue import catalogue
from diascope.io.outfolder import OutFolder
from diascope.io.reader import Context, IngestSettings
from diascope.io.selection import SelectRule, choose
from diascope.io.write_nifti import write_volume
from diascope.run.case import CaseJob, finish, infer, prepare, read, run_case, write
from diascope.run.heatmaps import HeatmapOrder
from diascope.tasks.uncertainty_settings import UncertaintySettings
from tests.phantom_volumes import AsymmetricHead, asymmetric_head, ball_mm3
from tests.tiny_bundle import write_tiny_bundle

KEY = IdentityKey(bytes(range(32)))


def bundle_in(folder: Path, **how: object) -> BundleInfo:
    return find_bundle(write_tiny_bundle(folder / "models", **how).name, folder / "models")  # type: ignore[arg-type]


def job_for(folder: Path, bundle: BundleInfo) -> CaseJob:
    out = OutFolder(folder / "out")
    out.create()
    found = catalogue([folder / "scans"], Context(KEY, IngestSettings()))
    (series,) = found.series
    choice = choose(bundle.name, bundle.block.needs, SelectRule(), found.series)
    return CaseJob(series.case_id, found.series, (), (choice,), (bundle,), out, config_sha256="c" * 64)


def scan(folder: Path) -> AsymmetricHead:
    head = asymmetric_head()
    (folder / "scans").mkdir()
    write_volume(folder / "scans" / "head.nii.gz", head.volume)
    return head


def test_a_bright_ball_on_the_left_is_drawn_on_the_left_on_the_source_s_own_voxels(tmp_path: Path) -> None:
    head = scan(tmp_path)

    report = run_case(job_for(tmp_path, bundle_in(tmp_path)))

    (drawn,) = report.segmentations or ()
    image = nib.load(tmp_path / "out" / "cases" / report.case_id / drawn.file)
    assert (np.asarray(image.dataobj) == head.marker).all()
    assert isinstance(head.volume.space, Grid)
    assert image.affine == pytest.approx(head.volume.space.affine, abs=1e-4)
    centre = nib.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj))).mean(axis=0)
    assert centre == pytest.approx(head.marker_centre_ras_mm, abs=0.5)
    assert centre[0] < 0


def test_the_measured_volume_is_that_of_the_ball_also_from_a_resampled_network(tmp_path: Path) -> None:
    head = scan(tmp_path)

    report = run_case(job_for(tmp_path, bundle_in(tmp_path, spacing_mm=(2.5, 2.5, 2.5))))

    numbers = {number.quantity: number for number in report.measurements or ()}
    assert numbers["volume"].unit == "mm3"
    assert numbers["volume"].value == pytest.approx(ball_mm3(head.marker_radius_mm), rel=0.1)


def test_the_folder_holds_what_the_contract_says_and_the_report_reads_back(tmp_path: Path) -> None:
    scan(tmp_path)

    report = run_case(job_for(tmp_path, bundle_in(tmp_path)))

    folder = tmp_path / "out" / "cases" / report.case_id
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    image_id = report.images[0].image_id
    written = ["tiny_bright.features.npz", "tiny_bright.seg.nii.gz"]
    assert names == ["case.json", f"images/{image_id}.nii.gz", "preview.png", *written]
    assert read_report(folder / "case.json") == report
    assert report.images[0].chosen_for == ("tiny_bright",)


def test_the_same_scan_gives_the_same_bytes(tmp_path: Path) -> None:
    scan(tmp_path)
    job = job_for(tmp_path, bundle_in(tmp_path))
    run_case(job)
    folder = tmp_path / "out" / "cases" / job.case_id
    first = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    run_case(job)

    assert {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == first


def test_each_stage_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    scan(tmp_path)
    job = job_for(tmp_path, bundle_in(tmp_path))
    here = run_case(job)

    # A new process for each stage: nothing but the argument can come across. They
    # are forked from a server that has only imported the stages, to save time.
    forked = multiprocessing.get_context("forkserver")
    forked.set_forkserver_preload(["diascope.run.case"])
    value: object = job
    with ProcessPoolExecutor(1, forked, max_tasks_per_child=1) as others:
        for stage in (read, prepare, infer, finish, write):
            value = others.submit(stage, value).result()  # type: ignore[arg-type]

    assert isinstance(value, CaseReport)
    # A mean of float32 differs in its last digits with the number of threads that torch has in a process.
    assert value.confidence == pytest.approx(here.confidence, rel=1e-6)
    assert replace(value, confidence=here.confidence) == here


def test_a_case_is_named_by_keyed_ids_only(tmp_path: Path) -> None:
    scan(tmp_path)

    report = run_case(job_for(tmp_path, bundle_in(tmp_path)))

    text = json.dumps(json.loads(report.to_json()))
    assert "head.nii" not in text
    assert str(tmp_path) not in text
    assert report.case_id == KEY.case_id(str(tmp_path / "scans" / "head.nii.gz"))


def test_nothing_of_a_failing_case_is_left_behind(tmp_path: Path) -> None:
    scan(tmp_path)
    job = job_for(tmp_path, bundle_in(tmp_path))
    results = finish(infer(prepare(read(job))))
    (tmp_path / "out" / "cases").chmod(0o500)
    blocked = pickle.loads(pickle.dumps(results))
    object.__setattr__(blocked, "masks", {"no/such/folder.nii.gz": next(iter(results.masks.values()))})
    (tmp_path / "out" / "cases").chmod(0o700)

    with pytest.raises(FileNotFoundError):
        write(blocked)

    assert list((tmp_path / "out" / "cases").iterdir()) == []


def test_a_network_that_needs_millimetres_refuses_an_image_without(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    plain = nib.Nifti1Image(np.zeros((5, 7, 11), np.int16), None)
    nib.save(plain, tmp_path / "scans" / "plain.nii")
    grid_network = bundle_in(tmp_path)
    job = job_for(tmp_path, grid_network)

    assert job.choices[0].chosen == ()
    assert "IndexGrid" in job.choices[0].why_not[0][1]
    forced = choose("tiny_bright", "index", SelectRule(), job.series)
    with pytest.raises(UnsupportedInput, match="has a IndexGrid, tiny_bright needs grid"):
        run_case(CaseJob(job.case_id, job.series, (), (forced,), (grid_network,), job.out))


def test_a_heatmap_is_made_judged_and_written_on_its_own_grid(tmp_path: Path) -> None:
    head = scan(tmp_path)
    settings = ExplainSettings(targets=("bright",), method="integrated_gradients")
    job = replace(job_for(tmp_path, bundle_in(tmp_path)), heatmaps=HeatmapOrder(settings, is_checked=False))

    report = run_case(job)

    (record,) = report.heatmaps or ()
    assert (record.target, record.method, record.trust) == ("bright", "integrated_gradients", "unchecked")
    image = nib.load(tmp_path / "out" / "cases" / report.case_id / record.file)
    heat = np.asarray(image.dataobj)
    low, high = record.raw_range
    assert (float(heat.min()), float(heat.max())) == pytest.approx((low, high), abs=1e-6)
    # The network looks at brightness alone, voxel by voxel: what speaks for the ball lies in the ball.
    hottest = nib.affines.apply_affine(image.affine, np.argwhere(heat == heat.max()))[0]
    assert np.linalg.norm(hottest - np.array(head.marker_centre_ras_mm)) <= head.marker_radius_mm


def test_without_the_setting_nothing_is_explained(tmp_path: Path) -> None:
    scan(tmp_path)

    assert run_case(job_for(tmp_path, bundle_in(tmp_path))).heatmaps is None


def brightness(image: Path) -> int:
    return int(np.count_nonzero(np.asarray(nib.load(image).dataobj)))


def test_an_ensemble_names_its_members_and_how_alike_they_are(tmp_path: Path) -> None:
    scan(tmp_path)
    one = bundle_in(tmp_path)
    write_tiny_bundle(tmp_path / "models", "tiny_bold", threshold=5.0)
    other = find_bundle("tiny_bold", tmp_path / "models")

    report = run_case(job_for(tmp_path, replace(one, members=(other,))))

    assert [stamp.name for stamp in report.bundles] == ["tiny_bright", "tiny_bold"]
    agreement = next(number for number in report.measurements or () if number.quantity == "agreement")
    assert agreement.subject == "bright"
    assert 0 < (agreement.value or 0) < 1


def test_mirrored_answers_leave_a_network_that_looks_at_each_voxel_where_it_was(tmp_path: Path) -> None:
    scan(tmp_path)
    job = job_for(tmp_path, bundle_in(tmp_path))
    plain = run_case(job)
    (drawn,) = plain.segmentations or ()
    asked = run_case(replace(job, uncertainty=UncertaintySettings(mirrors=("i", "j", "k"))))

    assert [one.sha256 for one in asked.segmentations or ()] == [drawn.sha256]
    assert {number.value for number in asked.measurements or () if number.quantity == "agreement"} == {1.0}
    assert "agreement" not in {number.quantity for number in plain.measurements or ()}


def test_a_map_of_uncertainty_lies_beside_the_label_map_on_its_voxels(tmp_path: Path) -> None:
    scan(tmp_path)
    job = job_for(tmp_path, bundle_in(tmp_path))
    plain = run_case(job)

    asked = run_case(replace(job, uncertainty=UncertaintySettings(map="entropy", mirrors=("i",))))

    assert plain.uncertainty is None
    (record,) = asked.uncertainty or ()
    assert (record.answers, record.asked_again) == (2, ("mirrors",))
    folder = job.out.case(job.case_id)
    drawn, unsure = nib.load(folder / (asked.segmentations or ())[0].file), nib.load(folder / record.file)
    np.testing.assert_array_equal(unsure.affine, drawn.affine)
    assert unsure.shape == drawn.shape
    assert 0 < unsure.get_fdata().max() <= record.limit == 1.0


def test_a_promise_about_misses_draws_more_and_says_what_is_promised(tmp_path: Path) -> None:
    scan(tmp_path)
    folder = write_tiny_bundle(tmp_path / "models")
    rule = MissRule(bound=0.1, threshold=0.001, cases=40)
    write_calibration(
        folder / CALIBRATION, BundleCalibration(split="phantoms", patients=40, missed_volume={"bright": rule})
    )
    write_lock(tmp_path / "models" / "bundles.lock", folder)
    job = job_for(tmp_path, find_bundle("tiny_bright", tmp_path / "models"))
    drawn = tmp_path / "out" / "cases" / job.case_id / "tiny_bright.seg.nii.gz"

    (plain,) = run_case(job).segmentations or ()
    before = brightness(drawn)
    (promised,) = run_case(replace(job, uncertainty=UncertaintySettings(control_misses=True))).segmentations or ()

    assert plain.promised_misses == ()
    assert promised.promised_misses == (("bright", 0.1),)
    assert brightness(drawn) > before


@pytest.mark.parametrize(("shift", "is_odd"), [(0.0, False), (500.0, True)])
def test_a_case_unlike_its_network_s_reference_is_to_be_reviewed_first(
    tmp_path: Path, shift: float, is_odd: bool
) -> None:
    head = scan(tmp_path)
    folder = write_tiny_bundle(tmp_path / "models")
    # The network's only map is its output: 0 and (grey value - 150) / 10, averaged over the windows.
    usual = (float(head.volume.data.mean()) + shift - 150) / 10
    spread = np.random.default_rng(0).normal(0, 1.0, 20)
    known = np.stack([np.zeros(20), usual + spread], axis=1).astype(np.float32)
    write_reference(folder / REFERENCE, ReferenceFeatures(known, np.arange(20), "output"))
    write_lock(tmp_path / "models" / "bundles.lock", folder)

    report = run_case(job_for(tmp_path, find_bundle("tiny_bright", tmp_path / "models")))

    assert report.out_of_distribution is not None
    assert (report.out_of_distribution > 1) is is_odd
    assert any("unlike the images its network was tried on" in reason for reason in report.review_reasons) is is_odd
    (seen,) = read_features(tmp_path / "out" / "cases" / report.case_id / "tiny_bright.features.npz")
    assert seen.image_id == report.images[0].image_id
    assert seen.statistics[0] == pytest.approx(float(head.volume.data.mean()), rel=1e-3)
