"""Label maps, made ready for synthesis: which voxel is which tissue and which structure."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diascope.errors import ConfigError, InputError
from diascope.train.manifest import ManifestCase
from diascope.train.settings import LabelSettings, SynthesisSettings

# The margin within which a skull-stripping tool leaves fluid around the brain.
STRIP_MARGIN_VOXELS = 5


@dataclass(frozen=True, slots=True, eq=False)
class TissueTable:
    """What the values of the label files mean; n is the number of values.

    Attributes:
        values: (n,) values in the label files, background first.
        tissue: (n,) tissue class of each value: those of a class share an intensity.
        target: (n,) label the network is to give, 0 where it is background.
        mirrored_target: (n,) the same in a mirrored image, where the left hand is the right.
        is_fluid: (n,) whether skull stripping may leave it at the brain's surface.
    """

    values: NDArray[np.int64]
    tissue: NDArray[np.int64]
    target: NDArray[np.int64]
    mirrored_target: NDArray[np.int64]
    is_fluid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """One whole-head label map, axes along RAS+.

    Attributes:
        case: Name of the case.
        index: (i, j, k) uint8, position in the table's values.
        near_brain: (i, j, k) bool, the brain and a small margin.
        voxel_mm: Voxel size along i, j and k.
        affine: (4, 4) voxel to RAS mm.
        centre_ijk: (3,) mean position of the brain's voxels.
        lowest_k: The lowest slice that shows much of the head; maps end there, scans go on.
    """

    case: str
    index: Tensor
    near_brain: Tensor
    voxel_mm: tuple[float, float, float]
    affine: NDArray[np.float64]
    centre_ijk: NDArray[np.float64]
    lowest_k: int


def read_tissue_table(settings: SynthesisSettings, labels: Sequence[LabelSettings], data_root: Path) -> TissueTable:
    """Join the dataset's tables with the labels of the network.

    Raises:
        ConfigError: The tables do not fit each other, or a label names a value
            that they do not hold.
    """
    values = _column(data_root / settings.tissue_labels)
    classes = _column(data_root / settings.tissue_classes)
    if len(values) != len(classes) or 0 not in values:
        raise ConfigError(f"the tissue tables have {len(values)} values and {len(classes)} classes, or no background")
    class_of = dict(zip(values, classes, strict=True))
    target_of = {value: at for at, label in enumerate(labels, start=1) for value in label.source_values}
    unknown = sorted((set(target_of) | set(settings.mirrored_values)) - set(values))
    if unknown:
        raise ConfigError(f"the config names the values {unknown}, which the tissue table does not hold")
    values.sort(key=lambda value: value != 0)
    twin = [settings.mirrored_values.get(value, value) for value in values]
    other_side = settings.mirrored_values | {left: right for right, left in settings.mirrored_values.items()}
    return TissueTable(
        values=np.array(values, dtype=np.int64),
        tissue=np.array([class_of[value] for value in twin], dtype=np.int64),
        target=np.array([target_of.get(value, 0) for value in values], dtype=np.int64),
        mirrored_target=np.array([target_of.get(other_side.get(value, value), 0) for value in values], dtype=np.int64),
        is_fluid=np.array([value in settings.keep_when_stripped for value in values]),
    )


def read_label_map(case: ManifestCase, table: TissueTable) -> LabelMap:
    """Read a label map and turn its axes to RAS+.

    Raises:
        InputError: A value is not in the table, or the map shows no brain.
    """
    if case.label is None:
        raise InputError(f"case {case.case}: the manifest names no label for it")
    # The files are LIA with differing offsets and dtypes.
    image = nib.as_closest_canonical(nib.load(case.label))
    values = np.asarray(image.dataobj)
    order = np.argsort(table.values)
    at = np.searchsorted(table.values[order], values).clip(max=len(order) - 1)
    if (table.values[order][at] != values).any():
        seen = sorted(set(np.unique(values).tolist()) - set(table.values.tolist()))
        raise InputError(f"case {case.case}: the label map holds {seen}, which the tissue table does not")
    index = torch.from_numpy(order[at].astype(np.uint8))
    is_brain = torch.from_numpy(table.target > 0)[index.long()]
    if not bool(is_brain.any()):
        raise InputError(f"case {case.case}: the label map shows none of the structures")
    first_mm, second_mm, third_mm = (float(size) for size in image.header.get_zooms()[:3])
    return LabelMap(
        case=case.case,
        index=index,
        near_brain=_grown(is_brain, STRIP_MARGIN_VOXELS),
        voxel_mm=(first_mm, second_mm, third_mm),
        affine=np.asarray(image.affine, dtype=np.float64),
        # The middle of the bounding box would lie too low: the brainstem's label runs down the neck.
        centre_ijk=torch.nonzero(is_brain).double().mean(0).numpy(),
        lowest_k=_lowest_slice(index > 0),
    )


def label_frequencies(maps: Sequence[LabelMap], table: TissueTable) -> NDArray[np.float64]:
    """Count how often each label of the network occurs near the brain.

    Returns:
        (labels + 1,) fractions, background first.
    """
    counts = np.zeros(int(table.target.max()) + 1)
    for source in maps:
        of_value = torch.bincount(source.index[source.near_brain].long(), minlength=len(table.values)).numpy()
        np.add.at(counts, table.target, of_value)
    return np.asarray(counts / counts.sum())


def _column(source: Path) -> list[int]:
    try:
        with source.open(newline="", encoding="utf-8") as lines:
            return [int(row[0]) for row in csv.reader(lines) if row]
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the tissue table {source.name}: {error}") from None


def _lowest_slice(is_head: Tensor) -> int:
    areas = is_head.sum((0, 1))
    return int(torch.nonzero(areas > 0.2 * areas.max())[0])


def _grown(mask: Tensor, voxels: int) -> Tensor:
    as_float = mask[None, None].float()
    for axis in range(3):
        kernel = [1, 1, 1]
        kernel[axis] = 2 * voxels + 1
        as_float = torch.nn.functional.max_pool3d(
            as_float, tuple(kernel), stride=1, padding=tuple(size // 2 for size in kernel)
        )
    return as_float[0, 0] > 0
