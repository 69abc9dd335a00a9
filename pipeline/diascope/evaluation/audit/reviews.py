"""Reviewers' verdicts as evidence: what readers said of results, apart from independent truth.

A reader who sees the network's answer is drawn towards it, and doubtful cases are read
first. So reads with the network in view and reads without it are told apart, and each
verdict weighs as much as the inverse of the probability with which its case came to be
read (Horvitz and Thompson, 1952). Where no random sample was read, nothing is known of
the cases that looked good, and the gate takes no verdict for evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.evaluation.audit.groups import Attribute
from diascope.evaluation.audit.table import read_table
from diascope.evaluation.bootstrap import Estimate
from diascope.evaluation.proportions import average_estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMNS = ("case_id", "verdict", "sampling", "sampling_probability", "ai_visible")
"""What the table must have: the export of `diascope view`."""

VERDICTS = ("accept", "reject", "needs_edit", "skip")
HIDDEN, IN_VIEW = "network hidden", "network in view"
EVERYBODY = ""

WORDS = {
    "accepted": "results that were accepted as they are",
    "findings_true": "findings that were called true",
    "missed_per_case": "lesions per case that the reader added",
}


@dataclass(frozen=True, slots=True)
class ReviewFigure:
    """One figure of the readers.

    Attributes:
        read: Whether the network's answer was in view.
        attribute: Division; empty for everybody.
        group: Of it.
        metric: See `WORDS`.
        value: Weighted by the sampling probability.
    """

    read: str
    attribute: str
    group: str
    metric: str
    value: Estimate


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """What readers said.

    Attributes:
        verdicts: That were used.
        readers: Who gave them.
        random_patients: By read, patients whose case was drawn at random: what lets the
            figures speak of all cases.
        stale: Verdicts on results that have changed since; left out.
        skipped: Cases a reader passed over; left out.
        unsampled: Verdicts on cases that nobody drew, but somebody picked; left out.
        figures: The figures.
        notes: What a reader of them should know.
    """

    verdicts: int
    readers: int
    random_patients: Mapping[str, int]
    stale: int
    skipped: int
    unsampled: int
    figures: tuple[ReviewFigure, ...]
    notes: tuple[str, ...]

    def figure(self, metric: str, read: str, attribute: str = "", group: str = EVERYBODY) -> Estimate | None:
        """Find a figure; None if nobody read so."""
        found = (
            one.value
            for one in self.figures
            if (one.metric, one.read, one.attribute, one.group) == (metric, read, attribute, group)
        )
        return next(found, None)


def read_reviews(path: Path) -> pd.DataFrame:
    """Read the exported verdicts, and refuse what would be weighed wrongly.

    Raises:
        InputError: Columns are missing, or hold what they cannot.
    """
    frame = read_table(path)
    if absent := [name for name in COLUMNS if name not in frame]:
        raise InputError(
            f"the table of verdicts has no column {', '.join(absent)}",
            hint="export it with diascope view OUT --export verdicts.csv",
            code="missing_column",
        )
    if unknown := sorted(set(frame["verdict"].astype(str)) - set(VERDICTS)):
        raise InputError(f"the verdict {unknown[0]} is none of {', '.join(VERDICTS)}", code="bad_verdict")
    probability = pd.to_numeric(frame["sampling_probability"], errors="coerce")
    is_given = frame["sampling_probability"].notna()
    wrong = int((is_given & ~((probability > 0) & (probability <= 1))).sum())
    if wrong:
        raise InputError(
            f"{wrong} of {len(frame)} sampling probabilities are not above 0 and at most 1", code="bad_probability"
        )
    return frame.assign(sampling_probability=probability)


def summarise_reviews(
    frame: pd.DataFrame, groups: Mapping[str, Mapping[str, str]], doubtful: frozenset[str] | None = None
) -> ReviewSummary:
    """Weigh verdicts.

    Args:
        frame: What `read_reviews` gave.
        groups: By attribute, the group of each case.
        doubtful: Cases that are to be read first, where they are known; if they were not all
            read, those that were stand for nobody but themselves and are left out.
    """
    stale = _numbers(frame, "is_stale") == 1
    skipped = ~stale & (frame["verdict"] == "skip").to_numpy()
    unsampled = ~stale & ~skipped & frame["sampling_probability"].isna().to_numpy()
    kept = frame[~(stale | skipped | unsampled)].reset_index(drop=True)
    notes = []
    is_random = (kept["sampling"] == "random").to_numpy()
    unread = len(doubtful - set(kept["case_id"].astype(str))) if doubtful is not None else 0
    if unread:
        notes.append(
            f"{unread} doubtful cases were not read, so those that were are left out: the figures are of cases"
            " that did not look doubtful"
        )
        kept, is_random = kept[is_random].reset_index(drop=True), is_random[is_random]
    elif doubtful is None and (~is_random).any():
        notes.append("taken for granted: every doubtful case was read")
    if not is_random.any():
        notes.append("no random sample was read: the figures are of doubtful cases alone")
    patient = kept["patient_key"] if "patient_key" in kept else pd.Series([None] * len(kept))
    code = pd.factorize(patient.where(patient.notna(), kept["case_id"]).astype(str))[0].astype(np.int64)
    ai = _numbers(kept, "ai_visible") == 1
    figures = [
        figure
        for read, rows in ((HIDDEN, ~ai), (IN_VIEW, ai))
        if rows.any()
        for figure in _figures(kept, code, rows, read, groups)
    ]
    return ReviewSummary(
        len(kept),
        int(kept["reviewer"].nunique()) if "reviewer" in kept else 0,
        {read: len(np.unique(code[rows & is_random])) for read, rows in ((HIDDEN, ~ai), (IN_VIEW, ai))},
        int(stale.sum()),
        int(skipped.sum()),
        int(unsampled.sum()),
        tuple(figures),
        tuple(notes),
    )


def groups_of_cases(cases: Sequence[str], attributes: Sequence[Attribute]) -> dict[str, dict[str, str]]:
    """Say which group each case is in, by attribute; a case of several rows is where its first row is."""
    found: dict[str, dict[str, str]] = {}
    for one in attributes:
        of_case = found.setdefault(one.name, {})
        for case, at in zip(cases, one.code.tolist(), strict=True):
            of_case.setdefault(case, one.levels[at])
    return found


def _figures(
    kept: pd.DataFrame, code: Ints, rows: NDArray[np.bool_], read: str, groups: Mapping[str, Mapping[str, str]]
) -> list[ReviewFigure]:
    found = [ReviewFigure(read, "", EVERYBODY, name, value) for name, value in _values(kept, code, rows).items()]
    cases = kept["case_id"].astype(str)
    for attribute, of_case in groups.items():
        group = cases.map(of_case).to_numpy(dtype=object)
        for level in sorted({str(value) for value in group[rows] if isinstance(value, str)}):
            values = _values(kept, code, rows & (group == level))
            found += [ReviewFigure(read, attribute, level, name, value) for name, value in values.items()]
    return found


def _values(kept: pd.DataFrame, code: Ints, rows: NDArray[np.bool_]) -> dict[str, Estimate]:
    weight = np.where(rows, 1 / kept["sampling_probability"].to_numpy(dtype=np.float64), 0.0)
    accepted = (kept["verdict"] == "accept").to_numpy(dtype=np.float64)
    found = {"accepted": _ratio(weight * accepted, weight, code)}
    counts = {name: _numbers(kept, name) for name in ("findings_true", "findings_false", "findings_wrong_extent")}
    judged = sum(np.nan_to_num(one) for one in counts.values())
    if np.any(judged * weight):
        found["findings_true"] = _ratio(weight * np.nan_to_num(counts["findings_true"]), weight * judged, code)
    missed = _numbers(kept, "missed")
    if np.isfinite(missed[rows]).any():
        asked = weight * np.isfinite(missed)
        found["missed_per_case"] = _ratio(asked * np.nan_to_num(missed), asked, code, most=float("inf"))
    return found


def _ratio(top: Floats, bottom: Floats, code: Ints, most: float = 1.0) -> Estimate:
    return average_estimate(top, bottom, code, nothing="nobody read", most=most)


def _numbers(frame: pd.DataFrame, column: str) -> Floats:
    if column not in frame:
        return np.full(len(frame), np.nan)
    return pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
