"""What an earlier run in the same folder has done already, and need not be done again.

A task of a case is done if the ledger has it under the key of everything its result
depends on, what is known of the study's images included, and every file of the case is
still as it was written: compared byte by byte, stored images by their size, since a batch
of them may be terabytes. What others put beside these files is not looked at.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from diascope import __version__
from diascope.bundles.find import BundleInfo
from diascope.errors import InputError
from diascope.evaluation.feature_file import feature_file
from diascope.explain.targets import is_explained
from diascope.findings import FORMAT, CaseReport, read_report
from diascope.io.outfolder import OutFolder, file_digest
from diascope.run.case import PREVIEW, CaseJob
from diascope.run.image_record import record_images
from diascope.run.ledger import Ledger, task_key


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a folder holds of the cases of a run before it begins.

    Attributes:
        reports: Of cases that need not be done again, by case_id.
        outdated: Cases with a good result of other settings, networks or files.
        failed: Cases without one, since they failed.
    """

    reports: dict[str, CaseReport] = field(default_factory=dict)
    outdated: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def earlier_results(out: OutFolder, jobs: Iterable[CaseJob]) -> Earlier:
    """Find out what of a run is done already.

    Args:
        out: The output folder.
        jobs: What the run is to do.
    """
    reports: dict[str, CaseReport] = {}
    outdated, failed = [], []
    with Ledger(out.ledger) as ledger:
        for job in jobs:
            report = standing_report(out, job.case_id)
            if report is None:
                continue
            if report.status == "failed":
                failed.append(job.case_id)
            elif _is_current(report, job, ledger):
                reports[job.case_id] = report
            elif report.status == "done":
                outdated.append(job.case_id)
    return Earlier(reports, tuple(outdated), tuple(failed))


def standing_report(out: OutFolder, case_id: str) -> CaseReport | None:
    """Read the report that lies in the folder of a case; None where there is none of this format."""
    try:
        return read_report(out.case(case_id) / "case.json")
    except InputError:
        return None


def task_keys(job: CaseJob) -> dict[str, str]:
    """Give each task of a case the key of everything its result depends on."""
    common = [str(FORMAT), __version__, job.config_sha256, *_images(job)]
    keys = {}
    for bundle, choice in zip(job.bundles, job.choices, strict=True):
        files = [_stamp(path, job.out.private) for series in choice.chosen for path in series.files]
        keys[bundle.name] = task_key(
            [*common, *_networks(bundle), *choice.chosen_ids, *files, *_questions(job, bundle)]
        )
    return keys


def results_digest(folder: Path, report: CaseReport) -> str:
    """Sum up the files of a case as they lie there: other bytes, or a file that is gone, give another digest.

    A stored image is taken by its size alone.

    Args:
        folder: Of the case.
        report: Its report, which tells what may lie there.
    """
    digest = hashlib.sha256()
    for name in _small_files(report):
        content = file_digest(folder / name) if (folder / name).is_file() else "gone"
        digest.update(f"{name} {content}\n".encode())
    for image in report.images:
        if image.stored is not None:
            stored = folder / image.stored
            size = str(stored.stat().st_size) if stored.is_file() else "gone"
            digest.update(f"{image.stored} {size}\n".encode())
    return digest.hexdigest()


def _small_files(report: CaseReport) -> Iterator[str]:
    yield "case.json"
    yield PREVIEW
    yield from (drawn.file for drawn in report.segmentations or ())
    yield from (file for drawn in report.segmentations or () for _, file in drawn.probabilities)
    yield from (heatmap.file for heatmap in report.heatmaps or ())
    yield from (unsure.file for unsure in report.uncertainty or ())
    # Not every network has features: one without says "gone" at both times.
    yield from (feature_file(bundle.name) for bundle in report.bundles)


def _images(job: CaseJob) -> list[str]:
    """Write down what a report says of the images before one is read: facts of tables, too, and who was turned away."""
    # In an order of their own: a listing of files in another order is no reason to compute for hours.
    return sorted(repr(one) for one in (*record_images(job, {}), *job.refused))


def _networks(bundle: BundleInfo) -> list[str]:
    # What was learnt by `diascope evaluate` lies outside the bundle: it is no part of its digest.
    learnt = [file_digest(bundle.calibration)] if bundle.calibration is not None else []
    return [bundle.sha256, *(member.sha256 for member in bundle.members), *learnt]


def _questions(job: CaseJob, bundle: BundleInfo) -> tuple[str, ...]:
    """Say whether a network's heatmaps are asked the dear questions: the draw is of the batch, not of the config."""
    order = job.heatmaps
    asked = order is not None and order.is_checked and is_explained(order.settings, bundle)
    return ("questioned",) if asked else ()


def _questioned(job: CaseJob) -> CaseJob:
    return job if job.heatmaps is None else replace(job, heatmaps=replace(job.heatmaps, is_checked=True))


def _is_current(report: CaseReport, job: CaseJob, ledger: Ledger) -> bool:
    digest = results_digest(job.out.case(job.case_id), report)
    # A case whose heatmaps were asked more than they must be now is as good.
    return any(ledger.is_done(job.case_id, task_keys(one), digest) for one in (job, _questioned(job)))


def _stamp(path: Path, private: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "gone"
    # A member of an archive is unpacked in another folder of private/ every time.
    full, below = path.absolute(), private.absolute()
    name = "/".join(full.relative_to(below).parts[1:]) if full.is_relative_to(below) else str(path)
    return f"{name} {status.st_size} {status.st_mtime_ns}"
