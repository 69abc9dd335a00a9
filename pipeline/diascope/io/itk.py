"""NRRD and MetaImage: the files of Slicer and ITK, with their voxels inside or beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diascope.errors import InputError, UnsupportedInput
from diascope.io.meta_header import is_meta_header, read_meta_header
from diascope.io.reader import Context, FoundFile, Grouped
from diascope.io.series import Series
from diascope.io.single import NoImage, SingleImage, group_singles
from diascope.io.voxel_layout import HeaderFacts, as_number_type, check_layout, read_voxels, surplus_note
from diascope.volume import ColourImage, Volume

NRRD_MAGIC = b"NRRD000"

_VOXEL_SUFFIXES = (".raw", ".zraw", ".raw.gz", ".raw.bz2")
_HEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class ItkReader:
    """Reads .nrrd, .nhdr, .mha and .mhd."""

    name: str = "itk"

    def claims(self, head: bytes, name: str) -> bool:
        """Say whether this is such a header, or a file of voxels that one may name."""
        return _is_header(head) or name.lower().endswith(_VOXEL_SUFFIXES)

    def group(self, files: Sequence[FoundFile], context: Context) -> Grouped:
        """Make one image of each header."""

        def look(file: FoundFile, by_path: Mapping[Path, FoundFile]) -> SingleImage:
            return _look(file, by_path, context.settings.max_image_gb)

        return group_singles(self.name, files, context, look, _is_header_file)

    def decode(self, series: Series, at: int = 0) -> Volume | ColourImage:
        """Read one volume; integers stay as they are, other numbers become float32."""
        header = _read_header(series.files[0])
        voxels = read_voxels(series.files[-1], header.layout)
        if header.is_colour:
            colour = np.ascontiguousarray(voxels, dtype=np.uint8)
            return ColourImage(data=colour, space=header.space, facts=series.facts, image_id=series.image_id)
        return Volume(
            data=as_number_type(voxels[..., at]), space=header.space, facts=series.facts, image_id=series.image_id
        )


def _is_header(head: bytes) -> bool:
    return head.startswith(NRRD_MAGIC) or is_meta_header(head)


def _is_header_file(file: FoundFile) -> bool:
    with file.path.open("rb") as stream:
        return _is_header(stream.read(_HEAD_BYTES))


def _read_header(path: Path) -> HeaderFacts:
    with path.open("rb") as stream:
        is_nrrd = stream.read(len(NRRD_MAGIC)) == NRRD_MAGIC
    if not is_nrrd:
        return read_meta_header(path)
    # pynrrd takes longer to load than a small folder of DICOM to convert, and few folders hold NRRD.
    from diascope.io.nrrd_header import read_nrrd_header  # noqa: PLC0415

    return read_nrrd_header(path)


def _look(file: FoundFile, by_path: Mapping[Path, FoundFile], max_image_gb: float) -> SingleImage:
    header = _read_header(file.path)
    if header.is_mask or Path(file.shown).name.lower().endswith((".seg.nrrd", ".seg.nhdr")):
        raise NoImage("a label map (a Slicer segmentation), not an image", code="mask")
    voxels = file if header.data_file is None else _voxels_beside(file, header.data_file, by_path)
    check_layout(header.layout, voxels.size_bytes, max_image_gb)
    return SingleImage(
        space=header.space,
        partners=() if voxels is file else (voxels,),
        volumes=1 if header.is_colour else header.layout.channels,
        axis=header.axis,
        notes=(*header.notes, *surplus_note(header.layout, voxels.size_bytes)),
    )


def _voxels_beside(file: FoundFile, name: str, by_path: Mapping[Path, FoundFile]) -> FoundFile:
    """Find the file of the voxels in the folder of the header, and nowhere else."""
    if name.split(maxsplit=1)[0] == "LIST" or "%" in name:
        raise UnsupportedInput(
            "voxels in a list of files are not read", hint="save it with all voxels in one file", code="voxels_in_parts"
        )
    if Path(name).name != name:
        raise UnsupportedInput(
            "the header names voxels in another folder",
            hint="put header and voxels side by side",
            code="voxels_elsewhere",
        )
    found = by_path.get(file.path.with_name(name))
    if found is None:
        raise InputError(
            "the voxels that the header names are not beside it", hint="copy both files", code="voxels_missing"
        )
    return found
