"""NIfTI-1, NIfTI-2 and Analyze: one file is one image.

An affine is what the header says it is: `sform_code > 0` first, else
`qform_code > 0`, else there is none and the image is an IndexGrid. nibabel's
fallback for files without either is a guess, and is not used.
"""

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel
import numpy as np
from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from diascope.errors import InputError, UnsupportedInput
from diascope.geometry import Grid, IndexGrid, Shape, Space
from diascope.io.damage import damage_of
from diascope.io.mask_files import is_named_mask, label_count
from diascope.io.reader import Context, FoundFile, Grouped
from diascope.io.series import Series
from diascope.io.single import NoImage, SingleImage, group_singles
from diascope.io.sniff import GZIP_MAGIC
from diascope.volume import ColourImage, Volume

MAGIC_AT = {348: 344, 540: 4}
"""Where the magic lies, by the size of the header (NIfTI-1, NIfTI-2)."""

# What nibabel raises on headers of random bytes.
MALFORMED: tuple[Any, ...] = (
    HeaderDataError, ValueError, OverflowError, KeyError, TypeError, EOFError, OSError, MemoryError,
    WrapStructError, zlib.error, isal_zlib.error,
)  # fmt: skip

# sform and qform that differ by more than this at a corner are told, not averaged.
FORMS_AGREE_MM = 0.5

LABEL_INTENT = 1002
"""NIFTI_INTENT_LABEL: voxels are names, not measurements."""

# Nobody is scanned a thousand kilometres off; products of such numbers still fit a float.
LARGEST_MM = 1e9

_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
# So much may stand behind the voxels; more is no image any more.
_MOST_SURPLUS_BYTES = 2**26
_CHUNK_BYTES = 2**20
_TIME_UNITS = frozenset({8, 16, 24})


@dataclasses.dataclass(frozen=True, slots=True)
class NiftiReader:
    """Reads .nii, .nii.gz and pairs of .hdr and .img."""

    name: str = "nifti"

    def claims(self, head: bytes, name: str) -> bool:
        """Say whether this is a NIfTI or Analyze header, or the voxels that belong to one."""
        if _header_size(head) is not None:
            return True
        return name.lower().removesuffix(".gz").endswith(".img")

    def group(self, files: Sequence[FoundFile], context: Context) -> Grouped:
        """Make one image of each header."""

        def look(file: FoundFile, by_path: Mapping[Path, FoundFile]) -> SingleImage:
            return _look(file, by_path, context)

        return group_singles(self.name, files, context, look, lambda file: not _is_voxels_only(file))

    def decode(self, series: Series, at: int = 0) -> Volume | ColourImage:
        """Read one volume; scaled only if the header says so, then float32. NaN stays NaN."""
        header = _read_header(series.files[0])
        if series.space is None:
            raise InputError("the series has no geometry yet")
        stored = _stored_voxels(series.files[-1], header, at, series.volumes)
        if stored.dtype.fields is not None:
            colour = np.stack([stored[name] for name in ("R", "G", "B")], axis=-1)
            return ColourImage(data=colour, space=series.space, facts=series.facts, image_id=series.image_id)
        return Volume(data=_scaled(stored, header), space=series.space, facts=series.facts, image_id=series.image_id)


