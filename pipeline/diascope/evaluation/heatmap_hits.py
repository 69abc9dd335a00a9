"""Do the heatmaps of a run lie where the lesions truly are? A row per map, for tables, subgroups and lesion sizes.

Only the slices that were explained are compared: a network that answers slice by slice
is explained in one or a few of them, and its map says nothing about the others. A map
whose explained slices hold no truth has missed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diascope.evaluation.localisation import Localisation, localisation
from diascope.evaluation.proportions import wilson
from diascope.findings import CaseReport, HeatmapRecord, Trust
from diascope.geometry import Grid
from diascope.imaging.upsampling import map_affines, map_on_grid
from diascope.io.read_heatmap import read_heatmap
from diascope.volume import Heatmap, Mask


@dataclass(frozen=True, slots=True)
class HeatmapHit:
    """A heatmap compared with the truth.

    Attributes:
        bundle: Whose answer is explained.
        image_id: Of which image.
        file: Of the map, below the case folder.
        label: The true label that the map's target stands for.
        method: How it was made.
        trust: Its verdict, made without the truth.
        where: How well it lies on the truth, in the slices that were explained.
        truth_mm3: Volume of the truth, in voxels off a Grid.
    """

    bundle: str
    image_id: str
    file: str
    label: str
    method: str
    trust: Trust
    where: Localisation
    truth_mm3: float


@dataclass(frozen=True, slots=True)
class HitRate:
    """How often the highest place of a map lies in the lesion.

    Attributes:
        maps: Compared with a truth.
        hits: How many hit.
        low: Of the share's 95 % interval (Wilson).
        high: Of it.
    """

    maps: int
    hits: int
    low: float
    high: float


def heatmap_hits(
    case_folder: Path, report: CaseReport, image_id: str, truth: Mask, stands_for: Mapping[str, str]
) -> Iterator[HeatmapHit]:
    """Compare every heatmap of an image with the truth of what it explains.

    A label that is not in the truth has no place to be hit, and gives no row.

    Args:
        case_folder: Of the case.
        report: Of it.
        image_id: The image that the truth belongs to.
        truth: On the image's voxels.
        stands_for: True label of each target; others stand for themselves.
    """
    for record in report.heatmaps or ():
        label = stands_for.get(record.target, record.target)
        values = [value for value, name in truth.labels.items() if name == label]
        there = np.isin(truth.data, values)
        if record.image_id == image_id and there.any():
            heat = read_heatmap(case_folder, record)
            voxel = truth.space.voxel_mm3 if isinstance(truth.space, Grid) else 1.0
            where = _where(heat, record, truth, there)
            size = float(there.sum()) * voxel
            yield HeatmapHit(record.bundle, image_id, record.file, label, record.method, record.trust, where, size)


def hit_rates(hits: Sequence[HeatmapHit]) -> dict[tuple[str, str, str], HitRate]:
    """Give the hit rate by bundle, label and method."""
    found: dict[tuple[str, str, str], HitRate] = {}
    for key in dict.fromkeys((one.bundle, one.label, one.method) for one in hits):
        group = [one.where.hit for one in hits if (one.bundle, one.label, one.method) == key]
        low, high = wilson(sum(group) / len(group), len(group))
        found[key] = HitRate(len(group), sum(group), low, high)
    return found


def _where(heat: Heatmap, record: HeatmapRecord, truth: Mask, there: NDArray[np.bool_]) -> Localisation:
    map_affine, affine = map_affines(heat, truth.space)
    i, j, k = there.shape
    values = map_on_grid(heat.data, map_affine, (i, j, k), affine)
    explained = (values != 0).any(axis=(0, 1))
    if not record.has_positive_evidence or not there[..., explained].any():
        return Localisation(False, 0.0, 0.0, float(there.mean()), float(there.mean()))
    return localisation(values[..., explained], there[..., explained])
