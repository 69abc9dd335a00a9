"""Voxels of stored NIfTI files, unpacked once and then mapped from disk: any slice comes at once.

Files may be larger than the memory: they are unpacked slice by slice into a folder of
the server's own, which is emptied when it ends.
"""

import hashlib
import os
import shutil
import tempfile
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.geometry import IndexGrid, PixelGrid, Space
from diascope.io.nifti import space_of
from diascope.viewer.answers import Problem

# What is kept unpacked: some dozens of chest CTs. The oldest goes first.
MOST_BYTES = 8 * 2**30

_AGAIN = "run the case again: the file was cut short or damaged"
_DAMAGED: tuple[Any, ...] = (EOFError, zlib.error, isal_zlib.error)
_UNREADABLE: tuple[Any, ...] = (OSError, ValueError, HeaderDataError, ImageFileError, *_DAMAGED)


@dataclass(frozen=True, slots=True, eq=False)
class StoredHeader:
    """What the header of a stored file says.

    Attributes:
        space: Where the voxels lie.
        dtype: Of the stored numbers.
        shape: Voxels along i, j, k.
        is_label: NIFTI_INTENT_LABEL is set.
        offset: Where the voxels begin.
        slope: Stored numbers are multiplied by it.
        intercept: And this is added.
    """

    space: Space
    dtype: np.dtype[Any]
    shape: tuple[int, int, int]
    is_label: bool
    offset: int
    slope: float
    intercept: float


def read_header(file: Path) -> StoredHeader:
    """Read the header of a .nii.gz or .nii file.

    Raises:
        Problem: It cannot be read.
    """
    try:
        image: Any = nib.load(file)
        header = image.header
        shape = tuple(int(count) for count in header.get_data_shape()[:3])
        i, j, k = (*shape, 1, 1)[:3]
        space, _ = space_of(header, (i, j, k))
        if isinstance(space, IndexGrid) and header.get_xyzt_units()[0] == "mm":
            # Ours say so where the spacing of pixels is known and nothing else.
            space = PixelGrid((i, j, k), (float(header["pixdim"][1]), float(header["pixdim"][2])), "detector")
        slope, intercept = image.dataobj.slope, image.dataobj.inter
    except InputError as error:
        raise Problem("bad_header", f"the header cannot be used: {error.message}", _AGAIN) from None
    except _UNREADABLE as error:
        raise Problem("bad_header", f"the header cannot be read ({type(error).__name__})", _AGAIN) from None
    return StoredHeader(
        space,
        header.get_data_dtype(),
        (i, j, k),
        int(header["intent_code"]) == 1002,
        image.dataobj.offset,  # nibabel empties vox_offset of the header
        float(slope),
        float(intercept),
    )


def stamp_of(file: Path) -> str:
    """Name the state of a file: another one after every change. No byte of it is read.

    Raises:
        Problem: The file is missing.
    """
    try:
        found = file.stat()
    except OSError:
        raise Problem("missing_file", "the file is missing", _AGAIN) from None
    text = f"{file}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:20]


class Scratch:
    """Derived files in a folder of the server's own, each made once; use it as a context manager."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Make the folder."""
        self._folder = Path(tempfile.mkdtemp(prefix="diascope-view-"))
        self._most_bytes = most_bytes
        self._guard = threading.Lock()
        self._making: dict[str, threading.Lock] = {}
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def __enter__(self) -> Self:
        """Give it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Empty the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def file(self, key: str, suffix: str, make: Callable[[Path], None]) -> Path:
        """Give a derived file, making it if it is not there.

        Args:
            key: Of everything it depends on.
            suffix: Of its name.
            make: Writes it under the name it is given.
        """
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32] + suffix
        path = self._folder / name
        with self._guard:
            lock = self._making.setdefault(name, threading.Lock())
        with lock:
            if not path.is_file():
                part = path.with_name(f"part-{name}")
                try:
                    make(part)
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
            self._note(name, path.stat().st_size)
        return path

    def voxels(self, file: Path) -> NDArray[Any]:
        """Give the stored numbers of a file, mapped from disk.

        Returns:
            (i, j, k), in Fortran order, neither scaled nor writable.

        Raises:
            Problem: The file is missing, damaged or cut short.
        """
        header = read_header(file)
        path = self.file(f"voxels {stamp_of(file)}", ".raw", lambda part: _unpack(file, header, part))
        mapped: NDArray[Any] = np.memmap(path, header.dtype, "r", 0, header.shape, "F")
        return mapped

    def _note(self, name: str, size: int) -> None:
        with self._guard:
            self._sizes[name] = size
            self._sizes.move_to_end(name)
            while sum(self._sizes.values()) > self._most_bytes and len(self._sizes) > 1:
                # What is mapped somewhere stays readable until it is let go: it only loses its name.
                oldest, _ = self._sizes.popitem(last=False)
                (self._folder / oldest).unlink(missing_ok=True)
                self._making.pop(oldest, None)


def _unpack(file: Path, header: StoredHeader, part: Path) -> None:
    wanted = int(np.prod(header.shape, dtype=np.int64)) * header.dtype.itemsize
    free = shutil.disk_usage(part.parent).free
    if wanted > free:
        raise Problem(
            "too_large",
            f"the image needs {wanted / 2**30:.1f} GiB unpacked, {free / 2**30:.1f} GiB are free",
            "free some space in the folder for temporary files, or name another in TMPDIR",
        )
    opened = igzip.open if file.name.endswith(".gz") else open
    written = 0
    try:
        with opened(file, "rb") as source, part.open("wb") as target:
            source.read(header.offset)
            while written < wanted and (chunk := source.read(min(2**22, wanted - written))):
                target.write(chunk)
                written += len(chunk)
    except OSError as error:
        if error.errno is not None:
            raise
        raise _cut_short(written, wanted) from None
    except _DAMAGED:
        raise _cut_short(written, wanted) from None
    if written < wanted:
        raise _cut_short(written, wanted)
    os.chmod(part, 0o600)  # noqa: PTH101 - one call


def _cut_short(written: int, wanted: int) -> Problem:
    return Problem("truncated", f"the file ends after {written} of {wanted} bytes of voxels", _AGAIN)