def space_of(header: Any, shape: Shape) -> tuple[Space, tuple[str, ...]]:
    """Find where the voxels lie, by the header's own words only.

    Args:
        header: A nibabel NIfTI or Analyze header.
        shape: Number of voxels along i, j and k.

    Returns:
        The geometry, and what a reader should know about it.

    Raises:
        InputError: The header claims an affine, but it is none.
    """
    codes = (int(header["sform_code"]), int(header["qform_code"])) if "sform_code" in header else (0, 0)
    if codes == (0, 0):
        return IndexGrid(shape), ("the header holds no affine: spacing and orientation are not known",)
    notes: list[str] = []
    scale, unit_note = _mm_per_unit(header)
    notes += unit_note
    forms = [form for code, form in ((codes[0], header.get_sform), (codes[1], header.get_qform)) if code > 0]
    grids, problem = [], None
    for form in forms:
        try:
            grids.append(_grid(shape, np.array(form(), dtype=np.float64), scale))
        except (InputError, HeaderDataError, ValueError) as error:
            problem = error
    if not grids:
        raise InputError(f"the affine in the header cannot be used: {problem}", code="bad_affine")
    if problem is not None:
        notes.append("one of sform and qform cannot be used, the other is")
    elif len(grids) == 2:
        off_mm = float(np.linalg.norm(grids[0].corners_ras_mm() - grids[1].corners_ras_mm(), axis=1).max())
        if off_mm > FORMS_AGREE_MM:
            notes.append(f"sform and qform differ by up to {off_mm:.1f} mm; the sform is used")
    return grids[0], tuple(notes)


def read_space(path: Path) -> Space:
    """Read where the voxels of a NIfTI file lie, and no voxel.

    Raises:
        InputError: It is no NIfTI file.
    """
    try:
        image: Any = nibabel.load(path)
        i, j, k = (*(int(n) for n in image.shape), 1)[:3]
    except (*MALFORMED, nibabel.filebasedimages.ImageFileError, FileNotFoundError) as error:
        raise InputError(f"{path.name} cannot be read: {damage_of(error)}", code="corrupt") from None
    return space_of(image.header, (i, j, k))[0]


def _grid(shape: Shape, affine: NDArray[np.float64], scale: float) -> Grid:
    affine[:3] *= scale
    if np.abs(affine).max() > LARGEST_MM:
        raise InputError(f"the affine holds numbers beyond {LARGEST_MM:g} mm", code="bad_affine")
    return Grid(shape, affine)


def _header_size(head: bytes) -> int | None:
    for size, at in MAGIC_AT.items():
        if head[:4] in (size.to_bytes(4, "little"), size.to_bytes(4, "big")):
            if head[at : at + 4] in (b"n+1\0", b"ni1\0") or head[at : at + 4] in (b"n+2\0", b"ni2\0"):
                return size
            # Analyze 7.5 has no magic, but a header of fixed size with a dimension count.
            if size == 348 and len(head) == 348 and 0 < max(head[40], head[41]) <= 7:
                return size
    return None


def _is_voxels_only(file: FoundFile) -> bool:
    try:
        with _opened(file.path) as stream:
            return _header_size(stream.read(1024)) is None
    except MALFORMED:
        return False


def _look(file: FoundFile, by_path: Mapping[Path, FoundFile], context: Context) -> SingleImage:
    header = _read_header(file.path)
    if "intent_code" in header and int(header["intent_code"]) == LABEL_INTENT:
        raise NoImage("a label map, by its own intent code", code="label_map")
    shape, volumes = _shape_of(header)
    partners = tuple(by_path[path] for path in _voxel_paths(file.path) if path in by_path)[:1]
    _check_voxels(header, (file, *partners), context)
    space, notes = space_of(header, shape)
    _check_no_mask(header, file, partners, context)
    return SingleImage(
        space=space,
        partners=partners,
        volumes=volumes,
        axis=_axis_of(header, file.path) if volumes > 1 else None,
        notes=(*notes, *_surplus(_needed_bytes(header), (file, *partners)[-1])),
    )


def _voxel_paths(path: Path) -> tuple[Path, ...]:
    stem = str(path).removesuffix(".gz")
    if not stem.lower().endswith(".hdr"):
        return ()
    return tuple(Path(stem[:-4] + suffix) for suffix in (".img", ".img.gz", ".IMG"))


