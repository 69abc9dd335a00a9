"""A second scan opens only files that are new or have changed."""

import dataclasses
import os
import pickle
import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from diascope.findings import Failure
from diascope.identity import IdentityKey
from diascope.io.header_cache import SqliteHeaderCache, packed_header, read_through, unpacked_header
from diascope.io.reader import FoundFile, IngestSettings, Origin

KEY = IdentityKey(bytes(range(32)))
SETTINGS = IngestSettings()


def files(count: int = 5) -> list[FoundFile]:
    return [FoundFile(Path(f"/in/\udcff{n}"), f"/in/\udcff{n}", 100 + n, 7) for n in range(count)]


class Reading:
    """A reader that counts what it opens."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def __call__(self, some: Sequence[FoundFile]) -> list[Failure]:
        self.opened += [file.shown for file in some]
        return [Failure("code", f"reason {file.shown!r}", "") for file in some]


def scan(
    cache_file: Path, found: Sequence[FoundFile], key: IdentityKey = KEY, settings: IngestSettings = SETTINGS
) -> list[str]:
    """Scan once; give the files that had to be opened."""
    reading = Reading()
    with SqliteHeaderCache(cache_file, key, settings) as cache:
        headers = read_through(cache, found, reading)
    assert headers == Reading()(found), "whatever was cached, the result is the same"
    return reading.opened


def test_a_second_scan_opens_nothing(tmp_path: Path) -> None:
    assert len(scan(tmp_path / "c", files())) == 5
    assert scan(tmp_path / "c", files()) == []


@pytest.mark.parametrize(
    "change", [{"size_bytes": 1}, {"mtime_ns": 8}, {"origin": Origin("case")}, {"shown": "/in/new"}]
)
def test_a_file_that_changed_is_opened_again(tmp_path: Path, change: dict[str, object]) -> None:
    scan(tmp_path / "c", files())
    changed = files()
    changed[2] = dataclasses.replace(changed[2], **change)  # type: ignore[arg-type]

    assert scan(tmp_path / "c", changed) == [changed[2].shown]


def test_another_key_or_other_facts_to_keep_read_everything_again(tmp_path: Path) -> None:
    scan(tmp_path / "c", files())

    assert len(scan(tmp_path / "c", files(), key=IdentityKey(bytes(32)))) == 5
    assert len(scan(tmp_path / "c", files(), settings=IngestSettings(keep_facts=("StationName",)))) == 5
    assert scan(tmp_path / "c", files(), settings=IngestSettings(allow_gaps=True, processes=1)) == []


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"this is no database, and longer than a header of one" * 50)

    assert len(scan(tmp_path / "c", files())) == 5
    assert scan(tmp_path / "c", files()) == []


def test_a_cache_that_another_run_holds_is_done_without_and_left_alone(tmp_path: Path) -> None:
    scan(tmp_path / "c", files())
    other = sqlite3.connect(tmp_path / "c", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    assert len(scan(tmp_path / "c", files())) == 5

    other.close()
    assert scan(tmp_path / "c", files()) == []


def test_a_cache_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()

    assert len(scan(tmp_path / "c", files())) == 5


def test_only_its_owner_can_read_the_cache(tmp_path: Path) -> None:
    scan(tmp_path / "c", files())

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_without_a_cache_every_file_is_read() -> None:
    reading = Reading()

    assert len(read_through(None, files(), reading)) == 5
    assert len(reading.opened) == 5


def test_bytes_that_would_call_something_make_no_header(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    assert unpacked_header(pickle.dumps(Evil())) is None
    assert not (tmp_path / "made").exists()
    assert unpacked_header(b"nonsense") is None
    assert unpacked_header(packed_header(Failure("a", "b", "c"))) == Failure("a", "b", "c")


def test_bytes_that_would_call_what_a_module_imports_make_no_header(tmp_path: Path) -> None:
    file = str(tmp_path / "made").encode()
    # Path.write_text of diascope.io.reader, called with a path and a text (pickle, protocol 4).
    path = b"cpathlib\nPosixPath\n(V" + file + b"\ntR"
    by_dotted_name = b"\x80\x04\x8c\x12diascope.io.reader\x8c\x0fPath.write_text\x93(" + path + b"Vtext\ntR."
    by_import = b"cdiascope.io.reader\nPath\n(V" + file + b"\ntR."

    assert unpacked_header(by_dotted_name) is None
    assert not (tmp_path / "made").exists()
    assert unpacked_header(by_import) is None
