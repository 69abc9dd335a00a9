"""What stands on the command line as input, looked at before anything is written."""

import os
from collections.abc import Sequence
from pathlib import Path

import typer

USAGE = 2


def check_inputs(inputs: Sequence[Path]) -> None:
    """End the command where an input does not exist, and name it as it was typed.

    A path is an identifier. It is shown to the person who typed it, on stderr, and
    goes into no error, log or file; so it is no PipelineError.

    Raises:
        typer.Exit: With the code of wrong usage.
    """
    missing = [path for path in inputs if not os.path.lexists(path)]
    if missing:
        typer.echo(missing_text(missing, len(inputs)), err=True)
        raise typer.Exit(USAGE)


def missing_text(missing: Sequence[Path], given: int) -> str:
    """Name the inputs that do not exist."""
    lines = [f"error: no such file or folder: {path}" for path in missing]
    rest = f"; nothing was done with the other {given - len(missing)}" if given > len(missing) else ""
    return "\n".join([*lines, f"  try: check the spelling{rest}"])
