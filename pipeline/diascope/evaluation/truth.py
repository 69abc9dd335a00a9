"""The truth manifest: which truth belongs to which case of an output folder.

A csv with a header. `case` names a case by its case_id, by the `case` of the input
manifest, by the patient's record number or key, or by the path of an input file.
Then either `truth` (a label map, relative to the csv) or `target` and `positive`
(0 or 1). `image_id` or `file` says which image, where a case has several; `label`
names the only structure of the map.
"""

import csv
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diascope.errors import InputError
from diascope.io.damage import damage_of
from diascope.io.outfolder import OutFolder
from diascope.io.private import read_identities, read_inputs

CASE_PREFIX = "case-"
"""How our own ids of cases begin (`identity`): such a name is nobody's number."""

COLUMNS = ("case", "truth", "image_id", "file", "label", "target", "positive")


@dataclass(frozen=True, slots=True)
class TruthRow:
    """One row of the manifest.

    Attributes:
        line: Its line in the csv, for messages: what it names may be an identifier.
        case: Who is meant, as written.
        image: image_id or path of an input file; empty if not said.
        label_map: The truth's file; None for a class.
        label: Name of the only structure of the map; empty if not said.
        target: Class; empty for a label map.
        is_positive: Whether the class is there; None for a label map.
    """

    line: int
    case: str
    image: str = ""
    label_map: Path | None = None
    label: str = ""
    target: str = ""
    is_positive: bool | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What a row of the manifest means in an output folder.

    Attributes:
        case_id: The case.
        image_id: The image; empty if the row leaves it open.
    """

    case_id: str
    image_id: str = ""


def read_truth_table(path: Path) -> tuple[TruthRow, ...]:
    """Read the truth manifest.

    Raises:
        InputError: It cannot be read, has unknown columns, or a row says too little.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"the truth manifest cannot be read: {damage_of(error)}",
            hint="a csv with the columns case and truth, see docs/metrics.md",
            code="bad_manifest",
        ) from None
    columns = list(reader.fieldnames or ())
    if "case" not in columns or not {"truth", "positive"} & set(columns):
        raise InputError(
            f"a truth manifest needs the columns case and truth (or target and positive), this one has {columns}",
            hint=f"columns that are understood: {', '.join(COLUMNS)}",
            code="bad_manifest",
        )
    return tuple(_row(line, values, path.parent) for line, values in enumerate(rows, start=2))


class Places:
    """Finds the case and image that a row of the manifest means."""

    def __init__(self, out: OutFolder) -> None:
        """Read which cases there are, and whose they are."""
        self._cases = {folder.name for folder in out.cases.iterdir()} if out.cases.is_dir() else set()
        self._files = {row.path: Place(row.case_id, row.image_id) for row in read_inputs(out) if row.case_id}
        self._names: dict[str, set[str]] = {}
        for one in read_identities(out):
            for name in (one.study_uid, one.patient_id, one.patient_key, one.accession_number):
                if name:
                    self._names.setdefault(name, set()).add(one.case_id)

    def find(self, row: TruthRow, folder: Path) -> Place:
        """Say which case and image a row means.

        Args:
            row: Of the manifest.
            folder: Of the manifest: paths in it are relative to it.

        Raises:
            InputError: No case, or several, are meant.
        """
        image = self._image(row.image, folder)
        if row.case in self._cases:
            return Place(row.case, image.image_id)
        if by_file := self._file(row.case, folder):
            return Place(by_file.case_id, image.image_id or by_file.image_id)
        meant = self._names.get(row.case, set())
        if image.case_id:
            meant = meant & {image.case_id} if meant else {image.case_id}
        if len(meant) != 1:
            raise self._unmatched(row, len(meant))
        return Place(next(iter(meant)), image.image_id)

    def _unmatched(self, row: TruthRow, meant: int) -> InputError:
        where = f"line {row.line} of the truth manifest"
        if meant:
            return InputError(
                f"{where} could mean each of {meant} cases of the output folder",
                hint="name the case_id of cases.csv, or an input file in the column file",
                code="unmatched_truth",
            )
        # What was written may be a patient's number: it is repeated only where it looks like one of our own ids.
        said = f": {row.case} is not there" if row.case.startswith(CASE_PREFIX) else ""
        close = difflib.get_close_matches(row.case, self._cases, n=1) if said else []
        asked = f"did you mean {close[0]}? " if close else ""
        return InputError(
            f"{where} names none of the {len(self._cases)} cases of the output folder{said}",
            hint=f"{asked}name a case_id of cases.csv, the case of the input manifest, or an input file",
            code="unmatched_truth",
        )

    def _image(self, image: str, folder: Path) -> Place:
        if not image:
            return Place("")
        return self._file(image, folder) or Place("", image)

    def _file(self, name: str, folder: Path) -> Place | None:
        for path in (Path(name), folder / name):
            if found := self._files.get(str(path)) or self._files.get(str(path.resolve())):
                return found
        return None


def _row(line: int, values: Mapping[str, str | None], folder: Path) -> TruthRow:
    said = {column: (values.get(column) or "").strip() for column in COLUMNS}
    if not said["case"] or not (said["truth"] or (said["target"] and said["positive"])):
        raise InputError(
            f"line {line} of the truth manifest names no case, or no truth",
            hint="fill case, and truth (or target and positive)",
            code="bad_manifest",
        )
    return TruthRow(
        line=line,
        case=said["case"],
        image=said["image_id"] or said["file"],
        label_map=folder / said["truth"] if said["truth"] else None,
        label=said["label"],
        target=said["target"],
        is_positive=_truth_value(line, said["positive"]) if said["target"] else None,
    )


def _truth_value(line: int, text: str) -> bool:
    spelled = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in spelled:
        raise InputError(
            f"line {line} of the truth manifest: positive must be 0 or 1, got {text!r}", code="bad_manifest"
        )
    return spelled[text.lower()]
