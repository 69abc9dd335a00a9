"""DICOM headers that were read before, put back as if they had just been read."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from diascope.findings import Failure
from diascope.io.dicom.headers import Common, Header, Layout
from diascope.io.dicom.kinds import NoImage
from diascope.io.header_cache import read_through
from diascope.io.reader import FoundFile, HeaderCache

Found = Header | NoImage | Failure


def read_known(
    files: Sequence[FoundFile], cache: HeaderCache | None, read: Callable[[Sequence[FoundFile]], list[Found]]
) -> list[Found]:
    """Read the headers of files, those that the cache does not know.

    Args:
        files: The files.
        cache: Where headers were kept; None reads every file.
        read: Reads the headers of some files, in their order.
    """
    if cache is None:
        return read(files)
    # What a series shares is kept once, as the reader keeps it: 100,000 files are a few hundred series.
    commons: dict[Common, Common] = {}
    layouts: dict[Layout, Layout] = {}
    found: list[Found] = []
    for file, one in zip(files, read_through(cache, files, read), strict=True):
        if isinstance(one, Header):
            common = commons.setdefault(one.common, one.common)
            layout = layouts.setdefault(one.layout, one.layout)
            # A member of an archive is unpacked in another place every time.
            found.append(replace(one, file=file, common=common, layout=layout))
        else:
            found.append(one)
    return found
