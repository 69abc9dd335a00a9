"""`diascope audit`: for whom is a network worse, and is that chance, scanner or neither."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diascope.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diascope.evaluation.audit.result import AuditResult
    from diascope.evaluation.drift import Moved

GATE_FAILED = 3


def audit(  # noqa: PLR0913, PLR0917 - the options of the command line
    source: Annotated[Path, typer.Argument(help="An evaluated output folder, a csv, or a folder of label maps.")],
    config: Annotated[str | None, typer.Option("--config", "-c", help="The plan: groups, limits.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write; by default OUT/audit.")] = None,
    register: Annotated[bool, typer.Option("--register", help="Write the plan down, without reading truth.")] = False,
    publish: Annotated[bool, typer.Option("--publish", help="Leave out groups below 5 and what reveals them.")] = False,
    against: Annotated[Path | None, typer.Option("--against", help="A reference OUT: what has moved since?")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print audit.json.")] = False,
) -> None:
    """Audit predictions for bias: gaps between groups, with their power, and a verdict."""
    folder = out or (source if source.is_dir() else source.parent) / "audit"
    moved = _moved(source, against) if against is not None else ()
    if config is None:
        if against is None:
            raise ConfigError(
                "an audit needs a plan", hint="-c plan.yaml; or --against OUT to see only what moved: docs/audit.md"
            )
        _drift_alone(source, moved, folder, as_json=as_json)
        return
    from diascope.config import find_config, load_settings
    from diascope.evaluation.audit.plan import read_registration
    from diascope.evaluation.audit.plan import register as write_plan
    from diascope.run.evaluation_tracking import AuditPlan

    plan = find_config(config)
    asked = load_settings(AuditPlan, plan, overrides or [])
    settings = asked.audit
    if register:
        written = write_plan(settings, folder, datetime.now(UTC))
        typer.echo(f"plan {written.sha256[:16]} registered {written.registered}")
        return
    from dataclasses import replace

    from diascope.evaluation.audit.audit import audit as run_audit
    from diascope.evaluation.audit.publish import published
    from diascope.evaluation.audit.sources import clinical_table, evidence_for, table_of
    from diascope.evaluation.audit.write import audit_json, write_audit
    from diascope.run.evaluation_tracking import track_audit

    registration = read_registration(settings, folder)
    table, digest = table_of(source, settings, plan.parent)
    result = run_audit(
        table,
        settings,
        clinical=clinical_table(settings, plan.parent),
        registration=registration,
        table_sha256=digest,
        evidence=replace(evidence_for(source, settings, plan.parent, asked.earlier), moved=moved),
    )
    shown = published(result) if publish else result
    write_audit(shown, folder)
    typer.echo(audit_json(shown) if as_json else audit_text(shown))
    typer.echo(f"report: {folder / 'audit.html'}", err=as_json)
    track_audit(source, folder, shown, asked.tracking, lambda text: typer.echo(text, err=True))
    if shown.rulings and shown.verdict != "pass":
        raise typer.Exit(GATE_FAILED)


def _moved(source: Path, against: Path) -> "tuple[Moved, ...]":
    import numpy as np

    from diascope.evaluation.drift_tables import compare_folders
    from diascope.io.outfolder import OutFolder

    return compare_folders(OutFolder(against), OutFolder(source), np.random.default_rng(0))


def _drift_alone(source: Path, moved: "Sequence[Moved]", folder: Path, *, as_json: bool) -> None:
    from diascope.evaluation.audit import words
    from diascope.evaluation.audit.write import write_drift
    from diascope.run.evaluation_tracking import track_drift

    write_drift(moved, folder)
    typer.echo((folder / "drift.json").read_text(encoding="utf-8") if as_json else "\n".join(words.drift(moved)))
    typer.echo(f"table: {folder / 'drift.csv'}", err=as_json)
    track_drift(source, folder, moved, lambda text: typer.echo(text, err=True))


def audit_text(result: "AuditResult") -> str:
    """Say what an audit found, as its first page does."""
    from diascope.evaluation.audit import words

    lines = [words.subject(result), f"verdict: {result.verdict}. {words.headline(result)}"]
    lines += [f"  {line}" for line in (*words.overall(result), *words.findings(result))]
    lines += [f"  {one.verdict}: {one.attribute}, {one.metric}: {one.reason}" for one in result.rulings]
    for title, said in (
        ("too few patients to say:", words.not_ruled(result)),
        ("what reviewers said:", words.reviews(result)),
        ("since earlier audits:", words.trend(result)),
        ("against the reference batch:", words.drift(result.drift)),
    ):
        if said:
            lines += [title, *(f"  {line}" for line in said)]
    return "\n".join([*lines, *(f"note: {note}" for note in result.notes)])
