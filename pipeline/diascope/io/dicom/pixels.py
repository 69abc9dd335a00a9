"""Stored numbers of one frame, whatever they are packed in."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

from diascope.errors import InputError
from diascope.io.damage import damage_of
from diascope.io.dicom.dataset import MALFORMED, read_dataset, uid_of, without_warnings
from diascope.io.dicom.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from diascope.io.dicom.headers import Layout
from diascope.io.dicom.jpeg import check_jpeg
from diascope.io.dicom.jpeg2000 import check_jpeg2000

NATIVE_LITTLE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE})

# Each packing by the codec that takes broken streams as an error. GDCM ends the process on
# some, and is used for lossless JPEG only, which no other one reads, after a look at the stream.
_PLUGINS = ("pylibjpeg", "pyjpegls", "pydicom", "pillow")
_LOSSLESS_JPEG = frozenset({JPEGLossless, JPEGLosslessSV1})


@dataclass(frozen=True, slots=True)
class Pick:
    """Where the pixels of one slice are, and what makes numbers of them.

    Attributes:
        file: Index into the files of the series.
        frame: Which frame of the file.
        tile: Which tile of the frame; -1 where it is no mosaic.
        layout: Index into the layouts of the series.
        pixel_at: First byte of the file's pixels.
        slope: Of the modality rescale.
        intercept: Of the modality rescale.
    """

    file: int
    frame: int
    tile: int
    layout: int
    pixel_at: int
    slope: float
    intercept: float


def has_decoder(layout: Layout) -> bool:
    """Say whether this packing can be read here."""
    # Lossy JPEG of 12 bits: of the codecs only one under the GPL reads it right.
    if layout.transfer_syntax == JPEGExtended12Bit and layout.bits_stored > 8:
        return False
    try:
        with without_warnings():
            return bool(get_decoder(layout.transfer_syntax).is_available)
    except NotImplementedError:
        return False


class FrameReader:
    """Reads frames of one series, keeping the last compressed file open between them."""

    def __init__(self, files: tuple[Path, ...], layouts: tuple[Layout, ...]) -> None:
        """Remember where things are."""
        self._files = files
        self._layouts = layouts
        self._dataset: tuple[int, Dataset] | None = None
        self._mosaic: tuple[Pick, NDArray[Any]] | None = None

    def stored(self, pick: Pick) -> NDArray[Any]:
        """Read the stored numbers of a frame.

        Returns:
            (rows, columns), or (rows, columns, 3) RGB in colour.

        Raises:
            InputError: They are not there, or cannot be unpacked.
        """
        layout = self._layouts[pick.layout]
        if pick.tile >= 0:
            return self._tile(pick, layout)
        if is_plain(layout):
            return unpacked(self._native(pick, layout), layout)
        try:
            with without_warnings():
                return self._decoded(pick, layout)
        except MALFORMED as error:
            raise InputError(
                f"the pixels of slice {pick.file} cannot be unpacked: {damage_of(error)}",
                hint="copy or send the file again",
                code="broken_pixels",
            ) from None

    def dataset(self, pick: Pick) -> Dataset:
        """Read the whole file of a slice.

        Raises:
            InputError: It cannot be read.
        """
        if self._dataset is None or self._dataset[0] != pick.file:
            syntax = self._layouts[pick.layout].transfer_syntax
            dataset = read_dataset(self._files[pick.file], syntax, with_pixels=True)
            self._dataset = pick.file, dataset
        return self._dataset[1]

    def _tile(self, pick: Pick, layout: Layout) -> NDArray[Any]:
        whole = replace(pick, tile=-1)
        if self._mosaic is None or self._mosaic[0] != whole:
            self._mosaic = whole, self.stored(whole)
        down, across = divmod(pick.tile, layout.tiles[0])
        rows, columns = layout.image_rows, layout.image_columns
        return self._mosaic[1][down * rows : (down + 1) * rows, across * columns : (across + 1) * columns]

    def _native(self, pick: Pick, layout: Layout) -> NDArray[Any]:
        with self._files[pick.file].open("rb", buffering=0) as stream:
            stream.seek(pick.pixel_at + pick.frame * layout.frame_bytes)
            raw = stream.read(layout.frame_bytes)
        if len(raw) < layout.frame_bytes:
            raise InputError(
                f"slice {pick.file} has {len(raw)} bytes of {layout.frame_bytes}",
                hint="copy or send the file again",
                code="truncated_pixels",
            )
        return np.frombuffer(raw, dtype=f"<u{layout.bits_allocated // 8}").reshape(layout.rows, layout.columns)

    def _decoded(self, pick: Pick, layout: Layout) -> NDArray[Any]:
        dataset = self.dataset(pick)
        syntax = uid_of(layout.transfer_syntax)
        array = _from_any_plugin(dataset, syntax, pick.frame, raw=layout.samples == 1)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if layout.samples == 1 and not syntax.is_encapsulated and not layout.is_float:
            return unpacked(array.view(f"u{array.dtype.itemsize}"), layout)
        return array


def is_plain(layout: Layout) -> bool:
    """Say whether the pixels lie in the file as they are, one number in each cell."""
    return (
        layout.transfer_syntax in NATIVE_LITTLE
        and not layout.big_endian
        and not layout.is_float
        and layout.samples == 1
        and layout.bits_allocated in (8, 16, 32)
    )


def _from_any_plugin(dataset: Dataset, syntax: UID, frame: int, *, raw: bool) -> NDArray[Any]:
    decoder = get_decoder(syntax)
    if not syntax.is_encapsulated:
        return np.asarray(decoder.as_array(dataset, index=frame, raw=raw)[0])
    plugins: tuple[str, ...] = _PLUGINS
    if syntax in _LOSSLESS_JPEG:
        check_jpeg(_stream(dataset, frame), dataset)
        plugins = ("gdcm",)
    elif syntax in JPEG2000TransferSyntaxes:
        check_jpeg2000(_stream(dataset, frame), dataset)
    problem: Exception = RuntimeError("no decoder")
    for plugin in (name for name in plugins if name in decoder.available_plugins):
        try:
            return np.asarray(decoder.as_array(dataset, index=frame, raw=raw, decoding_plugin=plugin)[0])
        except MALFORMED as error:
            problem = error
        except BaseException as error:
            # A Rust codec (RLE) ends in a panic, which is no Exception (pyo3, PanicException).
            if type(error).__name__ != "PanicException":
                raise
            problem = RuntimeError("the decoder panicked")
    raise problem


def _stream(dataset: Dataset, frame: int) -> bytes:
    return bytes(get_frame(dataset.PixelData, frame, number_of_frames=int(dataset.get("NumberOfFrames") or 1)))


def unpacked(cells: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Take the stored bits out of their cells, and extend their sign.

    Bits above the highest or below the lowest may hold an overlay or dirt (PS3.5, 8.1.1).

    Args:
        cells: (rows, columns) unsigned, as wide as the cells.
        layout: Which bits count.
    """
    left = layout.bits_allocated - 1 - layout.high_bit
    right = layout.bits_allocated - layout.bits_stored
    kind = "i" if layout.is_signed else "u"
    numbers = (cells << left) if left else cells
    numbers = numbers.view(f"{kind}{cells.dtype.itemsize}")
    return numbers >> right if right else numbers
