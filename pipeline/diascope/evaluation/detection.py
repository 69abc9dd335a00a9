"""Which marks of a detector hit which lesions, by the rules of LUNA16.

Setio et al. (Med Image Anal 2017) and the challenge's evaluation script: a lesion
is found with the highest score among the marks that hit it; further marks on a
found lesion are neither found lesions nor false positives; marks on lesions that
are not judged (too small, readers disagreed) are ignored; every other mark is a
false positive; scans without lesions count as scans. A mark that hits two lesions
finds both. Of a scan with more than 100 marks only those surer than its 101st count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.findings import Finding

Floats = NDArray[np.float64]
Corner = tuple[float, float, float]

MatchRule = Literal["iou", "radius", "centre_in_box"]

# nnDetection (MICCAI 2021) and PI-CAI: in 3-D an IoU of 0.1 already finds the lesion.
MIN_IOU = 0.1

# LUNA16's evaluation script: no reader looks at more marks of a scan.
MOST_MARKS = 100


@dataclass(frozen=True, slots=True)
class Lesion:
    """A lesion that is there.

    Attributes:
        low: Lower corner of its box, in the same frame and unit as the marks'.
        high: Upper corner, outside the lesion.
        size: Diameter in mm, or in voxels off a Grid; None if unknown. By it
            sensitivity is split, and the `radius` rule asks for it.
        is_judged: Marks on a lesion that is not judged are ignored.
    """

    low: Corner
    high: Corner
    size: float | None = None
    is_judged: bool = True

    def __post_init__(self) -> None:
        """Refuse a box that is turned inside out."""
        _check_box(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a detector marked; a point is a box without extent.

    Attributes:
        low: Lower corner of its box.
        high: Upper corner.
        score: How sure the detector is; higher is surer.
    """

    low: Corner
    high: Corner
    score: float

    def __post_init__(self) -> None:
        """Refuse a box that is turned inside out, and a score that is no number."""
        _check_box(self.low, self.high)
        if not np.isfinite(self.score):
            raise InputError(f"the score of a mark must be a finite number, got {self.score}", code="bad_score")


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan that was read, with lesions or without, marked or not.

    Attributes:
        scan_id: Its name; unique.
        patient: Whose it is.
        lesions: What is there.
        marks: What was marked.
    """

    scan_id: str
    patient: str
    lesions: tuple[Lesion, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ScanHits:
    """What of a scan was found.

    Attributes:
        lesion_scores: (lesions,) highest score of the marks that hit each judged
            lesion; -inf where none did.
        lesion_sizes: (lesions,) their sizes, NaN where unknown.
        false_scores: (false positives,) scores of the marks that hit nothing.
    """

    lesion_scores: Floats
    lesion_sizes: Floats
    false_scores: Floats


def sphere(centre: Corner, size: float, *, is_judged: bool = True) -> Lesion:
    """Describe a lesion by centre and size (its diameter), as LUNA16's annotations do."""
    half = size / 2
    low, high = (tuple(x + side * half for x in centre) for side in (-1, 1))
    return Lesion((low[0], low[1], low[2]), (high[0], high[1], high[2]), size, is_judged)


def mark_of(finding: Finding) -> Mark:
    """Take a finding's box in voxels as a mark."""
    (i0, j0, k0), (i1, j1, k1) = finding.box_ijk
    return Mark((float(i0), float(j0), float(k0)), (float(i1), float(j1), float(k1)), finding.score)


def surest_marks(scan: Scan, most: int | None = MOST_MARKS) -> Scan:
    """Leave out what LUNA16 leaves out: marks that are not surer than the first one too many.

    So of equal scores at the border none is kept, rather than those that happen to be listed first.

    Args:
        scan: With any number of marks.
        most: How many marks of a scan count; None for all.
    """
    if most is None or len(scan.marks) <= most:
        return scan
    limit = sorted((mark.score for mark in scan.marks), reverse=True)[most]
    return replace(scan, marks=tuple(mark for mark in scan.marks if mark.score > limit))


def match(
    scan: Scan, rule: MatchRule = "iou", *, min_iou: float = MIN_IOU, most_marks: int | None = MOST_MARKS
) -> ScanHits:
    """Decide which lesions were found and which marks are false.

    Args:
        scan: Lesions and marks in one frame.
        rule: `iou`: the boxes overlap by `min_iou` or more; `radius`: the mark's
            centre is nearer to the lesion's than half its size (LUNA16);
            `centre_in_box`: the mark's centre lies in the lesion's box.
        min_iou: For the first rule.
        most_marks: How many marks of a scan count, see `surest_marks`.
    """
    scan = surest_marks(scan, most_marks)
    scores = np.array([mark.score for mark in scan.marks], dtype=np.float64)
    hit = _hits(scan, rule, min_iou)
    best = np.where(hit, scores[None, :], -np.inf).max(axis=1, initial=-np.inf)
    judged = np.array([lesion.is_judged for lesion in scan.lesions], dtype=bool)
    sizes = np.array([np.nan if lesion.size is None else lesion.size for lesion in scan.lesions], dtype=np.float64)
    return ScanHits(best[judged], sizes[judged], scores[~hit.any(axis=0)])


def check_scans(scans: Sequence[Scan]) -> None:
    """Refuse scans that are listed twice."""
    names = [scan.scan_id for scan in scans]
    if twice := len(names) - len(set(names)):
        raise InputError(f"{twice} of {len(names)} scans are listed more than once", code="duplicate_case")


def _hits(scan: Scan, rule: MatchRule, min_iou: float) -> NDArray[np.bool_]:
    # (lesions, marks)
    if not scan.lesions or not scan.marks:
        return np.zeros((len(scan.lesions), len(scan.marks)), dtype=bool)
    low, high = _corners(scan.lesions)
    mark_low, mark_high = _corners(scan.marks)
    centre = (mark_low + mark_high) / 2
    if rule == "centre_in_box":
        inside = (centre[None] >= low[:, None]) & (centre[None] < high[:, None])
        return np.asarray(inside.all(axis=2))
    if rule == "radius":
        sizes = [lesion.size for lesion in scan.lesions]
        if any(size is None for size in sizes):
            raise InputError("the radius rule needs the size of every lesion", code="no_size")
        apart = np.linalg.norm(centre[None] - ((low + high) / 2)[:, None], axis=2)
        return np.asarray(apart < np.array(sizes, dtype=np.float64)[:, None] / 2)
    sides = np.minimum(high[:, None], mark_high[None]) - np.maximum(low[:, None], mark_low[None])
    shared = np.clip(sides, 0, None).prod(axis=2)
    together = (high - low).prod(axis=1)[:, None] + (mark_high - mark_low).prod(axis=1)[None] - shared
    return np.asarray((shared > 0) & (shared >= min_iou * together))


def _corners(boxes: Sequence[Lesion] | Sequence[Mark]) -> tuple[Floats, Floats]:
    return np.array([box.low for box in boxes], dtype=float), np.array([box.high for box in boxes], dtype=float)


def _check_box(low: Corner, high: Corner) -> None:
    if not all(np.isfinite([*low, *high])) or any(a > b for a, b in zip(low, high, strict=True)):
        raise InputError(f"a box must go from its lower to its upper corner, got {low} to {high}", code="bad_box")
