"""What cases.csv and the reports say of a case, as the table of all cases takes it."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diascope.run.report.odd_in_batch import odd_in_batch

COLUMNS = ("status", "seconds", "confidence", "confidence_kind", "review_first", "error_code", "reason", "n_findings")
Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What the index takes from a report.

    Attributes:
        modality: Of the first image that has one.
        sex: Of the patient.
        age_years: Of the patient.
        labels: Of findings, else of what was drawn.
        reasons: Why it should be looked at early.
        patient_key: Keyed id of the patient.
        days: Since the patient's first study.
        digest: SHA-256 of case.json.
        row: Values of `COLUMNS`, as the report has them; seconds are not in it.
    """

    modality: str
    sex: str
    age_years: str
    labels: tuple[str, ...]
    reasons: tuple[str, ...]
    patient_key: str
    days: int | None
    digest: str
    row: Row


def read_facts(file: Path) -> CaseFacts | None:
    """Take what the worklist needs from a report, without checking the rest; None where it cannot be read."""
    try:
        data = file.read_bytes()
        report = json.loads(data)
        images = [image["facts"] for image in report["images"]]
        row = _row_of(report)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None

    def first(name: str) -> Any:
        return next((facts[name] for facts in images if facts.get(name) is not None), None)

    findings = report.get("findings") or ()
    drawn = report.get("segmentations") or ()
    labels = [one["label"] for one in findings] or [label["name"] for one in drawn for label in one["labels"]]
    return CaseFacts(
        modality=first("modality") or "",
        sex=first("sex") or "",
        age_years=first("age_years") or "",
        labels=tuple(dict.fromkeys(labels)),
        reasons=tuple(report.get("review_reasons") or ()),
        patient_key=first("patient_key") or "",
        days=first("days_since_first"),
        digest=hashlib.sha256(data).hexdigest(),
        row=row,
    )


def read_csv(file: Path) -> list[dict[str, str]]:
    """Read a table; empty where it is missing or damaged: the reports are there, too."""
    try:
        return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def row_of_table(row: Mapping[str, str]) -> Row:
    """Give the values of `COLUMNS` as cases.csv has them."""
    return (
        row.get("status", ""),
        _number(row.get("seconds")),
        _number(row.get("confidence")),
        row.get("confidence_kind") or "none",
        int(row.get("review_first") == "true"),
        row.get("code") or "",
        row.get("reason") or "",
        _number(row.get("findings")),
    )


def odd_reason(row: Mapping[str, str]) -> str:
    """Say why a row of cases.csv is flagged beside its batch; empty where it is not.

    The distance to the batch is known when all cases are done: cases.csv has it, no report has.
    """
    reasons = odd_in_batch(row.get("compared_with") or "", _number(row.get("out_of_distribution")))
    return reasons[0] if reasons and row.get("review_first") == "true" else ""


def row_of_report(file: Path) -> Row:
    """Give the values of `COLUMNS` as a report has them; a case that failed where it cannot be read."""
    try:
        return _row_of(json.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ("failed", None, None, "none", 0, "bad_report", "case.json is missing or was cut short", None)


def _row_of(report: Mapping[str, Any]) -> Row:
    failure = report.get("failure") or {}
    findings = report.get("findings")
    confidence = report.get("confidence")
    why_not = [reason for image in report["images"] for reason in image.get("not_chosen") or ()]
    return (
        str(report["status"]),
        None,
        None if confidence is None else round(confidence, 4),
        report.get("confidence_kind") or "none",
        int(bool(report.get("review_first"))),
        failure.get("code", ""),
        failure.get("reason", "") or ("; ".join(why_not) if report["status"] == "nothing_to_do" else ""),
        None if findings is None else len(findings),
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
