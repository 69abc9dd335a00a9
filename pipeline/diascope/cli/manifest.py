"""`diascope manifest`: files, digests, groups and a split by patient; `--check` tells what is no longer so."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from diascope.io.manifest import Differences, ManifestRow
    from diascope.io.manifest_making import ManifestSettings
    from diascope.io.series import Catalogue

IMAGE_REFUSED = 1
GATE_FAILED = 3


def manifest(  # noqa: PLR0913, PLR0917 - the options of the command line
    inputs: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest: a csv.")],
    check: Annotated[bool, typer.Option("--check", help="Compare with the manifest instead of writing it.")] = False,
    root: Annotated[
        Path | None, typer.Option("--root", help="What its paths start from; the only input folder.")
    ] = None,
    config: Annotated[str | None, typer.Option("--config", "-c", help="A yaml: patterns, table, split.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List files with digests, groups and a split by patient, or check such a list."""
    from diascope.cli.inputs import check_inputs
    from diascope.cli.settings import command_settings
    from diascope.io.manifest import differences, manifest_text, read_rows
    from diascope.io.manifest_making import ManifestSettings
    from diascope.io.outfolder import write_atomic

    check_inputs([*inputs, *([out] if check else []), *([root] if root else [])])
    settings = command_settings(ManifestSettings, config, overrides or [])
    base = _data_root(inputs, root)
    if check:
        found = differences(read_rows(out), base, _image_files(_scan(inputs, settings)))
        typer.echo(json.dumps(_plain(found)) if as_json else difference_text(found))
        raise typer.Exit(GATE_FAILED if found else 0)
    rows, refused = _made(inputs, base, settings)
    _check_some(rows, refused)
    write_atomic(out, manifest_text(rows))
    summary = _summary(rows)
    typer.echo(json.dumps(summary) if as_json else summary_text(summary))
    if refused:
        typer.echo(f"{refused} files are images that cannot be read; `diascope ingest` names each", err=True)
        raise typer.Exit(IMAGE_REFUSED)


def difference_text(found: "Differences") -> str:
    """Name every file that is not as the manifest says."""
    lines = [f"changed   {path}" for path in found.changed]
    lines += [f"vanished  {path}" for path in found.vanished]
    lines += [f"came      {path}" for path in found.came]
    counts = f"{len(found.changed)} changed, {len(found.vanished)} vanished, {len(found.came)} came"
    return "\n".join([*lines, counts if found else "everything is as the manifest says"])


def summary_text(summary: dict[str, int]) -> str:
    """Count what a manifest holds."""
    split = ", ".join(f"{summary[name]} {name}" for name in ("train", "calibration", "test"))
    return f"{summary['files']} files, {summary['cases']} cases, {summary['patients']} patients: {split}"


def _made(inputs: list[Path], base: Path, settings: "ManifestSettings") -> "tuple[tuple[ManifestRow, ...], int]":
    """Make the rows, with digests and split; count the images that cannot be read."""
    from diascope.io.files import find_files
    from diascope.io.manifest import with_digests, with_split
    from diascope.io.manifest_making import read_facts, rows_by_pattern, rows_of_catalogue

    facts = read_facts(settings)
    if facts.dropped:
        typer.echo(f"left out, because they may tell who it is: {', '.join(facts.dropped)}", err=True)
    refused = 0
    if settings.image or settings.label:
        rows = rows_by_pattern(base, [file.path for file in find_files(inputs).files], settings, facts)
    else:
        found = _scan(inputs, settings)
        rows = rows_of_catalogue(found, base, facts)
        refused = sum(file.fate in {"refused", "failed"} for file in found.files)
    return with_split(with_digests(rows, base), settings.split), refused


def _check_some(rows: "Sequence[ManifestRow]", refused: int) -> None:
    from diascope.errors import InputError

    if not rows:
        raise InputError(
            "none of the files is an image that can be read, so there is no manifest to write"
            if refused
            else "none of the files is an image, so there is no manifest to write",
            hint="`diascope ingest` names each file with the reason",
            code="no_image",
        )


def _scan(inputs: list[Path], settings: "ManifestSettings") -> "Catalogue":
    from diascope.cli.redaction import register_identifiers
    from diascope.io.catalogue import catalogue
    from diascope.io.reader import Context
    from diascope.run.key import user_key

    found = catalogue(inputs, Context(user_key(settings.key_file), settings.ingest))
    register_identifiers(found)
    return found


def _image_files(found: "Catalogue") -> list[Path]:
    # What a manifest would name now: images that cannot be read are in none.
    return [Path(file.path) for file in found.files if file.fate in {"used", "not_selected"}]


def _data_root(inputs: list[Path], root: Path | None) -> Path:
    from diascope.errors import ConfigError

    if root is not None:
        return root
    if len(inputs) == 1 and inputs[0].is_dir():
        return inputs[0]
    raise ConfigError("several inputs need a folder that their paths start from", hint="--root FOLDER")


def _summary(rows: "tuple[ManifestRow, ...]") -> dict[str, int]:
    parts = {name: len({row.patient for row in rows if row.split == name}) for name in ("train", "calibration", "test")}
    cases, patients = {row.case for row in rows}, {row.patient for row in rows}
    return {"files": len(rows), "cases": len(cases), "patients": len(patients), **parts}


def _plain(found: "Differences") -> dict[str, list[str]]:
    return {"changed": list(found.changed), "vanished": list(found.vanished), "came": list(found.came)}