def _read_header(path: Path) -> Any:
    try:
        with _opened(path) as stream:
            size = int.from_bytes(stream.read(4), "little")
            stream.seek(0)
            little = size in MAGIC_AT
            size = size if little else int.from_bytes(size.to_bytes(4, "little"), "big")
            raw = stream.read(size)
        if size == 348 and raw[344:347] not in (b"n+1", b"ni1"):
            return nibabel.AnalyzeHeader(raw, endianness="<" if little else ">", check=False)
        kind = nibabel.Nifti2Header if size == 540 else nibabel.Nifti1Header
        header = kind(raw, endianness="<" if little else ">", check=False)
        header.get_data_dtype()
    except MALFORMED as error:
        raise InputError(
            f"the header cannot be read: {damage_of(error)}", hint="copy the file again", code="corrupt"
        ) from None
    return header


def _shape_of(header: Any) -> tuple[Shape, int]:
    count = int(header["dim"][0])
    dims = [int(n) for n in header["dim"][1 : count + 1]]
    if not 1 <= count <= 7 or any(n < 1 for n in dims):
        raise InputError(f"the header names {count} axes of {dims} voxels", code="bad_shape")
    while len(dims) > 3 and dims[-1] == 1:
        dims.pop()
    if len(dims) < 2:
        raise UnsupportedInput("one axis only: a curve, not an image", code="not_a_volume")
    i, j, k = (*dims, 1)[:3]
    return (i, j, k), int(np.prod(dims[3:], dtype=np.int64)) if len(dims) > 3 else 1


def _check_voxels(header: Any, parts: Sequence[FoundFile], context: Context) -> None:
    dtype = header.get_data_dtype()
    if dtype.kind == "c":
        raise UnsupportedInput(
            "complex voxels", hint="write magnitude and phase as images of their own", code="complex_data"
        )
    if dtype.kind not in "iuf" and dtype.names != ("R", "G", "B"):
        raise UnsupportedInput(f"voxels of type {dtype} are not numbers we compute with", code="voxel_type")
    shape, _ = _shape_of(header)
    volume_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if volume_bytes > context.settings.max_image_gb * 1e9:
        raise UnsupportedInput(
            f"one volume has {volume_bytes / 1e9:.1f} GB, allowed are {context.settings.max_image_gb:g} GB",
            hint="raise max_image_gb if it is true",
            code="too_large",
        )
    is_pair = _is_pair(header)
    if is_pair and len(parts) == 1:
        raise InputError("a header (.hdr) without its voxels (.img)", code="voxels_missing")
    with parts[-1].path.open("rb") as stream:
        is_gzipped = stream.read(2) == GZIP_MAGIC
    needed = _needed_bytes(header)
    if not is_gzipped and parts[-1].size_bytes < needed:
        raise InputError(
            f"the file has {parts[-1].size_bytes} bytes, its header promises {needed}",
            hint="copy it again",
            code="truncated",
        )


def _check_no_mask(header: Any, file: FoundFile, partners: Sequence[FoundFile], context: Context) -> None:
    """Leave out what somebody drew; a file that a manifest names as an image is one."""
    if file.origin is not None or not context.settings.skip_masks or not is_named_mask(Path(file.shown).name):
        return
    count = label_count(_stored_voxels((file, *partners)[-1].path, header, 0, _shape_of(header)[1]))
    if count is not None:
        raise NoImage(
            f"a mask: its name says so, and its voxels hold {count} different whole number{'' if count == 1 else 's'}",
            hint="if it is an image: --set ingest.skip_masks=false, or name it in a manifest",
            code="mask_by_name",
        )


def _needed_bytes(header: Any) -> int:
    shape, volumes = _shape_of(header)
    voxel_bytes: int = header.get_data_dtype().itemsize
    return _offset(header) + volumes * int(np.prod(shape, dtype=np.int64)) * voxel_bytes


def _is_pair(header: Any) -> bool:
    return "magic" not in header or bytes(header["magic"].tobytes()[:3]) in (b"ni1", b"ni2")


def _offset(header: Any) -> int:
    offset = float(header["vox_offset"])
    if not np.isfinite(offset) or offset < 0:
        raise InputError(f"the voxels start at byte {offset}", code="corrupt")
    return int(offset)


