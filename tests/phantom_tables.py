"""The tables of the phantom OUT folder, and what its private/ holds."""

from collections.abc import Mapping
from pathlib import Path

from diascope.findings import FORMAT, BundleStamp, CaseReport
from diascope.identity import IdentityKey
from diascope.io.outfolder import OutFolder
from diascope.io.private import write_tables as write_input_tables
from diascope.io.series import CaseIdentity, Catalogue, FileFate, FileRecord
from diascope.run.record import RunRecord, row_of, write_cases, write_measurements, write_record

KEY = IdentityKey(bytes(range(32)))

STRUCTURES = BundleStamp("brain_structures_segmentation", "0.1.0", "a" * 64, "Apache-2.0", research_only=False)
GLIOMA = BundleStamp("flair_glioma_detection", "0.1.0", "b" * 64, "CC BY-NC-SA 4.0 data", research_only=True)
CHEST = BundleStamp("chest_xray_classification", "0.1.0", "c" * 64, "non-commercial data", research_only=True)
MANY = BundleStamp("whole_body_structures", "0.1.0", "d" * 64, "Apache-2.0", research_only=False)

CONFIG_SHA256 = "e" * 64


def write_tables(folder: Path, reports: Mapping[str, CaseReport]) -> tuple[str, ...]:
    """Write run.json, the tables beside it and those of private/; give what may stand in private/ only.

    Args:
        folder: OUT.
        reports: By role.
    """
    out = OutFolder(folder)
    out.create()
    write_record(out, _record())
    write_cases(out, [row_of(report, seconds=1.25) for report in reports.values()])
    write_measurements(
        out, ((report.case_id, number) for report in reports.values() for number in report.measurements or ())
    )
    identities = [_identity(role, report) for role, report in reports.items()]
    files = [_file(f"/scans/{role}.dcm", "used", case_id=report.case_id) for role, report in reports.items()]
    files += [
        _file("/scans/notes.txt", "not_an_image", "text", "a text"),
        _file("/scans/drawn.dcm", "skipped", "segmentation_object", "drawn on an image, not one itself"),
        *(_file(f"/scans/gap/{at}.dcm", "refused", "missing_slices", "slices 4 and 5 are apart") for at in range(10)),
        _file("/scans/torn.dcm", "failed", "truncated_pixels", "1200 of 8192 bytes of pixels"),
        _file("/scans/scout.dcm", "not_selected", "rule", "a localizer"),
    ]
    write_input_tables(out, Catalogue((), (), tuple(files), tuple(identities)))
    telling = [text for one in identities for text in (one.patient_name, one.patient_id, one.study_uid, one.birth_date)]
    return (*telling, *(file.path for file in files))


def _record() -> RunRecord:
    return RunRecord(
        format=FORMAT,
        diascope="0.1.0",
        command="run",
        inputs=1,
        config_name="phantom",
        config={"bundles": [{"name": STRUCTURES.name}, {"name": GLIOMA.name}]},
        config_sha256=CONFIG_SHA256,
        bundles=(STRUCTURES, GLIOMA, CHEST, MANY),
        device="cpu",
        versions={"python": "3.11"},
        key_fingerprint=KEY.fingerprint,
        started="2026-01-02T03:04:05+00:00",
        finished="2026-01-02T03:05:06+00:00",
    )


def _identity(role: str, report: CaseReport) -> CaseIdentity:
    return CaseIdentity(
        case_id=report.case_id,
        patient_key=KEY.patient_key("phantom"),
        patient_id=f"PID-{role}",
        patient_name=f"PHANTOM^{role.upper()}",
        study_uid=f"1.2.826.0.1.3680043.10.999.{role}",
        birth_date="1931-04-05",
    )


def _file(path: str, fate: FileFate, code: str = "", reason: str = "", case_id: str = "") -> FileRecord:
    cure = "send it again" if fate in ("refused", "failed") else ""
    return FileRecord(path, KEY.file_id(path), fate, code, reason, cure, case_id, size_bytes=1200)
