"""`diascope sync`: send what an earlier run could not send to MLflow."""

from pathlib import Path
from typing import Annotated

import typer

INCOMPLETE = 1


def sync(
    out: Annotated[Path, typer.Argument(help="Output folder of a run.")],
    uri: Annotated[str | None, typer.Option("--uri", help="MLflow's tracking URI, where it is another one.")] = None,
    experiment: Annotated[
        str | None, typer.Option("--experiment", help="Name of the experiment, where it is another one.")
    ] = None,
) -> None:
    """Send what is left in tracking.jsonl; what is there already is not doubled."""
    from diascope.run.tracking import tracker
    from diascope.run.tracking.result import left_text, skipped_text, where_text
    from diascope.run.tracking.settings import TrackingSettings
    from diascope.run.tracking.target import announcement

    # What is not named is left open: then it is as the run had it.
    named = {key: value for key, value in (("uri", uri), ("experiment", experiment)) if value is not None}
    settings = TrackingSettings.model_validate(named)
    target = tracker.sync_target(out, settings)
    typer.echo(announcement(target), err=True)
    result = tracker.sync(out, settings)
    typer.echo(f"{result.sent} entries sent, {result.left} left")
    if text := skipped_text(result):
        typer.echo(text, err=True)
    if result.left:
        typer.echo(left_text(result), err=True)
        raise typer.Exit(INCOMPLETE)
    if result.sent:
        typer.echo(where_text(target, result), err=True)
