"""Find all images below the inputs, from headers alone, and account for every file."""

import dataclasses
from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from diascope.findings import Failure
from diascope.io import archives
from diascope.io.decode import readers
from diascope.io.inputs import gather, with_tables
from diascope.io.reader import Context, FoundFile, Grouped
from diascope.io.series import CaseIdentity, Catalogue, FileRecord, Series
from diascope.io.sniff import Head, read_head, unclaimed


def catalogue(inputs: Sequence[Path], context: Context) -> Catalogue:
    """Make series of everything below the inputs; every file is in `files` exactly once.

    Raises:
        InputError: An input does not exist.
    """
    gathered = gather(inputs, context)
    claimed, rest = _claimed(gathered.files, context)
    records = [*gathered.records, *rest]
    grouped = [reader.group(claimed[name], context) for name, reader in readers().items() if claimed[name]]
    return _merged(grouped, records)


def _claimed(files: Sequence[FoundFile], context: Context) -> tuple[dict[str, list[FoundFile]], list[FileRecord]]:
    claimed: dict[str, list[FoundFile]] = defaultdict(list)
    records: list[FileRecord] = []
    every = readers()
    waiting = deque(files)
    while waiting:
        file = waiting.popleft()
        # Only DICOM headers are kept: a file whose header is known need not be opened.
        if context.cache is not None and context.cache.get(file) is not None:
            claimed["dicom"].append(file)
            continue
        try:
            head = read_head(file)
        except OSError as error:
            failure = Failure("cannot_read", f"the system does not let us read it: {error.strerror}", "")
            records.append(context.record(file, "failed", failure))
            continue
        if _is_archive(head, file):
            unpacked = archives.unpack(file, context)
            inside = with_tables(unpacked.files, context)
            waiting.extend(inside.files)
            records += [*unpacked.records, *inside.records]
            continue
        name = next((name for name, reader in every.items() if reader.claims(head.content, file.path.name)), None)
        if name is None:
            records.append(context.record(file, *unclaimed(file, head)))
        else:
            claimed[name].append(file)
    return claimed, records


def _is_archive(head: Head, file: FoundFile) -> bool:
    # The preamble of a DICOM file may look like anything, a zip included.
    return head.raw[128:132] != b"DICM" and archives.claims(head.raw, file.path.name)


def _merged(grouped: Sequence[Grouped], records: Sequence[FileRecord]) -> Catalogue:
    identities = {identity.case_id: identity for part in grouped for identity in part.identities}
    every = [series for part in grouped for series in part.series]
    every = _with_days(every, identities)
    return Catalogue(
        series=tuple(sorted(every, key=lambda series: (series.case_id, series.image_id))),
        refused=tuple(
            sorted(
                (image for part in grouped for image in part.refused), key=lambda image: (image.case_id, image.image_id)
            )
        ),
        files=tuple(sorted([*records, *(row for part in grouped for row in part.files)], key=lambda row: row.path)),
        identities=tuple(identities[case_id] for case_id in sorted(identities)),
    )


def _with_days(every: Sequence[Series], identities: dict[str, CaseIdentity]) -> list[Series]:
    """Fill in the days since the patient's first study: the dates themselves stay behind."""
    days = {case_id: _date(identity.study_date) for case_id, identity in identities.items()}
    first: dict[str, date] = {}
    for case_id, identity in identities.items():
        day = days[case_id]
        if day is not None and identity.patient_key:
            first[identity.patient_key] = min(day, first.get(identity.patient_key, day))
    filled = []
    for series in every:
        owner, day = identities.get(series.case_id), days.get(series.case_id)
        if owner is not None and day is not None and owner.patient_key in first:
            facts = dataclasses.replace(series.facts, days_since_first=(day - first[owner.patient_key]).days)
            series = dataclasses.replace(series, facts=facts)  # noqa: PLW2901 - the same series, completed
        filled.append(series)
    return filled


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
