"""What every reader shares: records, releases, and codes that the manual explains."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from diascope.errors import IncompleteSeries, InputError
from diascope.findings import Failure
from diascope.io.reader import Context, FoundFile, IngestSettings, failure_of
from tests.io.reading import KEY

FILE = FoundFile(Path("/scans/a/IM1"), "/scans/a/IM1", 17, 0)


def context(**settings: object) -> Context:
    return Context(KEY, IngestSettings(**settings))  # type: ignore[arg-type]


def test_a_record_names_the_file_by_its_keyed_id_and_keeps_the_path_for_private() -> None:
    record = context().record(FILE, "failed", Failure("corrupt", "what was seen", "what helps"))

    assert (record.path, record.file_id, record.size_bytes) == ("/scans/a/IM1", KEY.file_id("/scans/a/IM1"), 17)
    assert (record.fate, record.code, record.reason, record.cure) == (
        "failed",
        "corrupt",
        "what was seen",
        "what helps",
    )


@pytest.mark.parametrize(
    ("file", "is_released"),
    [
        (KEY.file_id("/scans/a/IM1"), True),
        ("/scans/a/*", True),
        ("/scans/a/IM1", True),
        ("/scans/b/*", False),
        ("IM1", False),
    ],
)
def test_a_file_is_released_by_its_id_or_its_path(file: str, is_released: bool) -> None:
    rule = context(release=[{"file": file, "reason": "seen"}]).released(FILE)

    assert (rule is not None) == is_released


def test_a_release_without_a_reason_is_no_setting() -> None:
    with pytest.raises(ValidationError):
        IngestSettings(release=[{"file": "x", "reason": ""}])  # type: ignore[list-item]


def test_an_error_becomes_a_failure_with_its_code_and_cure() -> None:
    assert failure_of(InputError("seen", hint="cure", code="corrupt")) == Failure("corrupt", "seen", "cure")
    assert failure_of(IncompleteSeries("seen")).code == "incomplete_series"


def test_at_least_one_process_reads() -> None:
    assert context().processes >= 1
    assert context(processes=3).processes == 3


def test_the_manual_explains_every_code_of_dicom_and_nifti(repository: Path) -> None:
    package = repository / "pipeline" / "diascope" / "io"
    sources = [*(package / "dicom").glob("*.py"), package / "nifti.py", package / "sniff.py", package / "files.py"]
    codes = {
        code
        for source in sources
        for code in re.findall(r'(?:code=|Failure\(\s*)"([a-z_0-9]+)"', source.read_text(encoding="utf-8"))
    } - {"not_dicom"}  # a mistake in our own code, not in a file
    assert len(codes) > 25

    manual = (repository / "docs" / "ingestion.md").read_text(encoding="utf-8")

    assert {code for code in codes if f"`{code}`" not in manual} == set()
