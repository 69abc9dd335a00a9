"""The files that the page draws: images as they are, label maps with at most 255 dense labels, previews.

NiiVue's tables have 256 entries, and sparse values above them are drawn wrong; a map of
300 labels is therefore given as two files. Nothing is interpolated or reordered.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diascope.findings import CaseReport, ImageRecord, Label
from diascope.geometry import Grid, PixelGrid, Space
from diascope.imaging.intensity import GreyRange, grey_range, to_grey
from diascope.io.write_nifti import write_mask, write_volume
from diascope.viewer.answers import Problem
from diascope.viewer.outs import inside
from diascope.viewer.voxels import Scratch, StoredHeader, read_header, stamp_of
from diascope.volume import Mask, Volume

MOST_LABELS = 255

PREVIEW_SIDE = 128
"""Voxels along the longest side of a preview: half a megabyte packed, drawn at once on any machine."""


@dataclass(frozen=True, slots=True)
class LabelPart:
    """A part of a label map that fits into one table of colours.

    Attributes:
        name: In addresses, such as `seg-0-1`.
        file: The whole map, as stored.
        labels: The labels of this part; a label's dense value is its place, from 1.
        part: Which part, from 1.
        parts: Of how many.
    """

    name: str
    file: Path
    labels: tuple[Label, ...]
    part: int
    parts: int

    @property
    def is_dense(self) -> bool:
        """Whether the values are 1, 2, 3, ... already."""
        return self.parts == 1 and [label.value for label in self.labels] == list(range(1, len(self.labels) + 1))


def label_parts(name: str, file: Path, labels: Sequence[Label]) -> tuple[LabelPart, ...]:
    """Split a label map into parts of at most 255 labels."""
    ordered = tuple(sorted(labels, key=lambda label: label.value))
    chunks = [ordered[at : at + MOST_LABELS] for at in range(0, len(ordered), MOST_LABELS)] or [()]
    return tuple(LabelPart(f"{name}-{at}", file, chunk, at, len(chunks)) for at, chunk in enumerate(chunks, start=1))


def dense_file(part: LabelPart, scratch: Scratch) -> Path:
    """Give a part of a label map as a file with dense values and the intent that says what it is.

    Raises:
        Problem: The map cannot be read.
    """
    header = read_header(part.file)
    if part.is_dense and header.is_label and header.dtype == np.uint8:
        return part.file
    values = ",".join(str(label.value) for label in part.labels)

    def make(path: Path) -> None:
        stored = scratch.voxels(part.file)
        names = {at: label.name for at, label in enumerate(part.labels, start=1)}
        with tempfile.TemporaryFile(dir=path.parent) as disk:
            data = np.memmap(disk, np.uint8, "w+", shape=stored.shape, order="F")
            number(stored, [label.value for label in part.labels], data)
            write_mask(path, Mask(data, header.space, names))

    return scratch.file(f"dense {stamp_of(part.file)} {values}", ".nii.gz", make)


def dense(stored: NDArray[Any], values: Sequence[int]) -> NDArray[np.uint8]:
    """Number some labels of a map 1, 2, 3, ...; every other voxel is 0.

    Args:
        stored: (i, j, k) label values, integers or whole floats.
        values: At most 255 of them, rising.
    """
    found = np.empty(stored.shape, np.uint8, order="F")
    number(stored, values, found)
    return found


def number(stored: NDArray[Any], values: Sequence[int], found: NDArray[np.uint8]) -> None:
    """Do as `dense` does, slice by slice into an array that may lie on a disk: a map may be larger than the memory.

    Args:
        stored: (i, j, k) label values, integers or whole floats.
        values: At most 255 of them, rising.
        found: (i, j, k) what is written.
    """
    largest = max(values, default=0)
    table = np.zeros(largest + 2, np.uint8)
    table[list(values)] = np.arange(1, len(values) + 1)
    for k in range(stored.shape[2]):
        # What is above the largest, or below 0, is another part's: the last entry of the table, which is 0.
        slab = stored[:, :, k].astype(np.int64)
        found[:, :, k] = table[np.where((slab < 0) | (slab > largest), largest + 1, slab)]


def image_file(report: CaseReport, folder: Path, image_id: str) -> tuple[ImageRecord, Path]:
    """Find a stored image.

    Raises:
        Problem: The case has no such image, or it was not stored.
    """
    record = next((image for image in report.images if image.image_id == image_id), None)
    if record is None:
        raise Problem("no_such_image", "the case has no image of this name", "go back to the case")
    if record.stored is None:
        raise Problem("missing_file", "the image was not stored", "run the case again with `store_images: true`")
    return record, inside(folder, record.stored)


def as_volume(record: ImageRecord, file: Path, scratch: Scratch) -> tuple[Volume, StoredHeader]:
    """Give a stored image as a Volume that is mapped from disk; colour becomes its mean.

    Raises:
        Problem: It cannot be read.
    """
    header = read_header(file)
    stored = scratch.voxels(file)
    if stored.dtype.fields is not None:
        stored = np.mean([stored[name] for name in ("R", "G", "B")], axis=0).astype(np.uint8)
    elif (header.slope, header.intercept) != (1.0, 0.0):
        stored = (stored * np.float32(header.slope) + np.float32(header.intercept)).astype(np.float32)
    volume = Volume(
        stored, header.space, record.facts, record.image_id, record.display_window, is_inverted=record.is_inverted
    )
    return volume, header


def window_of(record: ImageRecord, file: Path, scratch: Scratch) -> GreyRange:
    """Choose what is shown black and white, as the previews do."""
    return grey_range(as_volume(record, file, scratch)[0])


def preview_shape(shape: tuple[int, int, int]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Give the shape of a preview, and how many voxels one of its voxels stands for along each axis."""
    steps = tuple(-(-count // PREVIEW_SIDE) for count in shape)
    i, j, k = (len(range((step - 1) // 2, count, step)) for count, step in zip(shape, steps, strict=True))
    return (i, j, k), (steps[0], steps[1], steps[2])


def preview_file(record: ImageRecord, file: Path, scratch: Scratch) -> Path:
    """Make a small grey image, at the same place in the patient.

    Raises:
        Problem: The image cannot be read.
    """

    def make(path: Path) -> None:
        volume, header = as_volume(record, file, scratch)
        shown = grey_range(volume)
        _, steps = preview_shape(header.shape)
        first = tuple((step - 1) // 2 for step in steps)
        taken = volume.data[first[0] :: steps[0], first[1] :: steps[1], first[2] :: steps[2]]
        grey = to_grey(taken, GreyRange(shown.low, shown.high, False, shown.source))
        space = _coarse(header.space, steps, first, (grey.shape[0], grey.shape[1], grey.shape[2]))
        write_volume(path, Volume(grey, space, record.facts, record.image_id, (127.5, 255.0)))

    return scratch.file(f"preview {stamp_of(file)} {record.display_window}", ".nii.gz", make)


def _coarse(space: Space, steps: tuple[int, ...], first: tuple[int, ...], shape: tuple[int, int, int]) -> Space:
    if isinstance(space, Grid):
        affine = space.affine @ np.diag([*steps, 1.0])
        affine[:3, 3] = space.to_ras_mm(np.array([first], dtype=np.float64))[0]
        return Grid(shape, affine)
    if isinstance(space, PixelGrid):
        return PixelGrid(shape, (space.spacing_mm[0] * steps[0], space.spacing_mm[1] * steps[1]), space.measured_at)
    return type(space)(shape)
