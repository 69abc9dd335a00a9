"""An output folder as a run leaves it, small and with every kind of ending."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from diascope.findings import (
    BundleStamp,
    CaseReport,
    Failure,
    ImageFacts,
    ImageRecord,
    Measurement,
)
from diascope.imaging.preview import encode_png
from diascope.io.outfolder import OutFolder, write_atomic
from diascope.run.record import RunRecord, row_of, write_cases, write_measurements, write_record

BRAIN = BundleStamp("brain_structures_segmentation", "0.1.0", "ab" * 32, "Apache-2.0", research_only=False)
GLIOMA = BundleStamp("flair_glioma_segmentation", "0.2.0", "cd" * 32, "CC BY-NC-SA 4.0", research_only=True)

RECORD = RunRecord(
    format=1,
    diascope="0.1.0",
    command="run",
    inputs=1,
    config_name="brain_mri",
    config={"device": "cpu", "bundles": [{"name": BRAIN.name}, {"name": GLIOMA.name}]},
    config_sha256="ef" * 32,
    bundles=(BRAIN, GLIOMA),
    device="cpu, 2 cores",
    versions={"python": "3.11.9", "system": "Linux x86_64", "torch": "2.13.0", "monai": "1.6.1", "numpy": "2.4.6"},
    key_fingerprint="0123456789abcdef",
    started="2026-11-20T06:00:00+00:00",
    finished="2026-11-20T06:05:00+00:00",
)

REJECTS = """file_id,kind,code,reason,cure
file-000000000000001,refused,incomplete_series,slices 4 and 5 of 20 are 10.00 mm apart,send the series again
file-000000000000002,refused,incomplete_series,slices 4 and 5 of 20 are 10.00 mm apart,send the series again
file-000000000000003,not_an_image,text,a text file,
file-000000000000004,failed,unreadable,the file ends after 12 bytes,copy it again
"""


def write_finished_run(
    root: Path, done: int = 3, record: RunRecord = RECORD, doubtful: Collection[int] = (1,)
) -> OutFolder:
    """Write a run: some cases done, some of them doubtful, one failed, one without anything to do."""
    out = OutFolder(root)
    out.create()
    reports = [_done(number, is_doubtful=number in doubtful) for number in range(1, done + 1)]
    reports += [
        CaseReport(
            case_id(0xF00),
            "failed",
            failure=Failure("no_geometry", "img-000000000000090 has an IndexGrid", "give a header"),
        ),
        CaseReport(
            case_id(0xF01),
            "nothing_to_do",
            images=(ImageRecord("img-000000000000091", ImageFacts(), not_chosen=("b: no MR",)),),
        ),
    ]
    for report in reports:
        folder = out.case(report.case_id)
        folder.mkdir(parents=True)
        (folder / "case.json").write_text(report.to_json())
        if report.status == "done":
            (folder / "preview.png").write_bytes(encode_png(_picture(report.case_id)))
    write_cases(out, [row_of(report, 1.5) for report in reports])
    write_measurements(out, [(report.case_id, row) for report in reports for row in report.measurements or ()])
    write_atomic(out.rejects_csv, REJECTS)
    write_record(out, record)
    return out


def case_id(number: int) -> str:
    """A keyed id, as far as its form goes."""
    return f"case-{number:015x}"


def _done(number: int, *, is_doubtful: bool) -> CaseReport:
    image = f"img-{number:015x}"
    return CaseReport(
        case_id(number),
        "done",
        images=(ImageRecord(image, ImageFacts(modality="MR")),),
        bundles=(BRAIN, GLIOMA),
        measurements=(
            Measurement(image, BRAIN.name, "white_matter", "volume", 400_000.0 + 1000 * number, "mm3"),
            Measurement(image, BRAIN.name, "white_matter", "mean_intensity", 100.0 + number, "source"),
            Measurement(image, GLIOMA.name, "tumour", "volume", 0.0 if number == 1 else 12.5 * number, "mm3"),
            Measurement(image, GLIOMA.name, "tumour", "mean_intensity", None if number == 1 else 70.0, "source"),
        ),
        confidence=0.5 + 0.1 * min(number, 4),
        confidence_kind="raw",
        review_first=is_doubtful,
        review_reasons=("flair_glioma_segmentation drew nothing",) if is_doubtful else (),
    )


def _picture(name: str) -> np.ndarray:
    """(60, 90, 3) uint8, another one for each case."""
    return np.random.default_rng(int(name[-3:], 16)).integers(0, 255, (60, 90, 3)).astype(np.uint8)
