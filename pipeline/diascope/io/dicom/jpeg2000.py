"""A look at the size of a JPEG 2000 stream before a decoder sees it (ITU-T T.800, A.5.1).

A decoder believes the stream: one damaged byte of its size makes it compute for minutes.
"""

import struct

from pydicom import Dataset

from diascope.errors import InputError

# The start of the code stream is followed by the SIZ segment at once; files with JP2
# boxes around it are not conformant and come, too (pydicom 1.4, "JPEG 2000").
_START = b"\xff\x4f\xff\x51"
_SEARCHED_BYTES = 4096

# T.800: the number of tiles is written in 16 bits.
_MOST_TILES = 65535


def check_jpeg2000(stream: bytes, dataset: Dataset) -> None:
    """Refuse a stream whose size is not the one that the header promises.

    Raises:
        InputError: It is of another size, or has no size at all.
    """
    at = stream.find(_START, 0, _SEARCHED_BYTES)
    if at < 0 or len(stream) < at + 42:
        raise _broken("it does not begin as a JPEG 2000 stream does")
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", stream, at + 8)
    found, promised = (bottom - top, right - left), (int(dataset.Rows), int(dataset.Columns))
    if found != promised:
        raise _broken(f"it holds {found[0]} rows and {found[1]} columns, its header promises {promised}")
    if not tile_width or not tile_height:
        raise _broken("its tiles have no size")
    if -(-right // tile_width) * -(-bottom // tile_height) > _MOST_TILES:
        raise _broken("it has more tiles than there may be")


def _broken(reason: str) -> InputError:
    return InputError(
        f"the JPEG 2000 stream is broken: {reason}", hint="copy or send the file again", code="broken_pixels"
    )
