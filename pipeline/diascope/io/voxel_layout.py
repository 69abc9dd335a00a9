"""How the voxels of an image lie in a file, once its header has been read: what NRRD and MetaImage share."""

import bz2
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from diascope.errors import InputError, UnsupportedInput
from diascope.geometry import Shape, Space
from diascope.io.damage import damage_of

Encoding = Literal["raw", "zlib", "bzip2"]

_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class VoxelLayout:
    """Where in a file which voxel lies.

    Attributes:
        dtype: numpy's spelling, byte order included, such as `<i2`.
        sizes: Length of each axis, the fastest first.
        channel_axis: The axis that is not in space (time, b-value, colour), if any.
        start_byte: Of the voxels in their file; counted from the end if negative
            (-1: the voxels are the last of the file).
        encoding: How they are compressed (`zlib` is gzip, too).
    """

    dtype: str
    sizes: tuple[int, ...]
    channel_axis: int | None = None
    start_byte: int = 0
    encoding: Encoding = "raw"

    @property
    def shape(self) -> Shape:
        """Number of voxels along i, j and k of one volume."""
        spatial = [size for axis, size in enumerate(self.sizes) if axis != self.channel_axis]
        i, j, k = (*spatial, 1, 1)[:3]
        return i, j, k

    @property
    def channels(self) -> int:
        """How many volumes (or colours) there are."""
        return 1 if self.channel_axis is None else self.sizes[self.channel_axis]

    @property
    def total_bytes(self) -> int:
        """Of all voxels, decompressed."""
        return math.prod(self.sizes) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What a header says of an image.

    Attributes:
        layout: Of its voxels.
        space: Where they lie, by the header's own words.
        axis: What the channels are, if there is more than one.
        is_colour: Whether the channels are red, green and blue.
        is_mask: Whether it is a label map and no image.
        data_file: Name of the file of the voxels; None: they follow the header.
        notes: What a reader should know.
    """

    layout: VoxelLayout
    space: Space
    axis: str | None = None
    is_colour: bool = False
    is_mask: bool = False
    data_file: str | None = None
    notes: tuple[str, ...] = ()


def surplus_note(layout: VoxelLayout, file_bytes: int) -> tuple[str, ...]:
    """Tell of bytes that the header does not promise: one with a size that is too small would leave some."""
    surplus = file_bytes - max(layout.start_byte, 0) - layout.total_bytes
    if layout.encoding != "raw" or layout.start_byte < 0 or surplus <= 0:
        return ()
    return (f"the file holds {surplus} bytes more than its header promises",)


def check_layout(layout: VoxelLayout, file_bytes: int, max_image_gb: float) -> None:
    """Refuse voxels that cannot be in their file, or not in memory.

    Raises:
        InputError: The header names a size that is none, or more than the file holds.
        UnsupportedInput: More axes than we read, or more memory than allowed.
    """
    spatial = len(layout.sizes) - (layout.channel_axis is not None)
    if any(size < 1 for size in layout.sizes):
        raise InputError(f"the header names axes of {list(layout.sizes)} voxels", code="bad_shape")
    if not 2 <= spatial <= 3:
        raise UnsupportedInput(f"{spatial} axes in space, two or three are read", code="not_a_volume")
    if layout.total_bytes > max_image_gb * 1e9:
        raise UnsupportedInput(
            f"the image takes {layout.total_bytes / 1e9:.1f} GB, allowed are {max_image_gb:g} GB",
            hint="raise ingest.max_image_gb if it is true",
            code="too_large",
        )
    if layout.encoding == "raw" and file_bytes < max(layout.start_byte, 0) + layout.total_bytes:
        raise InputError(
            f"the file has {file_bytes} bytes, its header promises {max(layout.start_byte, 0) + layout.total_bytes}",
            hint="copy it again",
            code="truncated",
        )


def read_voxels(path: Path, layout: VoxelLayout) -> NDArray[Any]:
    """Read all voxels of a file.

    Returns:
        (i, j, k, channels) in the order of the file, one channel where there are no more.

    Raises:
        InputError: There are fewer than the header promises, or they are damaged.
    """
    try:
        with path.open("rb") as stream:
            raw = _decompressed(stream, layout)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(
            f"the voxels cannot be read: {damage_of(error)}", hint="copy the file again", code="truncated"
        ) from None
    if len(raw) < layout.total_bytes:
        raise InputError(
            f"there are {len(raw)} bytes of voxels, the header promises {layout.total_bytes}",
            hint="copy the file again",
            code="truncated",
        )
    voxels = np.frombuffer(raw, dtype=layout.dtype).reshape(layout.sizes, order="F")
    if layout.channel_axis is None:
        return voxels.reshape(*layout.shape, 1)
    return np.moveaxis(voxels, layout.channel_axis, -1).reshape(*layout.shape, layout.channels)


def as_number_type(voxels: NDArray[Any]) -> NDArray[np.generic]:
    """Give integers as they are and other numbers as float32, in this machine's byte order.

    Args:
        voxels: (i, j, k) as stored.
    """
    native = voxels.dtype.newbyteorder("=")
    kept: NDArray[np.generic] = voxels.astype(np.float32 if native.kind == "f" else native)
    return kept


def _decompressed(stream: BinaryIO, layout: VoxelLayout) -> bytes:
    if layout.start_byte < 0:
        stream.seek(-layout.total_bytes - (-1 - layout.start_byte), 2)
    else:
        stream.seek(layout.start_byte)
    if layout.encoding == "raw":
        return stream.read(layout.total_bytes)
    decompressor = zlib.decompressobj(wbits=47) if layout.encoding == "zlib" else bz2.BZ2Decompressor()
    parts: list[bytes] = []
    missing = layout.total_bytes
    packed = b""
    # One byte more than promised is asked for: the checksum stands behind the last one, and a bomb gains nothing.
    while missing >= 0 and not decompressor.eof:
        packed = packed or stream.read(_CHUNK_BYTES)
        part, rest = _step(decompressor, packed, missing + 1)
        if not packed and not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
        packed = rest
    if missing < 0:
        raise ValueError
    return b"".join(parts)


def _step(decompressor: Any, packed: bytes, size: int) -> tuple[bytes, bytes]:
    """Decompress at most so many bytes; give them and what is left of the packed ones."""
    part: bytes = decompressor.decompress(packed, size)
    # zlib hands back what it did not use; bz2 keeps it for itself.
    rest: bytes = getattr(decompressor, "unconsumed_tail", b"")
    return part, rest
