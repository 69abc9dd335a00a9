"""The tables of the phantom OUT folder, and what its private/ holds."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from diascope.findings import FORMAT, BundleStamp, CaseReport
from diascope.identity import IdentityKey

KEY = IdentityKey(bytes(range(32)))
CASES_COLUMNS = ("case_id", "status", "seconds", "confidence", "review_first", "error_code")
MEASUREMENTS_COLUMNS = ("case_id", "image_id", "bundle", "subject", "quantity", "value", "unit")
REJECTS_COLUMNS = ("file_id", "kind", "code", "reason", "cure")

STRUCTURES = BundleStamp("brain_structures_segmentation", "0.1.0", "a" * 64, "Apache-2.0", research_only=False)
GLIOMA = BundleStamp("flair_glioma_detection", "0.1.0", "b" * 64, "CC BY-NC-SA 4.0 data", research_only=True)
CHEST = BundleStamp("chest_xray_classification", "0.1.0", "c" * 64, "non-commercial data", research_only=True)
MANY = BundleStamp("whole_body_structures", "0.1.0", "d" * 64, "Apache-2.0", research_only=False)


def write_tables(folder: Path, reports: Sequence[CaseReport]) -> None:
    """Write run.json and the three tables beside it."""
    write_csv(folder / "cases.csv", CASES_COLUMNS, (_case_row(report) for report in reports))
    rows = (
        (report.case_id, one.image_id, one.bundle, one.subject, one.quantity, one.value, one.unit)
        for report in reports
        for one in report.measurements or ()
    )
    write_csv(folder / "measurements.csv", MEASUREMENTS_COLUMNS, rows)
    rejects = [(KEY.file_id("notes.txt"), "not_an_image", "text", "a text file", "")]
    rejects.append((KEY.file_id("scout.dcm"), "skipped", "localizer", "a localizer", ""))
    rejects += [
        (KEY.file_id(f"gap/{at}.dcm"), "refused", "incomplete_series", "slices 4 and 5 are 5.00 mm apart", "send again")
        for at in range(10)
    ]
    rejects.append((KEY.file_id("torn.dcm"), "failed", "truncated", "1200 of 8192 bytes of pixels", "send again"))
    write_csv(folder / "rejects.csv", REJECTS_COLUMNS, rejects)
    run = {
        "format": FORMAT,
        "diascope_version": "0.1.0",
        "config_sha256": "e" * 64,
        "config": {"bundles": [STRUCTURES.name, GLIOMA.name]},
        "bundles": {stamp.name: stamp.sha256 for stamp in (STRUCTURES, GLIOMA, CHEST, MANY)},
        "versions": {"python": "3.11"},
        "device": "cpu",
        "key_fingerprint": KEY.fingerprint,
        "tracking": None,
    }
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


def _case_row(report: CaseReport) -> tuple[object, ...]:
    code = report.failure.code if report.failure else ""
    return report.case_id, report.status, 1.25, report.confidence, report.review_first, code


def write_private(folder: Path, reports: Mapping[str, CaseReport]) -> tuple[str, ...]:
    """Write private/ and give what may stand nowhere else."""
    private = folder / "private"
    private.mkdir(mode=0o700, exist_ok=True)
    names = {role: f"PHANTOM^{role.upper()}" for role in reports}
    write_csv(
        private / "identity.csv",
        ("case_id", "patient_key", "patient_id", "patient_name", "study_uid"),
        (
            (
                report.case_id,
                KEY.patient_key("phantom"),
                f"PID-{role}",
                names[role],
                f"1.2.826.0.1.3680043.10.999.{role}",
            )
            for role, report in reports.items()
        ),
    )
    write_csv(
        private / "inputs.csv",
        ("path", "sha256", "file_id", "case_id", "image_id", "fate"),
        (
            (f"/scans/{role}.dcm", "0" * 64, KEY.file_id(role), report.case_id, "", "used")
            for role, report in reports.items()
        ),
    )
    return (*names.values(), *(f"PID-{role}" for role in reports), *(f"/scans/{role}.dcm" for role in reports))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
