"""A second scan opens only the DICOM files that are new or have changed, and says the same."""

import os
import zipfile
from pathlib import Path

import numpy as np

from diascope.io.catalogue import catalogue
from diascope.io.decode import decode
from diascope.io.header_cache import SqliteHeaderCache
from diascope.io.reader import Context, IngestSettings
from diascope.io.series import Catalogue
from tests.io.dicom_phantoms import Phantom, write_series
from tests.io.reading import KEY


def scan(folder: Path, scratch: Path | None = None) -> Catalogue:
    settings = IngestSettings(processes=1)
    with SqliteHeaderCache(folder.parent / "headers.sqlite", KEY, settings) as cache:
        return catalogue([folder], Context(KEY, settings, scratch=scratch, cache=cache))


def blind(path: Path) -> None:
    """Put nonsense into a file whose size and time stay the same: who opens it falls over."""
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_second_scan_opens_no_file_and_finds_the_same(tmp_path: Path) -> None:
    write_series(tmp_path / "in", Phantom(name="one"))
    write_series(tmp_path / "in" / "deep", Phantom(name="other"))
    first = scan(tmp_path / "in")
    for path in (tmp_path / "in").rglob("*"):
        if path.is_file():
            blind(path)

    second = scan(tmp_path / "in")

    assert len(first.series) == 2
    assert second.files == first.files
    assert repr(second.series) == repr(first.series)
    assert second.identities == first.identities


def test_a_file_that_came_is_read_and_the_others_are_not(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", Phantom(name="one"))
    scan(tmp_path / "in")
    for path in paths:
        blind(path)
    write_series(tmp_path / "in" / "deep", Phantom(name="other"))

    assert len(scan(tmp_path / "in").series) == 2


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", Phantom(name="one"))
    scan(tmp_path / "in")
    paths[0].write_bytes(b"nonsense")

    second = scan(tmp_path / "in")

    rows = {row.path: row.fate for row in second.files}
    assert rows[str(paths[0])] == "not_an_image"


def test_members_of_an_archive_are_decoded_from_where_they_lie_now(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", Phantom(name="one"))
    (tmp_path / "zipped").mkdir()
    with zipfile.ZipFile(tmp_path / "zipped" / "a.zip", "w") as archive:
        for number, path in enumerate(paths):
            archive.write(path, f"IM{number}")
    plain = decode(scan(tmp_path / "in").series[0])

    for name in ("first", "second"):
        (series,) = scan(tmp_path / "zipped", tmp_path / name).series
        assert all(tmp_path / name in path.parents for path in series.files)
        assert np.array_equal(decode(series).data, plain.data)
