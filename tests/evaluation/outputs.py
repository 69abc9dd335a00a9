"""Output folders made on the spot, with truth beside them."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diascope.findings import (
    BundleStamp,
    CaseReport,
    Failure,
    Finding,
    ImageFacts,
    ImageRecord,
    Label,
    Prediction,
    Segmentation,
)
from diascope.geometry import Grid, Space
from diascope.io.outfolder import OutFolder
from diascope.io.write_nifti import write_mask, write_volume
from diascope.volume import Mask, Volume

SHAPE = (9, 11, 7)
GRID = Grid(SHAPE, np.array([[0.7, 0, 0, 5], [0, -0.8, 0, 9], [0, 0, 2.5, -3], [0, 0, 0, 1.0]]))
LABELS = {1: "tumour", 2: "edema"}


def map_of(*blocks: tuple[int, tuple[int, int, int], tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Blocks of (value, first voxel, size)."""
    data = np.zeros(SHAPE, dtype=np.uint8)
    for value, at, size in blocks:
        data[tuple(slice(a, a + s) for a, s in zip(at, size, strict=True))] = value
    return data


def write_case(
    out: OutFolder,
    case_id: str,
    predicted: NDArray[np.uint8] | None,
    *,
    findings: tuple[Finding, ...] | None = None,
    scores: dict[str, float] | None = None,
    patient: str | None = None,
    space: Space = GRID,
    is_stored: bool = False,
    chosen_for: tuple[str, ...] = (),
    slices: dict[str, list[float]] | None = None,
    probability: NDArray[np.uint8] | None = None,
    is_averaged: bool = False,
) -> None:
    """Write a case with one image and what one network made of it."""
    folder = out.case(case_id)
    folder.mkdir(parents=True)
    image_id = f"img-{case_id}"
    segmentations = None
    if predicted is not None:
        write_mask(folder / "net.seg.nii.gz", Mask(predicted, space, LABELS))
        labels = tuple(Label(value, name, "#00ff00") for value, name in LABELS.items())
        kept = ()
        if probability is not None:
            write_volume(folder / "net.probability.tumour.nii.gz", Volume(probability, space, ImageFacts(), image_id))
            kept = (("tumour", "net.probability.tumour.nii.gz"),)
        segmentations = (Segmentation("net", image_id, "net.seg.nii.gz", labels, probabilities=kept),)
    stored = f"{image_id}.nii.gz" if is_stored or slices else None
    if stored:
        data = np.zeros(space.shape, np.float32)
        write_volume(folder / stored, Volume(data, space, ImageFacts(modality="MR"), image_id))
    facts = ImageFacts(sex="F", manufacturer="SIEMENS", patient_key=patient, extra=(("clinic", "north"),))
    predictions = tuple(Prediction("net", image_id, target, score) for target, score in (scores or {}).items())
    predictions += tuple(
        Prediction("net", image_id, target, score, slice_k=k)
        for target, of_slices in (slices or {}).items()
        for k, score in enumerate(of_slices)
    )
    report = CaseReport(
        case_id,
        "done",
        images=(ImageRecord(image_id, facts, chosen_for=chosen_for, stored=stored),),
        bundles=(BundleStamp("net", "1", "0" * 64, "MIT", research_only=False, is_averaged=is_averaged),),
        segmentations=segmentations,
        findings=findings,
        predictions=predictions or None,
    )
    (folder / "case.json").write_text(report.to_json())


def write_failed_case(out: OutFolder, case_id: str) -> None:
    """Write a case that failed."""
    out.case(case_id).mkdir(parents=True)
    failure = Failure("incomplete_series", "slices 2 and 3 of 9 are 5 mm apart", "send it again")
    (out.case(case_id) / "case.json").write_text(CaseReport(case_id, "failed", failure=failure).to_json())


def write_truth(folder: Path, rows: list[dict[str, object]]) -> Path:
    """Write the truth's maps and their manifest; a map is given as an array or a Mask."""
    folder.mkdir(exist_ok=True)
    lines = []
    for at, row in enumerate(rows):
        truth = row.get("truth")
        mask = Mask(truth, GRID, LABELS) if isinstance(truth, np.ndarray) else truth
        if isinstance(mask, Mask):
            write_mask(folder / f"truth{at}.nii.gz", mask)
        lines.append({**row, "truth": f"truth{at}.nii.gz"} if isinstance(mask, Mask) else row)
    columns = list(dict.fromkeys(name for row in lines for name in row))
    with (folder / "truth.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(lines)
    return folder / "truth.csv"
