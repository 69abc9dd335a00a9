"""Convert only: the same output folder as a run, with images and reports and no results.

Images are decoded by a few threads, one volume each in memory; the folder of a case
takes its place when all its images are there.
"""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from diascope import __version__
from diascope.config import Settings, settings_hash
from diascope.errors import InputError, PipelineError, UnsupportedInput
from diascope.findings import FORMAT, CaseReport, Failure
from diascope.identity import IdentityKey
from diascope.io.decode import decode
from diascope.io.outfolder import OutFolder, file_digest, folder_in_the_making
from diascope.io.private import write_tables
from diascope.io.reader import IngestSettings, failure_of
from diascope.io.selection import Choice
from diascope.io.series import Catalogue, FileFate, FileRecord, RefusedImage, Series
from diascope.io.write_nifti import write_colour, write_series, write_volume
from diascope.run.image_record import doubts, image_file, record_images
from diascope.run.key import IdentitySettings
from diascope.run.record import (
    CaseRow,
    RunRecord,
    check_same_key,
    read_record,
    row_of,
    time_stamp,
    told_settings,
    versions,
    write_cases,
    write_measurements,
    write_record,
)
from diascope.volume import ColourImage, Volume

# More threads would hold more volumes in memory than the promise of twice the largest.
MOST_THREADS = 2

# Cases whose images are being written while earlier ones are finished.
_CASES_AHEAD = 8


class IngestConfig(Settings):
    """What `diascope ingest` can be told."""

    ingest: IngestSettings = IngestSettings()
    """How files become images."""

    identity: IdentitySettings = IdentitySettings()
    """The key of the ids."""


@dataclass(frozen=True, slots=True)
class IngestOrder:
    """What an ingest needs to know.

    Attributes:
        found: What lies in the inputs.
        out: Where to.
        record: For run.json.
    """

    found: Catalogue
    out: OutFolder
    record: RunRecord


@dataclass(slots=True)
class Ingested:
    """What came of an ingest, filled as it goes.

    Attributes:
        rows: Of cases.csv.
        files: Of private/inputs.csv.
    """

    rows: list[CaseRow] = field(default_factory=list)
    files: tuple[FileRecord, ...] = ()


def make_order(found: Catalogue, out: OutFolder, config: IngestConfig, key: IdentityKey, inputs: int) -> IngestOrder:
    """Describe an ingest before it starts.

    Raises:
        ConfigError: The folder was made with another key.
        InputError: No file is an image.
    """
    check_same_key(read_record(out), key)
    if not found.cases():
        write_tables(out, found)
        raise InputError(
            f"none of {len(found.files)} files is an image",
            hint=f"see {out.rejects_csv.name} in the output folder: it names each file with the reason",
            code="no_image",
        )
    record = RunRecord(
        format=FORMAT,
        diascope=__version__,
        command="ingest",
        inputs=inputs,
        config_name="",
        config=told_settings(config),
        config_sha256=settings_hash(config.ingest),
        bundles=(),
        device="",
        versions=versions(),
        key_fingerprint=key.fingerprint,
    )
    return IngestOrder(found, out, record)


def run_ingest(order: IngestOrder, ingested: Ingested) -> Iterator[CaseRow]:
    """Convert every image and write everything that is about the whole.

    Args:
        order: What to do.
        ingested: Empty; filled as it goes.

    Yields:
        The row of each case as soon as it has ended.

    Raises:
        OutputError: The disk is full; cases that were done stay.
    """
    record = replace(order.record, started=time_stamp())
    write_record(order.out, record)
    fates: dict[str, _Stored] = {}
    try:
        for row in _cases(order, fates):
            ingested.rows.append(row)
            yield row
    finally:
        ingested.files = tuple(_after(file, fates) for file in order.found.files)
        write_tables(order.out, order.found, ingested.files)
        write_cases(order.out, ingested.rows)
        write_measurements(order.out, ())
        write_record(order.out, replace(record, finished=time_stamp()))


@dataclass(frozen=True, slots=True)
class _Stored:
    """What came of one image: a hollow volume (all but its voxels), or a failure."""

    series: Series
    volume: Volume | None = None
    failure: Failure | None = None
    fate: FileFate = "used"
    sha256: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Study:
    """What `record_images` asks of a case."""

    series: tuple[Series, ...]
    refused: tuple[RefusedImage, ...]
    choices: tuple[Choice, ...] = ()
    store_images: bool = True


@dataclass(slots=True)
class _OpenCase:
    """A case whose images are being written."""

    case_id: str
    stack: ExitStack
    folder: Path
    futures: list[Future[_Stored]]
    started: float


