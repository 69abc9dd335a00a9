"""Radiographs as pictures: PNG, JPEG and TIFF.

A picture knows no millimetres: its dots per inch are for printers, so it is an
IndexGrid. Grey stays as it is, in 8 or 16 bits; colour whose three channels are equal
is grey; other colour is a ColourImage. Whether text is burned in, nobody knows.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence

from diascope.errors import InputError, UnsupportedInput
from diascope.findings import ImageFacts
from diascope.geometry import IndexGrid
from diascope.io.damage import damage_of
from diascope.io.reader import Context, FoundFile, Grouped
from diascope.io.series import Series
from diascope.io.single import SingleImage, group_singles
from diascope.volume import ColourImage, Volume

_PNG = b"\x89PNG\r\n\x1a\n"
_MAGIC = (_PNG, b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FORMATS = ("PNG", "JPEG", "TIFF")

# Everything that Pillow's decoders were seen to raise on damaged files.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)

_BITS_PER_SAMPLE, _PHOTOMETRIC, _SUBFILE_TYPE, _ORIENTATION = 258, 262, 254, 0x0112
_WHITE_IS_ZERO, _THUMBNAIL = 0, 1

# Modes of Pillow: one grey channel, or those that are turned into RGB without loss.
_GREY = {"1", "L", "I;16", "I;16B", "I;16L", "I", "F"}
_COLOUR = {"P", "PA", "LA", "RGB", "RGBA"}
_BYTES_PER_PIXEL = 8

# Values of the EXIF orientation that exchange rows and columns.
_ON_ITS_SIDE = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class RasterReader:
    """Reads .png, .jpg and .tif."""

    name: str = "raster"

    def claims(self, head: bytes, name: str) -> bool:  # noqa: ARG002 - the protocol's; content is enough here
        """Say whether the file begins as such a picture does."""
        return head.startswith(_MAGIC)

    def group(self, files: Sequence[FoundFile], context: Context) -> Grouped:
        """Make one image of each picture."""

        def look(file: FoundFile, _: Mapping[Path, FoundFile]) -> SingleImage:
            return _look(file.path, context.settings.max_image_gb)

        return group_singles(self.name, files, context, look, lambda _: True)

    def decode(self, series: Series, at: int = 0) -> Volume | ColourImage:  # noqa: ARG002 - there is one volume
        """Read the pixels, turned as the picture asks to be shown (EXIF)."""
        path = series.files[0]
        _check_png(path)
        with _opened(path) as picture:
            try:
                rows = _pixels(ImageOps.exif_transpose(picture))
            except _DAMAGED as error:
                raise _corrupt(error) from None
            is_inverted = picture.mode.startswith("I;16") and _tag(picture, _PHOTOMETRIC) == _WHITE_IS_ZERO
        columns_first = np.ascontiguousarray(rows.swapaxes(0, 1))[:, :, np.newaxis]
        space = IndexGrid((columns_first.shape[0], columns_first.shape[1], 1))
        if rows.ndim == 3:
            return ColourImage(data=columns_first, space=space, facts=series.facts, image_id=series.image_id)
        return Volume(
            data=columns_first, space=space, facts=series.facts, image_id=series.image_id, is_inverted=is_inverted
        )


def _look(path: Path, max_image_gb: float) -> SingleImage:
    with _opened(path) as picture:
        try:
            pages = _pages(picture)
            bits = _bits_per_sample(picture, path)
            turned = int(picture.getexif().get(_ORIENTATION, 1))
        except _DAMAGED as error:
            raise _corrupt(error) from None
        width, height = _upright_size(picture, turned)
        mode = picture.mode
    if pages > 1:
        raise UnsupportedInput(
            f"{pages} pages in one file: whether they are slices or views, nobody says",
            hint="save each page as a file of its own",
            code="multi_page",
        )
    if mode not in _GREY | _COLOUR:
        raise UnsupportedInput(
            f"colours of the kind {mode} are not read", hint="save it as grey or RGB", code="colour_space"
        )
    if mode in _COLOUR and bits > 8:
        raise UnsupportedInput(
            f"colour of {bits} bits would lose its last {bits - 8}", hint="save it as grey", code="deep_colour"
        )
    if width * height * _BYTES_PER_PIXEL > max_image_gb * 1e9:
        raise UnsupportedInput(f"{width} x {height} pixels are more than is allowed", code="too_large")
    notes = (f"turned upright as the file asks (EXIF orientation {turned})",) if turned in range(2, 9) else ()
    return SingleImage(
        space=IndexGrid((width, height, 1)),
        facts=ImageFacts(burned_in="unknown"),
        notes=notes,
    )


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        # Its size is judged by us; other oddities of a header are no news to anybody.
        warnings.simplefilter("ignore")
        try:
            picture = Image.open(path, formats=_FORMATS)
        except Image.DecompressionBombError:
            raise UnsupportedInput("more pixels than any radiograph has", code="too_large") from None
        except _DAMAGED as error:
            raise _corrupt(error) from None
        with picture:
            yield picture


def _check_png(path: Path) -> None:
    """Compare the checksum of every chunk: Pillow does not look at those of the pixels (PNG, 5.3).

    Raises:
        InputError: One differs, or the last chunk is missing; other pictures pass.
    """
    with path.open("rb") as stream:
        if stream.read(len(_PNG)) != _PNG:
            return
        kind = b""
        while kind != b"IEND" and len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            content, stated = stream.read(length), stream.read(4)
            if len(stated) < 4 or zlib.crc32(kind + content) != int.from_bytes(stated, "big"):
                raise InputError("the picture is damaged (checksum)", hint="copy it again", code="corrupt")
        if kind != b"IEND":
            raise InputError("the picture is damaged (it has no end)", hint="copy it again", code="corrupt")


def _corrupt(error: Exception) -> InputError:
    return InputError(f"the picture cannot be read: {damage_of(error)}", hint="copy it again", code="corrupt")


def _pages(picture: Image.Image) -> int:
    """Count the pages, leaving out small copies of the first."""
    if getattr(picture, "n_frames", 1) == 1:
        return 1
    count = sum(not (_tag(page, _SUBFILE_TYPE) or 0) & _THUMBNAIL for page in ImageSequence.Iterator(picture))
    picture.seek(0)
    return count


def _upright_size(picture: Image.Image, turned: int) -> tuple[int, int]:
    if turned not in _ON_ITS_SIDE or picture.format == "TIFF":
        # Pillow 13 scrambles the pixels of such a TIFF; a packed one it turns by itself.
        if turned in _ON_ITS_SIDE and picture.info.get("compression") == "raw":
            raise UnsupportedInput("a TIFF that lies on its side", hint="save it upright", code="turned_tiff")
        return picture.size
    return picture.size[1], picture.size[0]


def _tag(picture: Image.Image, number: int) -> Any:
    """Look up a TIFF tag; None in another kind of picture."""
    tags = getattr(picture, "tag_v2", None)
    return None if tags is None else tags.get(number)


def _bits_per_sample(picture: Image.Image, path: Path) -> int:
    """Count the bits of a channel; Pillow drops those beyond 8 of a colour picture without a word."""
    if picture.format == "PNG":
        with path.open("rb") as stream:
            return stream.read(25)[24]
    return max(_tag(picture, _BITS_PER_SAMPLE) or (8,))


def _pixels(picture: Image.Image) -> NDArray[Any]:
    """Give the pixels of a picture.

    Returns:
        (rows, columns) grey or (rows, columns, 3) RGB.
    """
    if picture.mode in _GREY:
        # Pillow holds bilevel pixels as True and False.
        grey = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
        return grey.astype(grey.dtype.newbyteorder("="))
    rgb = np.asarray(picture.convert("RGB"))
    is_grey = (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all()
    return rgb[..., 0] if is_grey else rgb
