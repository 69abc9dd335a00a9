"""`diascope audit`: for whom is a network worse, and is that chance, scanner or neither."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from diascope.evaluation.audit.result import AuditResult

GATE_FAILED = 3


def audit(  # noqa: PLR0913, PLR0917 - the options of the command line
    source: Annotated[Path, typer.Argument(help="An evaluated output folder, a csv, or a folder of label maps.")],
    config: Annotated[str, typer.Option("--config", "-c", help="The plan: groups, operating point, limits.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write; by default OUT/audit.")] = None,
    register: Annotated[bool, typer.Option("--register", help="Write the plan down, without reading truth.")] = False,
    publish: Annotated[bool, typer.Option("--publish", help="Leave out groups below 5 and what reveals them.")] = False,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print audit.json.")] = False,
) -> None:
    """Audit predictions for bias: gaps between groups, with their power, and a verdict."""
    from diascope.config import find_config, load_settings
    from diascope.evaluation.audit.plan import read_registration
    from diascope.evaluation.audit.plan import register as write_plan
    from diascope.evaluation.audit.settings import AuditSettings
    from diascope.evaluation.audit.sources import clinical_table, table_of

    plan = find_config(config)
    settings = load_settings(AuditSettings, plan, overrides or [])
    folder = out or (source if source.is_dir() else source.parent) / "audit"
    if register:
        written = write_plan(settings, folder, datetime.now(UTC))
        typer.echo(f"plan {written.sha256[:16]} registered {written.registered}")
        return
    from diascope.evaluation.audit.audit import audit as run_audit
    from diascope.evaluation.audit.publish import published
    from diascope.evaluation.audit.write import audit_json, write_audit

    registration = read_registration(settings, folder)
    table, digest = table_of(source, settings, plan.parent)
    clinical = clinical_table(settings, plan.parent)
    result = run_audit(table, settings, clinical=clinical, registration=registration, table_sha256=digest)
    shown = published(result) if publish else result
    write_audit(shown, folder)
    typer.echo(audit_json(shown) if as_json else audit_text(shown))
    typer.echo(f"report: {folder / 'audit.html'}", err=as_json)
    if folder.resolve() == (source / "audit").resolve():
        _track(source, shown)
    if shown.rulings and shown.verdict != "pass":
        raise typer.Exit(GATE_FAILED)


def _track(out: Path, result: "AuditResult") -> None:
    from diascope.evaluation.audit.write import audit_scalars, audit_tags
    from diascope.run.evaluation_tracking import Extra, add_to_batch

    files = [f"audit/{name}" for name in ("audit.html", "audit.json", "model_card.md")]
    tables = [f"audit/{path.name}" for path in sorted((out / "audit").glob("*.csv"))]
    extra = Extra(audit_scalars(result), audit_tags(result), "audit", files, tables)
    add_to_batch(out, extra, lambda text: typer.echo(text, err=True))


def audit_text(result: "AuditResult") -> str:
    """Say what an audit found, as its first page does."""
    from diascope.evaluation.audit import words

    lines = [words.subject(result), f"verdict: {result.verdict}. {words.headline(result)}"]
    lines += [f"  {line}" for line in (*words.overall(result), *words.findings(result))]
    lines += [f"  {one.verdict}: {one.attribute}, {one.metric}: {one.reason}" for one in result.rulings]
    if missing := words.not_judged(result):
        lines += ["too few patients to say:", *(f"  {line}" for line in missing)]
    return "\n".join([*lines, *(f"note: {note}" for note in result.notes)])