def _cases(order: IngestOrder, fates: dict[str, _Stored]) -> Iterator[CaseRow]:
    refused: dict[str, list[RefusedImage]] = {}
    for image in order.found.refused:
        refused.setdefault(image.case_id, []).append(image)
    waiting: deque[_OpenCase] = deque()
    with ExitStack() as every:
        pool = ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1))
        try:
            for case_id, series in order.found.cases().items():
                waiting.append(_opened(order.out, case_id, series, pool, every))
                if len(waiting) > _CASES_AHEAD:
                    yield _finished(order, waiting.popleft(), refused, fates)
            while waiting:
                yield _finished(order, waiting.popleft(), refused, fates)
        finally:
            # Before the folders that are not finished are dropped nobody may write there any more.
            pool.shutdown(cancel_futures=True)


def _opened(
    out: OutFolder, case_id: str, series: Sequence[Series], pool: ThreadPoolExecutor, every: ExitStack
) -> _OpenCase:
    # If anything goes wrong, `every` drops the folders that are not finished.
    stack = every.enter_context(ExitStack())
    folder = stack.enter_context(folder_in_the_making(out.case(case_id)))
    if series:
        (folder / "images").mkdir()
    futures = [pool.submit(_store, one, folder) for one in series]
    return _OpenCase(case_id, stack, folder, futures, time.perf_counter())


def _finished(
    order: IngestOrder, case: _OpenCase, refused: dict[str, list[RefusedImage]], fates: dict[str, _Stored]
) -> CaseRow:
    stored = [future.result() for future in case.futures]
    fates |= {one.series.image_id: one for one in stored}
    failed = [
        RefusedImage(case.case_id, one.series.image_id, len(one.series.files), one.failure)
        for one in stored
        if one.failure is not None
    ]
    study = _Study(
        series=tuple(one.series for one in stored if one.failure is None),
        refused=(*refused.get(case.case_id, ()), *failed),
    )
    volumes = {one.series.image_id: one.volume for one in stored if one.volume is not None}
    report = CaseReport(
        case_id=case.case_id,
        status="done" if study.series else "failed",
        images=record_images(study, volumes),
        failure=None if study.series else study.refused[0].failure,
        config_sha256=order.record.config_sha256,
        diascope_version=__version__,
    )
    reasons = doubts(report, {})
    report = replace(report, review_first=bool(reasons), review_reasons=reasons)
    (case.folder / "case.json").write_text(report.to_json(), encoding="utf-8")
    case.stack.close()
    return row_of(report, time.perf_counter() - case.started)


def _store(series: Series, folder: Path) -> _Stored:
    """Decode one image and write it below the folder of its case."""
    path = folder / image_file(series.image_id)
    try:
        image = decode(series)
        if isinstance(image, ColourImage):
            write_colour(path, image)
        elif series.volumes == 1:
            write_volume(path, image)
        else:
            del image
            write_series(path, partial(_scalar, series), series.volumes)
            image = decode(series)
        digests = tuple((str(file), file_digest(file)) for file in series.files)
    except PipelineError as error:
        if not isinstance(error, InputError):
            raise
        path.unlink(missing_ok=True)
        fate: FileFate = "refused" if isinstance(error, UnsupportedInput) else "failed"
        return _Stored(series, failure=failure_of(error), fate=fate)
    return _Stored(_told(series), volume=_hollow(image), sha256=digests)


def _scalar(series: Series, at: int) -> Volume:
    image = decode(series, at)
    if isinstance(image, ColourImage):
        raise UnsupportedInput("a colour image of several volumes", code="colour_image")
    return image


def _told(series: Series) -> Series:
    if series.volumes == 1:
        return series
    return replace(series, notes=(*series.notes, f"{series.volumes} volumes along {series.axis or 'an unnamed axis'}"))


def _hollow(image: Volume | ColourImage) -> Volume:
    """Keep everything of a volume but its voxels."""
    nothing = np.broadcast_to(np.uint8(0), image.space.shape)
    if isinstance(image, ColourImage):
        return Volume(nothing, image.space, image.facts, image.image_id)
    return replace(image, data=nothing)


def _after(file: FileRecord, fates: dict[str, _Stored]) -> FileRecord:
    stored = fates.get(file.image_id)
    if stored is None or file.fate != "used":
        return file
    if stored.failure is not None:
        failure = stored.failure
        return replace(file, fate=stored.fate, code=failure.code, reason=failure.reason, cure=failure.cure)
    return replace(file, sha256=dict(stored.sha256).get(file.path, file.sha256))
