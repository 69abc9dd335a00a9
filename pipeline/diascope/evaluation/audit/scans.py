"""A table of lesions and marks (lesions.csv) as scans, for the audit of detections."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.detection import Lesion, Mark, Scan, ScanHits, match
from diascope.evaluation.froc import DetectionRules

Floats = NDArray[np.float64]

CORNERS = ("i0", "j0", "k0", "i1", "j1", "k1")
KINDS = ("lesion", "not_judged", "mark", "empty")


@dataclass(frozen=True, slots=True, eq=False)
class ScanTable:
    """Scans with what was found in them; a row of `frame` each.

    Attributes:
        frame: One row per scan, with the group columns of its first row.
        scans: The scans, in the same order.
        hits: What of each was found.
        found: (scans,) lesions found at the operating point.
        lesions: (scans,) judged lesions.
        false: (scans,) false marks at the operating point.
        rules: What counts as found.
    """

    frame: pd.DataFrame
    scans: tuple[Scan, ...]
    hits: tuple[ScanHits, ...]
    found: Floats
    lesions: Floats
    false: Floats
    rules: DetectionRules


def scans_of(frame: pd.DataFrame, settings: AuditSettings) -> ScanTable:
    """Gather the boxes of each scan.

    Args:
        frame: One row per box: `scan`, `kind` (lesion, not_judged, mark, or empty for
            a scan without any), the corners i0..k1, `size` of lesions, `score` of marks.
        settings: Of the audit.

    Raises:
        InputError: A column is missing, or a kind is not known.
    """
    score = settings.columns.score
    if absent := [name for name in ("scan", "kind", *CORNERS) if name not in frame.columns]:
        raise InputError(f"a table of lesions and marks needs the columns {', '.join(absent)}", code="missing_column")
    if unknown := sorted(set(frame["kind"].astype(str)) - set(KINDS)):
        raise InputError(f"kinds of boxes are {', '.join(KINDS)}; the table also has {unknown}", code="bad_kind")
    one = settings.detection
    rules = DetectionRules(one.rule, one.min_iou, settings.threshold, one.size_edges, one.most_marks)
    scans = tuple(_scan(str(name), rows, settings, score) for name, rows in frame.groupby("scan", sort=False))
    hits = tuple(match(scan, rules.rule, min_iou=rules.min_iou, most_marks=rules.most_marks) for scan in scans)
    return ScanTable(
        frame.drop_duplicates("scan").reset_index(drop=True),
        scans,
        hits,
        np.array([(hit.lesion_scores >= rules.threshold).sum() for hit in hits], dtype=np.float64),
        np.array([len(hit.lesion_scores) for hit in hits], dtype=np.float64),
        np.array([(hit.false_scores >= rules.threshold).sum() for hit in hits], dtype=np.float64),
        rules,
    )


def _scan(name: str, rows: pd.DataFrame, settings: AuditSettings, score: str) -> Scan:
    patient = str(rows[settings.columns.patient].iloc[0]) if settings.columns.patient in rows else name
    lesions, marks = [], []
    sizes = rows["size"] if "size" in rows else pd.Series(np.nan, index=rows.index)
    scores = rows[score] if score in rows else pd.Series(np.nan, index=rows.index)
    corners = rows[list(CORNERS)].to_numpy(dtype=np.float64)
    for kind, box, size, sure in zip(rows["kind"].astype(str), corners, sizes, scores, strict=True):
        i0, j0, k0, i1, j1, k1 = box.tolist()
        if kind == "mark":
            marks.append(Mark((i0, j0, k0), (i1, j1, k1), float(sure)))
        elif kind != "empty":
            known = None if pd.isna(size) else float(size)
            is_judged = kind == "lesion" and not (known is not None and known < settings.detection.smallest_size)
            lesions.append(Lesion((i0, j0, k0), (i1, j1, k1), known, is_judged))
    return Scan(name, patient, tuple(lesions), tuple(marks))
