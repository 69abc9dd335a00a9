"""Read folders in tests, without the command line around it."""

from collections import Counter
from pathlib import Path
from typing import Any

from diascope.identity import IdentityKey
from diascope.io.catalogue import catalogue
from diascope.io.decode import decode
from diascope.io.reader import Context, IngestSettings
from diascope.io.series import Catalogue, Series
from diascope.volume import Volume

KEY = IdentityKey(bytes(range(32)))


def read(*inputs: Path, scratch: Path | None = None, **settings: Any) -> Catalogue:
    """Catalogue inputs under settings; every file must be accounted for once."""
    found = catalogue(inputs, Context(KEY, IngestSettings(**settings), scratch=scratch))
    paths = [record.path for record in found.files]
    assert len(paths) == len(set(paths))
    return found


def only_series(found: Catalogue) -> Series:
    """The one series there is."""
    assert not found.refused, [refused.failure for refused in found.refused]
    assert len(found.series) == 1, [series.space for series in found.series]
    return found.series[0]


def only_volume(found: Catalogue) -> Volume:
    """The one volume there is, decoded."""
    volume = decode(only_series(found))
    assert isinstance(volume, Volume)
    return volume


def only_refusal(found: Catalogue) -> str:
    """The code of the one refusal; nothing was read."""
    assert not found.series, [series.space for series in found.series]
    assert len(found.refused) == 1, [refused.failure for refused in found.refused]
    return found.refused[0].failure.code


def fates(found: Catalogue) -> Counter[tuple[str, str]]:
    """How many files had which fate and code."""
    return Counter((record.fate, record.code) for record in found.files)
