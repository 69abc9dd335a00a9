"""`diascope ingest`: convert scans to NIfTI, and say of every file what became of it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from diascope.io.series import FileRecord
    from diascope.run.record import CaseRow

CASE_FAILED = 1
STOPPED = 4


def ingest(
    inputs: Annotated[list[Path], typer.Argument(help="Files, folders, archives, a DICOMDIR or a manifest csv.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the images.")],
    config: Annotated[str | None, typer.Option("--config", "-c", help="A yaml file with ingest and identity.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per case.")] = False,
) -> None:
    """Convert scans to NIfTI with reports: nothing is guessed, every file is accounted for."""
    from diascope.cli.errors import error_text
    from diascope.cli.inputs import check_inputs
    from diascope.cli.redaction import register_identifiers
    from diascope.cli.settings import command_settings
    from diascope.errors import OutputError
    from diascope.io.outfolder import OutFolder
    from diascope.run.found import found_in
    from diascope.run.ingest import IngestConfig, Ingested, make_order, run_ingest
    from diascope.run.key import user_key

    check_inputs(inputs)
    settings = command_settings(IngestConfig, config, overrides or [])
    folder = OutFolder(out)
    key = user_key(settings.identity.key_file)
    ingested = Ingested()
    with folder.claimed(), found_in(inputs, settings.ingest, key, folder.private) as found:
        register_identifiers(found)
        order = make_order(found, folder, settings, key, len(inputs))
        try:
            for row in run_ingest(order, ingested):
                typer.echo(json.dumps(asdict(row)) if as_json else ingest_line(row))
        except OutputError as error:
            typer.echo(error_text(error), err=True)
            raise typer.Exit(STOPPED) from None
    for line in file_lines(ingested.files):
        typer.echo(line, err=as_json)
    if any(row.status == "failed" for row in ingested.rows) or any(
        file.fate in {"refused", "failed"} for file in ingested.files
    ):
        raise typer.Exit(CASE_FAILED)


def ingest_line(row: "CaseRow") -> str:
    """Sum a case up in a line."""
    what = f"{row.images} image{'' if row.images == 1 else 's'}" if row.status == "done" else f"failed ({row.code})"
    mark = "  look first" if row.review_first else ""
    return f"{row.case_id}  {what:<28} {row.seconds:7.1f} s{mark}"


def file_lines(files: Sequence["FileRecord"]) -> list[str]:
    """Count the files by what became of them; refused and failed ones by their code."""
    fates = Counter(file.fate for file in files)
    rejects = Counter((file.fate, file.code, file.reason) for file in files if file.fate in {"refused", "failed"})
    total = ", ".join(f"{n} {fate.replace('_', ' ')}" for fate, n in sorted(fates.items()))
    cures = {(file.code, file.reason): file.cure for file in files}
    lines = []
    for (fate, code, reason), n in rejects.most_common():
        lines.append(f"{n} {fate}: {code}: {reason}")
        if cure := cures[code, reason]:
            lines.append(f"  try: {cure}")
    return [
        *lines,
        f"{len(files)} file{'' if len(files) == 1 else 's'}: {total or 'none'}",
        "see rejects.csv and private/inputs.csv in the output folder",
    ]
