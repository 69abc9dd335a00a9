"""The `diascope` command: one typer app, one module per command."""

import logging
import sys
import traceback
from enum import IntEnum
from typing import Annotated

import typer

from diascope import __version__
from diascope.cli import audit, demo, evaluate, identity, ingest, manifest, models, run, sync, train, view
from diascope.cli.errors import error_text
from diascope.errors import PipelineError
from diascope.log import start_logging

app = typer.Typer(
    name="diascope",
    help="From folders of medical scans to results that can be trusted and reviewed. Not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Exit(IntEnum):
    """What the exit codes mean; part of the contract of the command line."""

    DONE = 0
    CASE_FAILED = 1
    USAGE = 2
    GATE_FAILED = 3
    STOPPED = 4
    INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log each stage to stderr.")] = False,
) -> None:
    start_logging(logging.INFO if verbose else logging.WARNING)
    if version:
        typer.echo(f"diascope {__version__}")
        raise typer.Exit


app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("ingest")(ingest.ingest)
app.command("manifest")(manifest.manifest)
app.command("whois")(identity.whois)
app.command("pseudonymise")(identity.pseudonymise)
app.command("evaluate")(evaluate.evaluate)
app.command("audit")(audit.audit)
app.command("train")(train.train)
app.command("view")(view.view)
app.command("sync")(sync.sync)
app.add_typer(models.app, name="models")


def main() -> None:
    """Run the command line; turn errors into words and exit codes."""
    try:
        code = app(standalone_mode=False)
        if code == Exit.INTERRUPTED:  # typer turns Ctrl-C into a code of its own
            _say_interrupted()
        sys.exit(code if isinstance(code, int) else Exit.DONE)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        _say_interrupted()
        sys.exit(Exit.INTERRUPTED)
    except PipelineError as error:
        typer.echo(error_text(error), err=True)
        sys.exit(Exit.STOPPED if error.code == "disk_full" else Exit.USAGE)
    except BrokenPipeError:  # `| head` has seen enough
        sys.exit(Exit.DONE)
    except Exception as error:  # noqa: BLE001 - what escapes is our bug, and is told as one
        if shown := getattr(error, "format_message", None):  # a usage error of click
            is_help = type(error).__name__ == "NoArgsIsHelpError"  # which holds the whole help: nothing is wrong in it
            typer.echo(shown() if is_help else f"error: {shown()}", err=True)
            sys.exit(Exit.USAGE)
        logging.getLogger("diascope").critical("".join(traceback.format_exception(error)))
        typer.echo("this is a fault of diascope: please report it with the lines above", err=True)
        sys.exit(Exit.CASE_FAILED)


def _say_interrupted() -> None:
    typer.echo("interrupted; the same command goes on where it stopped", err=True)


if __name__ == "__main__":
    main()
