"""Whether a run made of the demo cohort what was planted in it."""

from collections.abc import Iterable, Mapping

from diascope.demo.planted import Cohort, PlantedCase
from diascope.identity import IdentityKey
from diascope.io.series import FileRecord
from diascope.run.record import CaseRow


def find_surprises(
    cohort: Cohort, key: IdentityKey, rows: Mapping[str, CaseRow], files: Iterable[FileRecord]
) -> tuple[str, ...]:
    """Compare what came out with what was planted.

    Args:
        cohort: What was planted.
        key: Of the run.
        rows: How each case ended, by case_id.
        files: The fate of each file.

    Returns:
        A sentence for each thing that is not as planted; none if all is.
    """
    fates = {file.path: file for file in files}
    wrong = [
        sentence for case in cohort.cases if (sentence := _case_surprise(case, rows.get(key.case_id(case.key)), fates))
    ]
    unknown = sorted(set(rows) - {key.case_id(case.key) for case in cohort.cases})
    wrong += [f"{case_id} is no planted case" for case_id in unknown]
    strays = [fates[str(path)] for path in cohort.not_images if str(path) in fates]
    wrong += [f"{file.file_id} is no image, but {file.fate}" for file in strays if file.fate != "not_an_image"]
    if len(fates) != len(cohort.files):
        wrong.append(f"{len(cohort.files)} files were written, {len(fates)} are accounted for")
    return tuple(wrong)


def _case_surprise(case: PlantedCase, row: CaseRow | None, fates: Mapping[str, FileRecord]) -> str:
    if row is None:
        return f"{case.name} has no case"
    if case.expected == "done":
        return "" if row.status == "done" else f"{case.name} is {row.status} ({row.code or row.reason}), expected done"
    codes = {fates[str(path)].code for series in case.series for path in series.files if str(path) in fates}
    if row.status != "failed" or case.expected_code not in {row.code, *codes}:
        return f"{case.name} is {row.status} ({row.code}), expected to be {case.expected} with {case.expected_code}"
    return ""
