"""Output folders of whole batches, for what is compared between batches."""

from pathlib import Path

import numpy as np

from diascope.evaluation.feature_file import ImageFeatures, feature_file, write_features
from diascope.findings import CaseReport, ImageFacts, ImageRecord, Measurement
from diascope.io.outfolder import OutFolder


def write_batch(root: Path, seed: int, patients: int = 60, *, shifted: bool = False, twice: int = 0) -> OutFolder:
    """Write cases of one network; `shifted` moves scanner, brightness and features, `twice` patients come again."""
    out, rng = OutFolder(root), np.random.default_rng(seed)
    out.create()
    for n in [*range(patients), *range(twice)]:
        case_id = f"case-{len(list(out.cases.iterdir())):03d}"
        facts = ImageFacts(
            modality="MR",
            sex="F" if rng.random() < 0.5 else "M",
            age_years=str(rng.integers(20, 80)),
            manufacturer="NEW" if shifted and rng.random() < 0.7 else "OLD",
            patient_key=f"patient-{n}",
        )
        volume = Measurement("img", "net", "tumour", "volume", float(rng.lognormal(3, 1)), "mm3")
        image = ImageRecord("img", facts, spacing_mm=(0.7, 0.8, 2.5), chosen_for=("net",))
        report = CaseReport(
            case_id, "done", images=(image,), measurements=(volume,), confidence=float(rng.beta(8, 2)),
            confidence_kind="raw",
        )  # fmt: skip
        folder = out.case(case_id)
        folder.mkdir()
        (folder / "case.json").write_text(report.to_json())
        grey = rng.normal(300 if shifted else 200, 30, 9).astype(np.float32)
        vector = (rng.normal(size=12) + (1.5 if shifted else 0)).astype(np.float32)
        write_features(folder / feature_file("net"), [ImageFeatures("net", "img", vector, "bottleneck", grey)])
    return out
