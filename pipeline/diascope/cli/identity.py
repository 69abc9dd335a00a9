"""`diascope whois` and `diascope pseudonymise`: with the key, and every use is recorded."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from diascope.io.outfolder import OutFolder
    from diascope.io.series import CaseIdentity

NOT_FOUND = 1

OutOption = Annotated[Path, typer.Option("--out", "-o", help="Output folder of the run.")]
KeyOption = Annotated[Path | None, typer.Option("--key-file", help="Key of that run, if it is not your own.")]


def whois(
    asked: Annotated[str, typer.Argument(metavar="CASE|PATIENT", help="A case_id, patient_key or record number.")],
    out: OutOption,
    key_file: KeyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per case.")] = False,
) -> None:
    """Say whose case it is. Needs the key; the use is recorded in private/uses.jsonl."""
    from diascope.cli.errors import error_text
    from diascope.errors import InputError
    from diascope.io.private import record_use
    from diascope.io.pseudonyms import whose

    folder, identities = _identities(out, key_file)
    found = whose(asked, identities)
    # Before the answer: an answer that is not recorded must not be given.
    record_use(folder, "whois", cases=[one.case_id for one in found], found=len(found))
    for one in found:
        typer.echo(json.dumps(identity_facts(one)) if as_json else identity_text(one))
    if not found:
        # What was typed may be somebody's record number: it is not said again.
        cases = "the only case" if len(identities) == 1 else f"none of the {len(identities)} cases"
        nobody = InputError(
            f"{cases} of this folder {'is not' if len(identities) == 1 else 'is'} meant by that",
            hint="give a case_id as in cases.csv, a patient_key, or a record number, whole and as the header spells it",
            code="unknown_case",
        )
        typer.echo(error_text(nobody), err=True)
        raise typer.Exit(NOT_FOUND)


def pseudonymise(
    table: Annotated[Path, typer.Argument(help="A csv or tsv with record numbers.")],
    id_column: Annotated[str, typer.Option("--id-column", help="The column of record numbers, such as MRN.")],
    out: OutOption,
    to: Annotated[Path | None, typer.Option("--to", help="Write the table there; stdout if left out.")] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="Keep this column although it looks telling.")
    ] = None,
    key_file: KeyOption = None,
) -> None:
    """Put patient keys in the place of record numbers. Needs the key; the use is recorded."""
    from diascope.cli.inputs import check_inputs
    from diascope.io.outfolder import file_digest, write_atomic
    from diascope.io.private import record_use
    from diascope.io.pseudonyms import pseudonymised
    from diascope.io.tables import read_table, write_rows

    check_inputs([table])
    folder, identities = _identities(out, key_file)
    made = pseudonymised(read_table(table), id_column, identities, keep or ())
    record_use(
        folder,
        "pseudonymise",
        table_sha256=file_digest(table),
        rows=len(made.rows),
        unmatched=len(made.unmatched),
        kept=list(keep or ()),
    )
    text = write_rows(made.columns, made.rows)
    if to is None:
        typer.echo(text, nl=False)
    else:
        write_atomic(to, text)
    if made.dropped:
        typer.echo(f"left out, because they may tell who it is: {', '.join(made.dropped)}", err=True)
    if made.unmatched:
        typer.echo(unmatched_text(made.unmatched), err=True)
    typer.echo(f"{len(made.rows)} of {len(made.rows) + len(made.unmatched)} rows matched", err=True)


def identity_text(identity: "CaseIdentity") -> str:
    """Spell whose case it is, a line per thing that is known."""
    facts = identity_facts(identity)
    lines = [identity.case_id]
    lines += [f"  {name:<17} {value}" for name, value in facts.items() if value and name != "case_id"]
    return "\n".join(lines)


def identity_facts(identity: "CaseIdentity") -> dict[str, str]:
    """Give what is known by its name; a study without a UID is named by its source: a path, or a manifest's case."""
    facts: dict[str, str] = asdict(identity)
    if facts["study_uid"] and not re.fullmatch(r"[0-9.]{1,64}", facts["study_uid"]):
        facts = {"source" if name == "study_uid" else name: value for name, value in facts.items()}
    return facts


def unmatched_text(lines: tuple[int, ...]) -> str:
    """Name lines of a table by their numbers: what stands in them may be an identifier."""
    some = ", ".join(str(line) for line in lines[:50]) + (", ..." if len(lines) > 50 else "")
    return (
        f"no patient of this run, or several, on {len(lines)} line{'' if len(lines) == 1 else 's'} of the table: {some}"
    )


def _identities(out: Path, key_file: Path | None) -> "tuple[OutFolder, tuple[CaseIdentity, ...]]":
    """Open the identities of a run, and make sure that the key is the one that named its cases."""
    from diascope.errors import ConfigError
    from diascope.io.outfolder import OutFolder
    from diascope.io.private import check_key, read_identities
    from diascope.run.key import user_key
    from diascope.run.record import read_record

    folder = OutFolder(out)
    identities = read_identities(folder)
    if not identities:
        raise ConfigError("this folder holds no identities", hint="give the output folder of a run with -o")
    key, record = user_key(key_file), read_record(folder)
    # Cases of a manifest, and of a study that holds two patients, are not named after its UID alone.
    if record is None or record.key_fingerprint != key.fingerprint:
        check_key(identities, key)
    return folder, identities
