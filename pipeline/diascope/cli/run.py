"""`diascope run`: from files and folders to results, in one command."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diascope.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from diascope.run.batch import BatchOrder, Books
    from diascope.run.record import CaseRow
    from diascope.run.request import RunRequest

Inputs = Annotated[list[Path], typer.Argument(help="Files, folders, archives, a DICOMDIR or a manifest csv.")]
Config = Annotated[str | None, typer.Option("--config", "-c", help="A yaml file, or the name of one in configs/.")]
Bundle = Annotated[str | None, typer.Option("--bundle", help="Run this network, without any yaml.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the results.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Read headers only and say what would run.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value, as in the yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per case.")]

CASE_FAILED = 1
STOPPED = 4


def run(  # noqa: PLR0913, PLR0917 - the options of the command line
    inputs: Inputs,
    config: Config = None,
    bundle: Bundle = None,
    out: Out = None,
    plan: PlanOnly = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Run networks over scans: folders in, results with report and overlays out."""
    from diascope.cli.inputs import check_inputs
    from diascope.run.request import make_request, run_config

    check_inputs(inputs)
    settings, name = run_config(config, bundle, overrides or [])
    if out is None and not plan:
        raise ConfigError("a run needs an output folder", hint="-o OUT")
    request = make_request(inputs, settings, name)
    if plan or out is None:
        _show_plan(request, as_json=as_json)
        return
    if run_request(request, out, as_json=as_json):
        raise typer.Exit(CASE_FAILED)


def run_request(request: "RunRequest", out_root: Path, *, as_json: bool = False) -> bool:
    """Run a request and print how it goes: results to stdout, the rest to stderr.

    Returns:
        Whether a case failed or an image was refused.
    """
    from diascope.io.outfolder import OutFolder
    from diascope.run.key import user_key
    from diascope.run.request import check_earlier

    out = OutFolder(out_root)
    key = user_key(request.config.identity.key_file)
    check_earlier(request, out, key)
    # Only now what takes seconds to load.
    from diascope.cli.bundle_text import stranger_lines
    from diascope.cli.expected import expected_of, remember_run
    from diascope.cli.plan_text import plan_text
    from diascope.cli.redaction import register_identifiers
    from diascope.cli.render import earlier_lines, kept_lines, reason_lines, reject_lines, total_line
    from diascope.run.batch import Books
    from diascope.run.calibrated import not_applied
    from diascope.run.found import found_in
    from diascope.run.session import make_order
    from diascope.tasks.device import choose_device, limit_threads

    device = choose_device(request.config.device)
    limit_threads()
    controls = request.config.uncertainty.control_misses
    unkept = [f"note: {text}" for one in request.bundles for text in not_applied(one, controls_misses=controls)]
    for line in (f"device: {device.description}", *stranger_lines(request.bundles), *unkept):
        typer.echo(line, err=True)
    with out.claimed(), found_in(request.inputs, request.config.ingest, key, out.private) as found:
        register_identifiers(found)
        order = make_order(request, found, key, out, device)
        expected = expected_of(order.plan, order.config, device, try_windows=False).without(order.earlier.reports)
        for line in (
            plan_text(order.plan, expected, len(order.earlier.reports)),
            *earlier_lines(order.plan, order.earlier),
        ):
            typer.echo(line, err=True)
        books = Books()
        _print_cases(order, books, as_json=as_json)
    remember_run(order, books, device)
    rows = list(books.rows.values())
    if not as_json:
        typer.echo(total_line(rows, books.resumed))
        for line in (*reason_lines(rows), *kept_lines(books.kept), *reject_lines(order.plan)):
            typer.echo(line)
        typer.echo(f"review: diascope view {out_root}")
        typer.echo(f"report: {out_root / out.report_html.name}")
    return any(row.status == "failed" for row in rows) or any(
        file.fate in {"refused", "failed"} for file in order.plan.catalogue.files
    )


def _print_cases(order: "BatchOrder", books: "Books", *, as_json: bool) -> None:
    from diascope.cli.errors import error_text
    from diascope.cli.render import MOST_RESUMED, case_line
    from diascope.run.batch import run_batch
    from diascope.run.listener import listener_for

    listener = listener_for(order, tell=lambda text: typer.echo(text, err=True))
    try:
        for row in _with_progress(run_batch(order, listener, books), len(order.plan.studies)):
            if as_json:
                typer.echo(json.dumps(asdict(row)))
            elif row.case_id not in order.earlier.reports:
                typer.echo(case_line(row))
            elif len(order.earlier.reports) <= MOST_RESUMED:  # more of them were told in one line
                typer.echo(f"{case_line(row)}  by an earlier run")
    except OutputError as error:
        typer.echo(error_text(error), err=True)
        typer.echo(f"stopped after {len(books.rows)} cases; the same command goes on from there", err=True)
        raise typer.Exit(STOPPED) from None


def _with_progress(rows: "Iterator[CaseRow]", total: int) -> "Iterator[CaseRow]":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("cases"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        bar = progress.add_task("cases", total=total)
        for row in rows:
            progress.advance(bar)
            yield row


def _show_plan(request: "RunRequest", *, as_json: bool) -> None:
    from diascope.cli.expected import expected_of
    from diascope.cli.plan_text import plan_facts, plan_text, study_lines
    from diascope.cli.redaction import register_identifiers
    from diascope.run.found import found_in
    from diascope.run.key import user_key
    from diascope.run.planning.plan import plan_run
    from diascope.tasks.device import choose_device

    key = user_key(request.config.identity.key_file)
    with found_in(request.inputs, request.config.ingest, key) as found:
        register_identifiers(found)
        plan = plan_run(found, request.bundles, request.config)
    device = choose_device(request.config.device)
    expected = expected_of(plan, request.config, device, try_windows=True)
    if as_json:
        for facts in plan_facts(plan, expected):
            typer.echo(json.dumps(facts))
        return
    lines = (f"device: {device.description}", plan_text(plan, expected), *study_lines(plan, expected, request.inputs))
    for line in lines:
        typer.echo(line)
