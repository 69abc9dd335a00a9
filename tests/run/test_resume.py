"""What is done already: nothing that a result depends on has changed, and every file is as it was written."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from diascope.findings import CaseReport, Failure, read_report
from diascope.identity import IdentityKey
from diascope.io.outfolder import OutFolder
from diascope.io.series import RefusedImage
from diascope.io.write_nifti import write_volume
from diascope.run.batch import Books, run_batch
from diascope.run.case import CaseJob
from diascope.run.found import found_in
from diascope.run.listener import ReportWriter
from diascope.run.request import make_request, run_config
from diascope.run.resume import earlier_results, task_keys
from diascope.run.session import make_order
from diascope.tasks.device import Device
from tests.phantom_volumes import asymmetric_head, oblique_grid
from tests.tiny_slices import write_slice_bundle

KEY = IdentityKey(bytes(range(32)))


# What may be found out about a study between two runs, its chosen image being the same file as before.
CHANGES: dict[str, Callable[[CaseJob], CaseJob]] = {
    "the sex in a table": lambda job: with_first(job, facts=replace(job.series[0].facts, sex="M")),
    "a group of a manifest": lambda job: with_first(job, facts=replace(job.series[0].facts, extra=(("arm", "b"),))),
    "a note": lambda job: with_first(job, notes=("tilted",)),
    "interpolated slices": lambda job: with_first(job, interpolated_slices=2),
    "an image that is not chosen": lambda job: replace(
        job,
        series=(*job.series, replace(job.series[0], image_id="img-2")),
        choices=(replace(job.choices[0], why_not=(("img-2", "it is a scout"),)),),
    ),
    "why an image is not chosen": lambda job: replace(
        job,
        choices=(replace(job.choices[0], why_not=((job.series[0].image_id, "no MR"),)),),
    ),
    "a refused image": lambda job: replace(job, refused=(refused("cut off"),)),
}


def refused(reason: str) -> RefusedImage:
    return RefusedImage("case", "img-3", 1, Failure("unreadable", reason, "copy it again"))


def with_first(job: CaseJob, **known: object) -> CaseJob:
    """Know something else of the first image, wherever a job speaks of it."""
    first = replace(job.series[0], **known)  # type: ignore[arg-type]
    choices = tuple(replace(choice, chosen=(first,)) for choice in job.choices)
    return replace(job, series=(first, *job.series[1:]), choices=choices)


def write_people(folder: Path, sex: str) -> None:
    (folder / "scans" / "participants.tsv").write_text(f"participant_id\tsex\tage\nsub-01\t{sex}\t42\n")


def prepare_folder(folder: Path) -> Path:
    """Write a BIDS data set of one patient, and a detector that finds something everywhere."""
    write_slice_bundle(folder / "models", "detect")
    anat = folder / "scans" / "sub-01" / "anat"
    anat.mkdir(parents=True)
    (folder / "scans" / "dataset_description.json").write_text('{"Name": "one", "BIDSVersion": "1.10.0"}')
    write_people(folder, "F")
    grid = oblique_grid((20, 22, 12), (8.0, 9.0, 12.0), (9.0, -4.0, 6.0), (2.0, -9.0, 12.0))
    write_volume(anat / "sub-01_T1w.nii.gz", asymmetric_head(grid).volume)
    return folder


def run_in(folder: Path) -> tuple[CaseJob, Books]:
    """Run the detector, as the command does; give what it was to do, and the books."""
    settings = [f"models.dir={folder / 'models'}", "tracking.enabled=false", "explain.checks.sample=0"]
    config, name = run_config(None, "tiny_detect", settings)
    request = make_request([folder / "scans"], config, name)
    out, books = OutFolder(folder / "out"), Books()
    out.create()
    with found_in(request.inputs, request.config.ingest, KEY, out.private) as found:
        order = make_order(request, found, KEY, out, Device("cpu", "cpu, for a test"))
        list(run_batch(order, ReportWriter(order), books))
    (study,) = order.plan.to_run
    return order.job(study), books


def report_of(job: CaseJob) -> CaseReport:
    return read_report(job.out.case(job.case_id) / "case.json")


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> CaseJob:
    """A job that is done, with heatmaps, features, a stored image and a preview."""
    job, _ = run_in(prepare_folder(tmp_path_factory.mktemp("resume")))
    return job


@pytest.fixture
def done(run_once: CaseJob, tmp_path: Path) -> CaseJob:
    """The same job, its results in a copy that a test may damage."""
    shutil.copytree(run_once.out.root, tmp_path / "out")
    return replace(run_once, out=OutFolder(tmp_path / "out"))


def is_done(job: CaseJob) -> bool:
    return job.case_id in earlier_results(job.out, [job]).reports


def test_a_corrected_table_reaches_the_report_and_what_did_not_change_is_not_done_again(tmp_path: Path) -> None:
    folder = prepare_folder(tmp_path)
    first, _ = run_in(folder)
    before = report_of(first)
    _, unchanged = run_in(folder)
    write_people(folder, "M")
    again, corrected = run_in(folder)

    assert (unchanged.resumed, corrected.resumed) == (1, 0)
    assert [image.facts.sex for image in before.images] == ["F"]
    assert [image.facts.sex for image in report_of(again).images] == ["M"]


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_known_of_a_study_is_part_of_the_key(done: CaseJob, what: str) -> None:
    changed = CHANGES[what](done)

    assert changed.choices[0].chosen_ids == done.choices[0].chosen_ids
    assert task_keys(changed) != task_keys(done)
    assert is_done(done)
    assert not is_done(changed)
    assert earlier_results(done.out, [changed]).outdated == (done.case_id,)


def test_why_an_image_was_refused_is_part_of_the_key_and_the_order_of_the_images_is_not(done: CaseJob) -> None:
    one, other = (replace(done, refused=(refused(reason),)) for reason in ("cut off", "no image"))
    two = replace(done, refused=(*one.refused, *other.refused))

    assert task_keys(one) != task_keys(other)
    assert task_keys(two) == task_keys(replace(two, refused=two.refused[::-1]))


@pytest.mark.parametrize("kind", ["preview.png", "*.heatmap.*.nii.gz", "*.features.npz", "images/*.nii.gz"])
@pytest.mark.parametrize("damage", ["gone", "cut off"])
def test_a_result_that_is_missing_or_cut_off_is_made_again(done: CaseJob, kind: str, damage: str) -> None:
    file = sorted(done.out.case(done.case_id).glob(kind))[-1]
    assert is_done(done)

    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])

    assert not is_done(done)


@pytest.mark.parametrize("kind", ["case.json", "preview.png", "*.heatmap.*.nii.gz", "*.features.npz"])
def test_a_changed_byte_in_a_result_is_noticed(done: CaseJob, kind: str) -> None:
    file = sorted(done.out.case(done.case_id).glob(kind))[-1]
    content = bytearray(file.read_bytes())
    # The first byte of white space in JSON may change without its being another report.
    at = content.index(b"\n") if kind == "case.json" else len(content) // 2
    content[at] = ord(" ") if kind == "case.json" else content[at] ^ 1
    file.write_bytes(content)

    assert not is_done(done)


def test_what_others_put_beside_the_results_is_no_reason_to_do_a_case_again(done: CaseJob) -> None:
    folder = done.out.case(done.case_id)
    (folder / "corrections").mkdir()
    (folder / "corrections" / "mine.nii.gz").write_bytes(b"of a reviewer")
    (folder / ".DS_Store").write_bytes(b"of a desktop")

    assert is_done(done)
