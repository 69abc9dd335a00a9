"""In which order cases are read: the doubtful ones, with a random sample of the others mixed in.

A reader who sees doubtful cases only learns nothing of how often the network is wrong
where it seems sure. The sample is drawn by a hash of seed and case, so that it is the
same on every machine and for every reader, and the probability with which a case came
into the queue is kept with its verdict: rates over all cases can then be estimated
without bias (Horvitz and Thompson, 1952).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """What a case's place depends on.

    Attributes:
        case_id: The case.
        confidence: 0..1; None where there is none.
        review_first: Whether it is doubtful.
    """

    case_id: str
    confidence: float | None
    review_first: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case stands in the queue.

    Attributes:
        at: From 0; doubtful cases and the sample lie between 0 and 1, the others above.
        is_sample: Whether it was drawn.
        probability: With which it came into the queue; None if nobody asked for it.
    """

    at: float
    is_sample: bool
    probability: float | None


def places(cases: Sequence[Standing], sample_part: float, seed: int) -> dict[str, Place]:
    """Give every case its place.

    Args:
        cases: All that are done.
        sample_part: Which part of the cases that look good is drawn.
        seed: Of the draw.
    """
    doubtful = sorted((one for one in cases if one.review_first), key=_least_sure)
    others = sorted((one for one in cases if not one.review_first), key=_least_sure)
    found = {one.case_id: Place(at / len(doubtful), False, 1.0) for at, one in enumerate(doubtful)}
    for at, one in enumerate(others):
        if _uniform("draw", seed, one.case_id) < sample_part:
            found[one.case_id] = Place(_uniform("place", seed, one.case_id), True, sample_part)
        else:
            found[one.case_id] = Place(1 + at / len(others), False, None)
    return found


def _least_sure(case: Standing) -> tuple[float, str]:
    return (2.0 if case.confidence is None else case.confidence, case.case_id)


def _uniform(purpose: str, seed: int, case_id: str) -> float:
    digest = hashlib.sha256(f"{purpose}\0{seed}\0{case_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
