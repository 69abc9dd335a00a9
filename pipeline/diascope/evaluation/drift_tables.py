"""Two output folders side by side: what moved between a reference batch and this one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.evaluation.conformal import one_per_patient
from diascope.evaluation.drift import Moved, drift, drift_of_vectors, with_holm
from diascope.evaluation.feature_file import STATISTICS, SUFFIX, read_features
from diascope.findings import CaseReport, ImageRecord, read_report
from diascope.image_facts import SCAN_FACTS
from diascope.io.outfolder import OutFolder

Floats = NDArray[np.float64]

# With fewer, no test finds anything, and a shift of one patient looks large.
FEWEST_PATIENTS = 10


@dataclass(frozen=True, slots=True, eq=False)
class DriftTable:
    """An output folder as rows.

    Attributes:
        columns: One row per case: metadata, image statistics, confidence, volumes.
        patients: Whose case each row is.
        features: By network and layer, (n, d) vectors and whose they are.
    """

    columns: pd.DataFrame
    patients: tuple[str, ...]
    features: Mapping[str, tuple[Floats, tuple[str, ...]]]


def drift_table(out: OutFolder) -> DriftTable:
    """Read what can move from an output folder; cases without a result are left out.

    Raises:
        InputError: The folder holds too few patients with results.
    """
    rows, patients = [], []
    vectors: dict[str, list[tuple[NDArray[np.float32], str]]] = {}
    for file in sorted(out.cases.glob("[!.]*/case.json")):
        report = read_report(file)
        if report.status != "done":
            continue
        patient = _patient(report)
        row = _row(report)
        for seen in (one for path in sorted(file.parent.glob(f"*{SUFFIX}")) for one in read_features(path)):
            row |= {
                f"{seen.bundle}: grey value {name}": float(value)
                for name, value in zip(STATISTICS, seen.statistics, strict=True)
            }
            vectors.setdefault(f"{seen.bundle}: features of {seen.layer}", []).append((seen.features, patient))
        rows.append(row)
        patients.append(patient)
    if (people := len(set(patients))) < FEWEST_PATIENTS:
        raise InputError(
            f"{people} patients with results are too few to compare, {FEWEST_PATIENTS} are needed in each folder",
            code="too_few_patients",
        )
    features = {
        name: (np.stack([vector for vector, _ in of]).astype(np.float64), tuple(who for _, who in of))
        for name, of in vectors.items()
    }
    return DriftTable(pd.DataFrame(rows), tuple(patients), features)


def compare_folders(reference: OutFolder, batch: OutFolder, rng: np.random.Generator) -> tuple[Moved, ...]:
    """Compare two output folders column by column and feature by feature, what moved most first.

    Args:
        reference: The folder that is taken for usual.
        batch: The folder that is asked about.
        rng: Picks one case of each patient, and deals for the tests.

    Raises:
        InputError: One of them holds too few patients with results.
    """
    before, after = drift_table(reference), drift_table(batch)
    kept = [
        table.columns.iloc[one_per_patient(table.patients, rng)].reset_index(drop=True) for table in (before, after)
    ]
    shared = [name for name in kept[0] if name in kept[1] and _says_something(kept[0][name], kept[1][name])]
    found = list(drift(kept[0][shared], kept[1][shared], rng))
    for name in before.features.keys() & after.features.keys():
        sides = [features[one_per_patient(who, rng)] for features, who in (before.features[name], after.features[name])]
        if sides[0].shape[1] == sides[1].shape[1]:
            words = f"{name} lie elsewhere than those of the reference"
            found.append(replace(drift_of_vectors(sides[0], sides[1], rng), name=name, words=words))
    return tuple(sorted(with_holm(found), key=lambda one: (not one.has_moved, one.p_holm, -(one.psi or 0.0), one.name)))


def _row(report: CaseReport) -> dict[str, Any]:
    image = _image(report)
    row: dict[str, Any] = {}
    if image is not None:
        row |= {name: getattr(image.facts, name) for name in SCAN_FACTS}
        row["age_years"] = _age(image.facts.age_years)
        if image.spacing_mm:
            row |= {f"spacing_{axis}_mm": step for axis, step in zip("ijk", image.spacing_mm, strict=False)}
    row["confidence"] = report.confidence
    row["out_of_distribution"] = report.out_of_distribution
    row["findings"] = None if report.findings is None else float(len(report.findings))
    for one in report.measurements or ():
        if one.quantity == "volume":
            row[f"{one.bundle}: volume of {one.subject}"] = one.value
    for said in report.predictions or ():
        if said.slice_k is None:
            row[f"{said.bundle}: score of {said.target}"] = said.score
    return row


def _image(report: CaseReport) -> ImageRecord | None:
    return next((image for image in report.images if image.chosen_for), None)


def _age(text: str | None) -> float | None:
    return float(text.rstrip("+")) if text else None


def _patient(report: CaseReport) -> str:
    return next((image.facts.patient_key for image in report.images if image.facts.patient_key), report.case_id)


def _says_something(before: pd.Series, after: pd.Series) -> bool:
    # What is empty or one value on both sides cannot have moved, and would only cost the others power.
    return len(pd.concat([before, after]).drop_duplicates()) > 1
