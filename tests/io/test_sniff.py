"""A file that no reader claims is a stray file, or a broken image; it says which."""

import gzip
from pathlib import Path

import pytest

from diascope.io.files import find_files
from diascope.io.sniff import read_head, unclaimed


@pytest.mark.parametrize(
    ("name", "content", "fate", "code"),
    [
        ("notes.txt", b"hello", "not_an_image", "text"),
        ("notes", "Größe in mm, ein langer Text".encode(), "not_an_image", "text"),
        ("viewer.exe", b"MZ\x90\0", "not_an_image", "program"),
        ("run", b"\x7fELF\2", "not_an_image", "program"),
        ("report.pdf", b"%PDF-1.4", "not_an_image", "document"),
        ("a.sqlite", b"SQLite format 3\0", "not_an_image", "database"),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "not_an_image", "unknown_format"),
        ("._IM0001.dcm", b"\x00\x05\x16\x07\0\2\0\0Mac OS X", "not_an_image", "macos_metadata"),
        ("empty", b"", "not_an_image", "empty_file"),
        ("empty.dcm", b"", "failed", "empty_file"),
        ("scan.dcm", b"\0" * 50, "failed", "corrupt"),
        ("scan.nii.gz", gzip.compress(b"text"), "failed", "corrupt"),
        ("scan.nii.gz", b"\x1f\x8b broken", "failed", "corrupt"),
        ("film.PNG", b"text", "failed", "corrupt"),
    ],
)
def test_unclaimed_files_are_told_apart(tmp_path: Path, name: str, content: bytes, fate: str, code: str) -> None:
    (tmp_path / name).write_bytes(content)
    (file,) = find_files([tmp_path]).files

    found_fate, failure = unclaimed(file, read_head(file))

    assert (found_fate, failure.code) == (fate, code)


def test_the_head_of_a_compressed_file_is_that_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(b"content" * 10_000))
    (file,) = find_files([tmp_path]).files

    head = read_head(file)

    assert head.content.startswith(b"contentcontent")
    assert len(head.content) <= 4096


def test_a_bomb_is_not_unpacked_by_looking_at_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(bytes(50_000_000)))
    (file,) = find_files([tmp_path]).files

    assert len(read_head(file).content) <= 4096
