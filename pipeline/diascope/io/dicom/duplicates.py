"""The same instance twice: dropped where it is a copy, refused where it is not."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from diascope.errors import IncompleteSeries
from diascope.io.dicom.headers import Header
from diascope.io.dicom.pixels import FrameReader, Pick


def without_copies(headers: Sequence[Header]) -> tuple[list[Header], list[Header], tuple[str, ...]]:
    """Drop files that hold an instance which is there already, pixel by pixel.

    Returns:
        Headers to go on with, those that were dropped, and what to say about it.

    Raises:
        IncompleteSeries: Two files claim to be the same instance and differ.
    """
    by_uid: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_uid[header.sop_uid or header.file.shown].append(header)
    if len(by_uid) == len(headers):
        return list(headers), [], ()
    kept: list[Header] = []
    dropped: list[Header] = []
    for same in by_uid.values():
        if len(same) > 1 and len({_content(header) for header in same}) > 1:
            raise IncompleteSeries(
                f"{len(same)} files say they are the same instance, and their content differs",
                hint="send the series again, each slice once",
                code="conflicting_duplicates",
            )
        kept.append(same[0])
        dropped += same[1:]
    files = "1 file is a copy" if len(dropped) == 1 else f"{len(dropped)} files are copies"
    return kept, dropped, (f"{files} of another (same instance, same pixels) and left out",)


def _content(header: Header) -> tuple[object, ...]:
    """What two copies must share: geometry, and pixels whatever they are packed in."""
    reader = FrameReader((header.file.path,), (header.layout,))
    digest = hashlib.sha256()
    for number in sorted({frame.number for frame in header.frames}):
        pick = Pick(file=0, frame=number, tile=-1, layout=0, pixel_at=header.pixel_at, slope=1.0, intercept=0.0)
        digest.update(reader.stored(pick).tobytes())
    return header.frames, digest.digest()
