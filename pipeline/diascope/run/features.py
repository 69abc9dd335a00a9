"""What networks saw of a case: kept beside its results, and compared with what is usual for them."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo
from diascope.evaluation.feature_file import (
    STATISTICS,
    SUFFIX,
    ImageFeatures,
    feature_file,
    read_features,
    write_features,
)
from diascope.evaluation.out_of_distribution import Yardstick, read_reference, score_batch
from diascope.findings import read_report
from diascope.io.outfolder import OutFolder
from diascope.run.record import CaseRow
from diascope.tasks.uncertainty import Averaged
from diascope.volume import Volume

# Percentiles of a million voxels are those of a hundred million.
MOST_VOXELS = 1_000_000


def image_statistics(volume: Volume) -> NDArray[np.float32]:
    """Sum up the grey values of an image, in the order of `evaluation.feature_file.STATISTICS`.

    Voxels that hold no number are left out; of large images every n-th voxel is looked at.
    """
    values = volume.data.ravel(order="K")[:: max(1, volume.data.size // MOST_VOXELS)].astype(np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return np.full(len(STATISTICS), np.nan, dtype=np.float32)
    parts = np.percentile(values, (1, 5, 25, 50, 75, 95, 99))
    return np.array([values.mean(), values.std(), *parts], dtype=np.float32)


def features_of(pairs: Iterable[tuple[BundleInfo, Volume]], averaged: Iterable[Averaged]) -> tuple[ImageFeatures, ...]:
    """Put together what each network saw of each image it was given; both in the same order.

    A network without a map (see `tasks.features`) saw nothing that can be kept.
    """
    return tuple(
        ImageFeatures(bundle.name, volume.image_id, one.features, one.layer, image_statistics(volume))
        for (bundle, volume), one in zip(pairs, averaged, strict=True)
        if one.features is not None
    )


def distance_from_reference(seen: ImageFeatures, bundle: BundleInfo) -> float | None:
    """Say how far an image lies from the reference of its network; None where that has none."""
    yardstick = _yardstick(bundle.folder, bundle.sha256)
    if yardstick is None or yardstick.reference.layer != seen.layer:
        return None
    return round(yardstick.score(seen.features), 4)


def farthest(seen: Iterable[ImageFeatures], bundles: Mapping[str, BundleInfo]) -> float | None:
    """Say how far the oddest image of a case lies from the reference of its network."""
    distances = [distance_from_reference(one, bundles[one.bundle]) for one in seen]
    return max((value for value in distances if value is not None), default=None)


def write_seen(folder: Path, seen: Sequence[ImageFeatures]) -> None:
    """Write the features of a case, a file per network."""
    for bundle in dict.fromkeys(one.bundle for one in seen):
        write_features(folder / feature_file(bundle), [one for one in seen if one.bundle == bundle])


def with_batch_distances(out: OutFolder, rows: Iterable[CaseRow]) -> list[CaseRow]:
    """Compare the cases of a batch with each other, where their network brings no reference.

    Args:
        out: The output folder.
        rows: Of cases.csv.

    Returns:
        The rows; the odd ones out of a batch that is large enough are to be reviewed first.
    """
    every = list(rows)
    alone = [row.case_id for row in every if row.status == "done" and row.out_of_distribution is None]
    distances = _distances_in_batch(out, alone)

    def compared(row: CaseRow) -> CaseRow:
        if (distance := distances.get(row.case_id)) is None:
            return row
        is_odd = row.review_first or distance > 1
        return replace(row, out_of_distribution=distance, compared_with="batch", review_first=is_odd)

    return [compared(row) for row in every]


def _distances_in_batch(out: OutFolder, case_ids: Iterable[str]) -> dict[str, float]:
    rows: dict[tuple[str, str, int], list[tuple[str, str, ImageFeatures]]] = {}
    for case_id in case_ids:
        files = sorted(out.case(case_id).glob(f"*{SUFFIX}"))
        patient = _patient(out.case(case_id)) if files else ""
        for one in (seen for file in files for seen in read_features(file)):
            rows.setdefault((one.bundle, one.layer, len(one.features)), []).append((case_id, patient, one))
    found: dict[str, float] = {}
    for of_network in rows.values():
        vectors = np.stack([one.features for _, _, one in of_network]).astype(np.float64)
        scores = score_batch(vectors, [patient for _, patient, _ in of_network])
        if scores is not None:
            for (case_id, _, _), score in zip(of_network, scores.tolist(), strict=True):
                found[case_id] = max(round(score, 4), found.get(case_id, 0.0))
    return found


@functools.lru_cache(maxsize=8)
def _yardstick(folder: Path, sha256: str) -> Yardstick | None:
    del sha256  # part of the cache's key only: another bundle in the same place is another reference
    reference = read_reference(folder)
    return None if reference is None else Yardstick(reference)


def _patient(folder: Path) -> str:
    images = read_report(folder / "case.json").images
    return next((image.facts.patient_key for image in images if image.facts.patient_key), folder.name)
