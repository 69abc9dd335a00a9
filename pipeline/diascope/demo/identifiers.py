"""Every string in the cohort that tells who somebody is.

Only what is long enough to be searched for: an age such as 093Y would turn up by
chance in every compressed image.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from diascope.demo.people import Visit


def identifiers_of(scans: Path, files: Sequence[Path], visits: Sequence[Visit], uids: Iterable[str]) -> tuple[str, ...]:
    """List them, each once, in the spellings that occur.

    Args:
        scans: The folder the files are in; its own path is one.
        files: All of them.
        visits: Who was where, when.
        uids: Of studies, series, frames and instances.
    """
    found = {str(scans), *uids}
    for visit in visits:
        found.update(_of_visit(visit))
    for file in files:
        found.update(_of_path(file.relative_to(scans)))
    return tuple(sorted(found))


def _of_visit(visit: Visit) -> Iterator[str]:
    person, machine = visit.person, visit.machine
    yield from (person.dicom_name, person.folder_name, person.record_number)
    for word in (person.family_name, person.given_name, person.ascii_name, *machine.physician.split("^")):
        # Upper case in headers, capitalised in free text.
        yield from (form for form in (word, word.title()) if form)
    for day in (person.birth_date, visit.on):
        yield from (day.strftime("%Y%m%d"), day.isoformat())
    yield from (visit.accession_number, machine.institution, machine.station, machine.serial_number, machine.physician)


def _of_path(relative: Path) -> Iterator[str]:
    # A bare file name such as IM_0001 tells nothing; with its folder it does.
    for path in (relative, *relative.parents[:-1]):
        if path.parent != Path() or path.suffixes == [".nii", ".gz"]:
            yield str(path)