def _axis_of(header: Any, path: Path) -> str:
    stem = str(path).removesuffix(".gz").removesuffix(".nii")
    if Path(stem + ".bval").is_file():
        return "b_value"
    units = int(header["xyzt_units"]) if "xyzt_units" in header else 0
    if int(header["dim"][0]) > 4 and int(header["dim"][5]) > 1 and int(header["dim"][4]) == 1:
        return "channel"
    return "time" if units & 0x38 in _TIME_UNITS else "channel"


def _mm_per_unit(header: Any) -> tuple[float, tuple[str, ...]]:
    unit = int(header["xyzt_units"]) & 0x07
    scale = _MM_PER_UNIT.get(unit, 1.0)
    if scale != 1.0:
        return scale, (f"the header counts in units of {scale:g} mm",)
    return 1.0, ()


def _stored_voxels(path: Path, header: Any, at: int, volumes: int) -> NDArray[Any]:
    dtype = header.get_data_dtype()
    shape, _ = _shape_of(header)
    volume_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    try:
        with _opened(path) as stream:
            stream.seek(_offset(header) + at * volume_bytes)
            raw = stream.read(volume_bytes)
            if at == volumes - 1:
                _read_out(stream)
    except MALFORMED as error:
        raise InputError(
            f"the voxels cannot be read: {damage_of(error)}", hint="copy the file again", code="truncated"
        ) from None
    if len(raw) < volume_bytes:
        raise InputError(
            f"volume {at} has {len(raw)} bytes of {volume_bytes}", hint="copy the file again", code="truncated"
        )
    return np.frombuffer(raw, dtype=dtype).reshape(shape, order="F")


def _read_out(stream: BinaryIO) -> None:
    """Read to the end: the checksum of a gzip stream stands behind its last byte."""
    surplus = 0
    while chunk := stream.read(_CHUNK_BYTES):
        surplus += len(chunk)
        if surplus > _MOST_SURPLUS_BYTES:
            raise InputError(
                f"more than {surplus / 1e6:.0f} MB behind the voxels that the header promises",
                hint="copy the file again",
                code="corrupt",
            )


def _surplus(needed: int, part: FoundFile) -> tuple[str, ...]:
    """Tell of bytes that the header does not promise: a header with a smaller size than the image would leave some."""
    with part.path.open("rb") as stream:
        is_gzipped = stream.read(2) == GZIP_MAGIC
        stream.seek(-4, 2)
        # RFC 1952: the size of what was packed, modulo 2**32, is the last thing in the file.
        size = int.from_bytes(stream.read(4), "little") if is_gzipped else part.size_bytes
    needed = needed % 2**32 if is_gzipped else needed
    return () if size == needed else (f"the file holds {size} bytes, its header promises {needed}",)


def _scaled(stored: NDArray[Any], header: Any) -> NDArray[np.generic]:
    slope, intercept = _scaling(header)
    native = stored.dtype.newbyteorder("=")
    if (slope, intercept) == (1.0, 0.0):
        kept = np.float32 if native.kind == "f" else native
        return cast("NDArray[np.generic]", stored.astype(kept))
    scaled = np.empty(stored.shape, dtype=np.float32, order="F")
    for k in range(stored.shape[-1]):  # slice by slice: in float64 a chest CT would take gigabytes
        scaled[..., k] = stored[..., k].astype(np.float64) * slope + intercept
    return scaled


def _scaling(header: Mapping[str, Any]) -> tuple[float, float]:
    if "scl_slope" not in header:
        return 1.0, 0.0
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return 1.0, 0.0
    return slope, intercept if np.isfinite(intercept) else 0.0


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        is_gzipped = stream.read(2) == GZIP_MAGIC
    return cast("BinaryIO", igzip.open(path, "rb")) if is_gzipped else path.open("rb")
