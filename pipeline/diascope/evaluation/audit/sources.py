"""Where an audit's table comes from: an output folder, a csv, or two folders of label maps."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.config import settings_hash
from diascope.errors import ConfigError, InputError
from diascope.evaluation.audit.audit import Evidence
from diascope.evaluation.audit.reviews import read_reviews
from diascope.evaluation.audit.settings import AuditSettings, Masks, Task
from diascope.evaluation.audit.table import FEATURE_PREFIX, read_table
from diascope.evaluation.audit.trend import read_point
from diascope.evaluation.feature_file import feature_file, read_features
from diascope.evaluation.segmentation import compare_masks
from diascope.io.labels.nifti_map import read_nifti_map
from diascope.io.labels.placing import place_on
from diascope.io.outfolder import file_digest

TABLE_OF: dict[Task, str] = {
    "classification": "classification.csv",
    "segmentation": "segmentation.csv",
    "detection": "lesions.csv",
}
"""What `diascope evaluate` writes for each task."""

TABLE_OF_SLICES = "slices.csv"
"""What it writes of single slices."""


def table_of(source: Path, settings: AuditSettings, beside: Path) -> tuple[pd.DataFrame, str]:
    """Read what is to be audited.

    Args:
        source: A csv, an output folder that was evaluated, or a folder of label maps.
        settings: Of the audit.
        beside: Folder that paths in the settings are relative to.

    Returns:
        The table, and the SHA-256 of what it came from.

    Raises:
        InputError: There is nothing to audit, or it cannot be read.
    """
    if source.is_file():
        return read_table(source), file_digest(source)
    if settings.masks is not None:
        return masks_table(source, _beside(settings.masks.truth, beside), settings.masks), _names_digest(source)
    of_slices = settings.task == "classification" and settings.unit == "slice"
    table = source / "evaluation" / (TABLE_OF_SLICES if of_slices else TABLE_OF[settings.task])
    if not table.is_file():
        raise InputError(
            f"the output folder holds no evaluated {settings.task}{' of slices' if of_slices else ''}",
            hint="run diascope evaluate OUT --truth MANIFEST first",
            code="not_evaluated",
        )
    return with_features(read_table(table), source, settings), file_digest(table)


def with_features(frame: pd.DataFrame, source: Path, settings: AuditSettings) -> pd.DataFrame:
    """Add what the network saw of each image (`feature_...`), for the probe.

    Only where all rows that the plan keeps are of one network, and its features are there.
    """
    if not {"case_id", "image_id", "bundle"} <= set(frame.columns):
        return frame
    kept = frame
    for column, value in settings.where.items():
        kept = kept[kept[column].astype(str) == value] if column in kept else kept
    bundles = sorted(set(kept["bundle"].astype(str)))
    if len(bundles) != 1:
        return frame
    vectors: dict[tuple[str, str], NDArray[np.float32]] = {}
    for case_id in dict.fromkeys(kept["case_id"].astype(str)):
        file = source / "cases" / case_id / feature_file(bundles[0])
        vectors |= {(case_id, one.image_id): one.features for one in (read_features(file) if file.is_file() else ())}
    rows = [vectors.get(key) for key in zip(kept["case_id"].astype(str), kept["image_id"].astype(str), strict=True)]
    found = [row for row in rows if row is not None]
    if len(found) < len(rows) or len({len(row) for row in found}) != 1:
        return frame
    names = [f"{FEATURE_PREFIX}{at}" for at in range(len(found[0]))]
    return frame.join(pd.DataFrame(np.stack(found), columns=names, index=kept.index))


def evidence_for(
    source: Path, settings: AuditSettings, beside: Path, before: Mapping[str, str] | None = None
) -> Evidence:
    """Read what is looked at beside the table: reviewers' verdicts and earlier audits.

    Args:
        source: What is audited; an output folder says which cases are doubtful.
        settings: The plan.
        beside: Folder that paths are relative to.
        before: Earlier audits, oldest first: what to call each, and where it is.
    """
    metrics, plan = settings.primary_metrics(), settings_hash(settings)
    earlier = tuple(read_point(_beside(path, beside), name, metrics, plan) for name, path in (before or {}).items())
    if settings.reviews is None:
        return Evidence(earlier=earlier)
    return Evidence(read_reviews(_beside(settings.reviews, beside)), _doubtful(source / "cases.csv"), earlier)


def _doubtful(cases: Path) -> frozenset[str] | None:
    if not cases.is_file():
        return None
    rows = read_table(cases)
    is_first = rows["review_first"].astype(str).str.lower() == "true"
    return frozenset(rows["case_id"].astype(str)[is_first & (rows["status"] == "done")])


def clinical_table(settings: AuditSettings, beside: Path) -> pd.DataFrame | None:
    """Read the clinical table that the plan joins; None if it names none."""
    return read_table(_beside(settings.join.file, beside)) if settings.join else None


def masks_table(predicted: Path, truth: Path, masks: Masks) -> pd.DataFrame:
    """Compare two folders of label maps, file by file.

    Names must agree; an empty label map is a prediction, an absent file is an error.

    Raises:
        InputError: A file has no partner in the other folder, or there is none at all.
    """
    names = sorted(path.name for path in truth.iterdir() if path.is_file()) if truth.is_dir() else []
    if not names:
        raise InputError("the folder of true label maps is empty", code="empty_table")
    if extra := sorted({path.name for path in predicted.iterdir() if path.is_file()} - set(names)):
        raise InputError(f"{len(extra)} predicted label maps have no truth of the same name", code="unmatched_truth")
    rows = []
    for name in names:
        there = read_nifti_map(truth / name, masks.labels)
        if not (predicted / name).is_file():
            raise InputError(
                f"{sum(not (predicted / one).is_file() for one in names)} of {len(names)} truths have no prediction",
                hint="give an empty label map where nothing was drawn",
                code="no_result",
            )
        drawn = place_on(read_nifti_map(predicted / name, masks.labels), there.space)
        scores = compare_masks(drawn, there, tolerance=masks.tolerance)
        rows += [{"case_id": name.split(".")[0], **asdict(score)} for score in scores]
    return pd.DataFrame(rows)


def _beside(name: str, folder: Path) -> Path:
    for path in (folder / name, Path(name)):
        if path.exists():
            return path
    raise ConfigError(
        f"the config names {Path(name).name}, which is not there", hint="paths are relative to the config"
    )


def _names_digest(folder: Path) -> str:
    every = sorted((path.name, file_digest(path)) for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(repr(every).encode()).hexdigest()
