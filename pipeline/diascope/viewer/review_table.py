"""The record as tables: csv and json, a row per verdict, and one per thing that was judged.

The names of the columns are a contract (docs/viewer.md): `diascope audit` reads them.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from diascope.io.tables import write_rows
from diascope.viewer.store.verdicts import SavedVerdict

COLUMNS = (
    "verdict_id", "case_id", "patient_key", "reviewer", "when", "digest", "is_stale", "verdict", "score", "sampling",
    "sampling_probability", "ai_visible", "findings_true", "findings_false", "findings_wrong_extent", "missed",
    "out", "read", "urgent", "reasons", "comment", "shown_ms", "bundles",
)  # fmt: skip

JUDGED_COLUMNS = (
    "verdict_id", "case_id", "patient_key", "reviewer", "when", "is_stale", "ai_visible", "sampling",
    "sampling_probability", "kind", "bundle", "image_id", "finding_id", "label", "verdict", "corrected_label",
    "box_ijk",
)  # fmt: skip

NewestDigest = Callable[[str], str]


def standing_rows(history: Sequence[SavedVerdict], revoked: frozenset[int]) -> tuple[SavedVerdict, ...]:
    """Keep the newest verdict of each reader, case, result and kind of read that was not taken back."""
    newest = {
        (one.new.reviewer, one.new.case_id, one.new.asked.digest, one.new.asked.read): one
        for one in sorted(history, key=lambda one: one.verdict_id)
        if one.verdict_id not in revoked
    }
    return tuple(sorted(newest.values(), key=lambda one: one.verdict_id))


def pseudonyms(history: Iterable[SavedVerdict]) -> dict[str, str]:
    """Number the readers in the order of their first verdict, which never changes."""
    readers = dict.fromkeys(one.new.reviewer for one in sorted(history, key=lambda one: one.verdict_id))
    return {name: f"reader-{at}" for at, name in enumerate(readers, start=1)}


def verdict_rows(
    rows: Sequence[SavedVerdict], names: dict[str, str], out: str, digest_now: NewestDigest
) -> list[dict[str, Any]]:
    """Spell verdicts as rows of COLUMNS.

    Args:
        rows: That stand.
        names: What each reader is called in the table.
        out: Name of the output folder.
        digest_now: Gives the digest of a case's present result.
    """
    return [_verdict_row(one, names, out, digest_now) for one in rows]


def judged_rows(rows: Sequence[SavedVerdict], names: dict[str, str], digest_now: NewestDigest) -> list[dict[str, Any]]:
    """Spell what was said of findings, labels and missed lesions as rows of JUDGED_COLUMNS."""
    return [row for one in rows for row in _judged(one, names, digest_now)]


def as_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """Spell rows as csv that a spreadsheet takes for data and never for formulas."""
    return write_rows(columns, ({name: _cell(row.get(name)) for name in columns} for row in rows))


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """Spell rows as json."""
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def _verdict_row(one: SavedVerdict, names: dict[str, str], out: str, digest_now: NewestDigest) -> dict[str, Any]:
    asked = one.new.asked
    said = [finding.verdict for finding in asked.findings] + [label.verdict for label in asked.labels]
    return _who(one, names, digest_now) | {
        "digest": asked.digest,
        "verdict": asked.verdict,
        "score": asked.score,
        "findings_true": said.count("true"),
        "findings_false": said.count("false"),
        "findings_wrong_extent": said.count("wrong_extent"),
        "missed": len(asked.missed),
        "out": out,
        "read": asked.read,
        "urgent": int(asked.urgent),
        "reasons": "; ".join(asked.reasons),
        "comment": asked.comment,
        "shown_ms": asked.shown_ms,
        "bundles": "; ".join(f"{name} {sha256[:12]}" for name, sha256 in one.new.bundles),
    }


def _judged(one: SavedVerdict, names: dict[str, str], digest_now: NewestDigest) -> Iterable[dict[str, Any]]:
    who = _who(one, names, digest_now)
    for finding in one.new.asked.findings:
        yield who | {
            "kind": "finding",
            "bundle": finding.finding_id.rpartition("-")[0],
            "finding_id": finding.finding_id,
            "verdict": finding.verdict,
            "corrected_label": finding.label,
        }
    for label in one.new.asked.labels:
        yield who | {
            "kind": "label",
            "bundle": label.bundle,
            "image_id": label.image_id,
            "label": label.label,
            "verdict": label.verdict,
        }
    for missed in one.new.asked.missed:
        yield who | {
            "kind": "missed",
            "image_id": missed.image_id,
            "label": missed.label,
            "verdict": "missed",
            "box_ijk": json.dumps(missed.box_ijk),
        }


def _who(one: SavedVerdict, names: dict[str, str], digest_now: NewestDigest) -> dict[str, Any]:
    new = one.new
    return {
        "verdict_id": one.verdict_id,
        "case_id": new.case_id,
        "patient_key": new.patient_key,
        "reviewer": names[new.reviewer],
        "when": one.saved_at,
        "is_stale": int(digest_now(new.case_id) != new.asked.digest),
        "ai_visible": int(new.ai_visible),
        "sampling": new.sampling,
        "sampling_probability": new.sampling_probability,
    }


def _cell(value: Any) -> Any:
    # A comment that begins so would be run by a spreadsheet (CSV injection, OWASP).
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return "" if value is None else value
