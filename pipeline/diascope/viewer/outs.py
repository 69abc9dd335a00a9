"""The output folders that are shown; nothing in them is changed but what reviewers add."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diascope.errors import InputError, PipelineError
from diascope.findings import CaseReport, read_report
from diascope.io.outfolder import OutFolder
from diascope.viewer.answers import Problem

_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ServedOut:
    """An output folder that is shown.

    Attributes:
        out_id: Short name in addresses.
        folder: Where it is.
        title: For people.
    """

    out_id: str
    folder: OutFolder
    title: str

    def case_folder(self, case_id: str) -> Path:
        """Find the folder of a case.

        Raises:
            Problem: There is none.
        """
        if not _CASE_ID.fullmatch(case_id) or not (self.folder.case(case_id) / "case.json").is_file():
            raise Problem("no_such_case", "there is no case of this name", "go back to the worklist")
        return self.folder.case(case_id)

    def report(self, case_id: str) -> tuple[CaseReport, str]:
        """Read the report of a case, with the SHA-256 of case.json: what a verdict belongs to.

        Raises:
            Problem: There is no such case, or its report cannot be read.
        """
        file = self.case_folder(case_id) / "case.json"
        try:
            return read_report(file), hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError:
            raise Problem("no_such_case", "the case went away", "go back to the worklist") from None
        except PipelineError as error:
            cure = error.hint or "the file was cut short: run the case again (`diascope run` with the same command)"
            raise Problem(error.code, error.message, cure) from None

    def run_facts(self) -> dict[str, Any]:
        """Read run.json; empty where it is missing or unreadable, which is no reason to show nothing."""
        try:
            facts = json.loads(self.folder.run_json.read_bytes())
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}


def open_outs(folders: Sequence[Path]) -> tuple[ServedOut, ...]:
    """Take the folders to show.

    Raises:
        InputError: One is no output folder.
    """
    found: dict[str, ServedOut] = {}
    for folder in folders:
        out = OutFolder(folder)
        if not out.cases.is_dir():
            raise InputError(
                "this folder holds no results: it has no folder `cases`",
                hint="give the folder that `diascope run -o` wrote",
                code="no_results",
            )
        name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:_MOST_DIGITS] or "out"
        out_id, at = name, 1
        while out_id in found:
            if found[out_id].folder.root.resolve() == folder.resolve():
                break
            at += 1
            out_id = f"{name}-{at}"
        found[out_id] = ServedOut(out_id, out, folder.resolve().name)
    return tuple(found.values())


def inside(folder: Path, file: str) -> Path:
    """Find a file that a report names below its case folder.

    Raises:
        Problem: It is not there, or would lie elsewhere.
    """
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Problem("missing_file", "the report names a file outside of its case", "run the case again")
    if not path.is_file():
        raise Problem("missing_file", "the file is missing", "run the case again; `store_images` keeps the images")
    return path
