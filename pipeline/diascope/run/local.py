"""The local engine: cases in turn, with reading and writing beside the network.

Three stages run at the same time on three cases: one is read and prepared, one is in
the network, one is finished and written. No more than that is held in memory.
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from diascope.errors import OutputError, PipelineError
from diascope.findings import CaseReport, Failure
from diascope.run.case import CaseInputs, CaseJob, CaseOutputs, finish, infer, prepare, read, write

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """How one case ended.

    Attributes:
        job: The case.
        report: Of the case; None if it failed.
        failure: Why it failed; None if it did not.
        stage_seconds: Time of each stage that ran.
        sha256: Digest of each file that was read, by path. Private.
    """

    job: CaseJob
    report: CaseReport | None
    failure: Failure | None
    stage_seconds: dict[str, float]
    sha256: dict[Path, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Time of all its stages together."""
        return sum(self.stage_seconds.values())


class _Flight:
    """One case on its way through the stages, with its clock."""

    def __init__(self, job: CaseJob) -> None:
        self.job = job
        self.seconds: dict[str, float] = {}
        self.sha256: dict[Path, str] = {}

    def timed(self, stage: Callable[[A], B], value: A) -> B:
        started = time.perf_counter()
        try:
            return stage(value)
        finally:
            self.seconds[stage.__name__] = time.perf_counter() - started
            log.info("case %s: %s, %.2f s", self.job.case_id, stage.__name__, self.seconds[stage.__name__])

    def fetch(self) -> CaseInputs:
        images = self.timed(read, self.job)
        self.sha256 = images.sha256
        return self.timed(prepare, images)

    def put_away(self, inferred: CaseOutputs) -> CaseReport:
        return self.timed(write, self.timed(finish, inferred))

    def landed(self, report: CaseReport) -> CaseOutcome:
        return CaseOutcome(self.job, report, None, self.seconds, self.sha256)

    def crashed(self, failure: Failure) -> CaseOutcome:
        return CaseOutcome(self.job, None, failure, self.seconds, self.sha256)


def run_cases(jobs: Iterable[CaseJob]) -> Iterator[CaseOutcome]:
    """Take cases through the five stages, in the order given.

    A case that fails is an outcome like the others, whatever it failed of.

    Args:
        jobs: The cases; taken one by one, as they are needed.

    Yields:
        The outcome of each case, in order.

    Raises:
        OutputError: The disk is full: the cases that are left would fail too.
    """
    waiting = iter(jobs)
    with ThreadPoolExecutor(1, "read") as readers, ThreadPoolExecutor(1, "write") as writers:
        fetching: deque[tuple[_Flight, Future[CaseInputs]]] = deque()
        writing: deque[tuple[_Flight, Future[CaseReport]]] = deque()
        try:
            _fetch_next(waiting, readers, fetching)
            while fetching:
                flight, inputs = fetching.popleft()
                _fetch_next(waiting, readers, fetching)
                inferred = _attempt(flight, lambda f=flight, i=inputs: f.timed(infer, i.result()))  # type: ignore[misc]
                # One case in the writer's hands at a time keeps memory flat.
                while writing:
                    yield _landing(*writing.popleft())
                if isinstance(inferred, Failure):
                    yield flight.crashed(inferred)
                else:
                    writing.append((flight, writers.submit(flight.put_away, inferred)))
            while writing:
                yield _landing(*writing.popleft())
        finally:
            for _, fetched in fetching:
                fetched.cancel()


def _fetch_next(
    waiting: Iterator[CaseJob], readers: ThreadPoolExecutor, fetching: deque[tuple[_Flight, Future[CaseInputs]]]
) -> None:
    with contextlib.suppress(StopIteration):
        flight = _Flight(next(waiting))
        fetching.append((flight, readers.submit(flight.fetch)))


def _landing(flight: _Flight, future: Future[CaseReport]) -> CaseOutcome:
    report = _attempt(flight, future.result)
    return flight.crashed(report) if isinstance(report, Failure) else flight.landed(report)


def _attempt(flight: _Flight, step: Callable[[], B]) -> B | Failure:
    """Run a step of a case; what goes wrong is the case's failure, not the batch's."""
    try:
        return step()
    except OutputError:
        raise
    except PipelineError as error:
        return Failure(error.code, error.message, error.hint)
    except MemoryError:
        return Failure(
            "out_of_memory", "there is not enough memory for this case", "close other programs, or use a larger machine"
        )
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Failure("system", f"the operating system refused: {reason}", "check that all files can still be reached")
    except Exception as error:
        log.exception("case %s: unexpected %s", flight.job.case_id, type(error).__name__)
        return Failure(
            "bug",
            f"unexpected {type(error).__name__}: this is a fault of diascope",
            "please report it, with the log of the run",
        )
