"""The DICOM reader: claims, groups, decodes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from diascope.errors import InputError
from diascope.geometry import Space
from diascope.identity import IdentityKey
from diascope.io.dicom.building import PixelPlan
from diascope.io.dicom.cached import Found, read_known
from diascope.io.dicom.elements import looks_like_dicom
from diascope.io.dicom.grouping import group_headers
from diascope.io.dicom.headers import Header, Layout
from diascope.io.dicom.kinds import PROJECTION_MODALITIES, NoImage
from diascope.io.dicom.pixels import FrameReader, Pick
from diascope.io.dicom.read import HeaderReader
from diascope.io.dicom.rescale import coloured, dtype_for, fits, narrowed, rescaled, through_lut, window_of_lut
from diascope.io.dicom.shelf import HeaderShelf
from diascope.io.reader import Context, FoundFile, Grouped, IngestSettings, failure_of
from diascope.io.series import FileRecord, Series
from diascope.volume import ColourImage, Volume

# Below this many files another process costs more to start than it saves.
FILES_WORTH_A_PROCESS = 4000

CHUNK_FILES = 500


@dataclass(frozen=True, slots=True)
class DicomReader:
    """Reads DICOM files, whatever they are called."""

    name: str = "dicom"

    def claims(self, head: bytes, name: str) -> bool:
        """Say whether this is DICOM: by its magic, or by its first element."""
        del name
        return looks_like_dicom(head)

    def group(self, files: Sequence[FoundFile], context: Context) -> Grouped:
        """Read every header once, and make series of them."""
        records: list[FileRecord] = []
        with HeaderShelf(len(files)) as shelf, _reading(len(files), context) as headers_of:
            for part in _parts(files, CHUNK_FILES * context.processes):
                for file, found in zip(part, read_known(part, context.cache, headers_of), strict=True):
                    if isinstance(found, Header):
                        shelf.put(found)
                    elif isinstance(found, NoImage):
                        records.append(context.record(file, found.fate, found.failure))
                    else:
                        records.append(context.record(file, "failed", found))
            grouped = group_headers(shelf, context)
        return Grouped(grouped.series, grouped.refused, (*grouped.files, *records), grouped.identities)

    def decode(self, series: Series, at: int = 0) -> Volume | ColourImage:
        """Read one volume: [column, row, slice along the normal], rescaled."""
        plan = series.details.get("plan")
        if not isinstance(plan, PixelPlan) or series.space is None:
            raise InputError("the series was not made by the DICOM reader", code="not_dicom")
        picks = plan.volumes[at]
        reader = FrameReader(series.files, plan.layouts)
        layout = plan.layouts[picks[0].layout]
        if layout.samples == 3 or layout.photometric == "PALETTE COLOR":
            return _colour(series, series.space, picks, reader)
        read = _filled_numbers if plan.between else _numbers
        data = read(series.space, picks, plan, reader)
        window = plan.display_window
        # A film's table goes before the window beside it; of a slice the window is what scanners keep up to date.
        if layout.has_voi_lut and (window is None or series.facts.modality in PROJECTION_MODALITIES):
            window = window_of_lut(reader.dataset(picks[len(picks) // 2]))
        return Volume(
            data=data,
            space=series.space,
            facts=series.facts,
            image_id=series.image_id,
            display_window=window,
            is_inverted=layout.photometric == "MONOCHROME1",
        )


@contextmanager
def _reading(count: int, context: Context) -> Iterator[Callable[[Sequence[FoundFile]], list[Found]]]:
    """Give what reads the headers of some files: here, or in several processes where that many are worth it."""
    if count < FILES_WORTH_A_PROCESS or context.processes == 1:
        reader = HeaderReader(context.key, context.settings)
        yield lambda files: [_read_one(reader, file) for file in files]
        return
    read = partial(_read_chunk, key=context.key, settings=context.settings)
    # Spawned, not forked: the caller may have threads.
    with ProcessPoolExecutor(context.processes, mp_context=get_context("spawn")) as pool:
        yield lambda files: [found for part in pool.map(read, _parts(files, CHUNK_FILES)) for found in part]


def _parts(files: Sequence[FoundFile], size: int) -> list[Sequence[FoundFile]]:
    return [files[at : at + size] for at in range(0, len(files), size)]


def _read_chunk(files: Sequence[FoundFile], key: IdentityKey, settings: IngestSettings) -> list[Found]:
    reader = HeaderReader(key, settings)
    return [_read_one(reader, file) for file in files]


def _read_one(reader: HeaderReader, file: FoundFile) -> Found:
    try:
        return reader.read(file)
    except InputError as error:
        return failure_of(error)


def _numbers(space: Space, picks: Sequence[Pick], plan: PixelPlan, reader: FrameReader) -> NDArray[np.generic]:
    dtype = dtype_for(picks, plan.layouts)
    # In Fortran order a frame of the file is one block of memory: [i, j, k] = [column, row, slice].
    data = np.empty(space.shape, dtype=narrowed(dtype), order="F")
    for k, pick in enumerate(picks):
        numbers = _slice_numbers(pick, plan.layouts, reader, dtype)
        if data.dtype != dtype and not fits(numbers, data.dtype):
            data = data.astype(dtype)
        data[:, :, k] = numbers.T
    return data


def _filled_numbers(space: Space, picks: Sequence[Pick], plan: PixelPlan, reader: FrameReader) -> NDArray[np.generic]:
    """Read a volume some of whose slices lie between those that are there."""
    dtype = dtype_for(picks, plan.layouts)
    data = np.empty(space.shape, dtype=dtype, order="F")
    read = lru_cache(maxsize=2)(lambda at: _slice_numbers(picks[at], plan.layouts, reader, dtype).astype(np.float32))
    for k, (below, part) in enumerate(plan.between):
        numbers = read(below) if part < 1 else read(below + 1)
        if 0 < part < 1:
            numbers = numbers * np.float32(1 - part) + read(below + 1) * np.float32(part)
        data[:, :, k] = np.rint(numbers.T) if np.issubdtype(dtype, np.integer) else numbers.T
    return data


def _slice_numbers(pick: Pick, layouts: Sequence[Layout], reader: FrameReader, dtype: DTypeLike) -> NDArray[Any]:
    stored = reader.stored(pick)
    if layouts[pick.layout].has_lut:
        return through_lut(stored, reader.dataset(pick))
    return rescaled(stored, pick, dtype)


def _colour(series: Series, space: Space, picks: Sequence[Pick], reader: FrameReader) -> ColourImage:
    data = np.empty((*space.shape, 3), dtype=np.uint8)
    for k, pick in enumerate(picks):
        data[:, :, k] = coloured(reader.stored(pick), reader.dataset(pick)).transpose(1, 0, 2)
    return ColourImage(data=data, space=space, facts=series.facts, image_id=series.image_id)
