"""Evaluations and audits go where their batch went: into the same run of MLflow. A csv has a run of its own."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from diascope.errors import InputError
from diascope.evaluation.audit.result import AuditResult
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.audit.write import audit_figures, audit_scalars, audit_tags, drift_scalars
from diascope.evaluation.drift import Moved
from diascope.findings import BundleStamp
from diascope.io.outfolder import OutFolder
from diascope.run.record import read_record
from diascope.run.tracking.additions import Extra, Tell, add_to_batch, log_extra
from diascope.run.tracking.result import SPOOL
from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.tracker import DatasetDescription, RunDescription, TaggedModel, open_tracker

# MLflow takes no longer digest of a dataset.
DIGEST_DIGITS = 36

# What an audit may write that holds no rows of single patients.
AUDIT_FILES = ("audit.html", "audit.json", "model_card.md")


class AuditPlan(AuditSettings):
    """The plan of an audit as a yaml spells it: with what its figures do not depend on."""

    earlier: dict[str, str] = Field(default_factory=dict)
    """Earlier audits for the trend, oldest first: what to call it, and its audit.json or output folder."""

    tracking: TrackingSettings = TrackingSettings()
    """Where the audit is tracked; that of an output folder goes where its batch went."""

    @property
    def audit(self) -> AuditSettings:
        """What the figures depend on: an audit after it is of the same plan."""
        return AuditSettings.model_validate(self.model_dump(exclude={"tracking", "earlier"}))


def track_audit(source: Path, folder: Path, result: AuditResult, settings: TrackingSettings, tell: Tell) -> None:
    """Track an audit: in the run of the batch that was audited, else in a run of its own.

    Args:
        source: What was audited.
        folder: Where the audit was written.
        result: What it found.
        settings: Where MLflow is, for an audit that belongs to no batch.
        tell: Shows a text to the person at the keyboard.
    """
    if not settings.enabled:
        return
    if folder.resolve() == (source / "audit").resolve() and (source / SPOOL).is_file():
        add_to_batch(source, audit_extra(result, folder, "audit/", _stamps(source)), tell)
    else:
        _track_alone(folder, result, audit_extra(result, folder, "", _stamps(source)), settings, tell)


def track_drift(source: Path, folder: Path, moved: Sequence[Moved], tell: Tell) -> None:
    """Track what moved in the run of the batch; a comparison of folders that were not tracked is not."""
    if folder.resolve() == (source / "audit").resolve():
        tags = {"drift.moved": ", ".join(one.name for one in moved if one.has_moved) or "nothing"}
        add_to_batch(
            source, Extra(drift_scalars(moved), tags, "audit", ["audit/drift.json"], ["audit/drift.csv"]), tell
        )


def audit_extra(result: AuditResult, folder: Path, below: str, stamps: Sequence[BundleStamp]) -> Extra:
    """Say what of an audit is tracked.

    Args:
        result: What it found.
        folder: Where it was written.
        below: That folder below the tracked one, with a slash at its end; empty if it is the same.
        stamps: Networks whose predictions were audited.
    """
    figures = [f"{name}.svg" for name in audit_figures(result)]
    tables = [path.name for path in sorted(folder.glob("*.csv"))]
    named = result.settings.get("where", {}).get("bundle")
    profile = {"rows": result.rows, "patients": result.patients}
    digest = result.table_sha256[:DIGEST_DIGITS] or "none"
    tags = audit_tags(result)
    return Extra(
        audit_scalars(result),
        tags,
        "audit",
        files=[f"{below}{name}" for name in (*AUDIT_FILES, *figures)],
        tables=[f"{below}{name}" for name in tables],
        datasets=[DatasetDescription("audited predictions", digest, profile, "audit")],
        models=[TaggedModel(one.name, one.sha256, one.version, tags) for one in stamps if named in {None, one.name}],
    )


def _track_alone(folder: Path, result: AuditResult, extra: Extra, settings: TrackingSettings, tell: Tell) -> None:
    tracker = open_tracker(folder, settings, tell)
    if tracker is None:
        return
    params: dict[str, str | float | int] = {
        "task": result.task,
        "threshold": result.threshold,
        "rows": result.rows,
        "patients": result.patients,
        "groups": ", ".join(map(str, result.settings["groups"])),
    }
    tracker.start(
        RunDescription(
            result.title,
            f"audit {result.settings_sha256} {result.table_sha256}",
            params,
            {"diascope.command": "audit"},
            f"Verdict: **{result.verdict}**. The report is audit/audit.html among the artifacts.",
        )
    )
    log_extra(tracker, extra, "FINISHED")


def _stamps(source: Path) -> tuple[BundleStamp, ...]:
    try:
        record = read_record(OutFolder(source)) if source.is_dir() else None
    except InputError:  # a folder of label maps may hold a run.json of somebody else
        return ()
    return record.bundles if record is not None else ()
