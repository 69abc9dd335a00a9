"""What is told of broken files: words, never the name of an exception."""

import csv
import gzip
import re
import zipfile
from pathlib import Path

import pytest

from diascope.io.damage import damage_of
from tests.io.dicom_phantoms import Phantom, save, slice_of
from tests.io.reading import read


def remains(folder: Path) -> None:
    """Write what is left of files of every kind."""
    whole = save(slice_of(Phantom(), 0), folder / "whole.dcm").read_bytes()
    beginnings = {
        "a.dcm": whole[:600], "b.dcm": whole[:132], "c.nii": b"\x5c\x01\0\0" + bytes(90), "d.nrrd": b"NRRD0004\n",
        "e.mha": b"ObjectType = Image\nNDims = 3\n", "f.png": b"\x89PNG\r\n\x1a\n\0\0",
        "g.jpg": b"\xff\xd8\xff\xe0\0\x10",
        "h.tif": b"II*\0\xff\0\0\0", "i.zip": b"PK\x03\x04", "j.tar.xz": b"\xfd7zXZ\0", "k.nii.gz": b"\x1f\x8b\x08",
        "l.tar.gz": gzip.compress(bytes(600))[:12], "m.dcm": b"",
        "n.nii.gz": gzip.compress(b"\x5c\x01\0\0" + bytes(400))[:-9],
    }  # fmt: skip
    for name, content in beginnings.items():
        (folder / name).write_bytes(content)


def test_what_is_left_of_a_file_is_told_in_words(tmp_path: Path) -> None:
    remains(tmp_path / "in")

    found = read(tmp_path / "in", scratch=tmp_path / "scratch")

    told = [row.reason for row in found.files if row.fate in {"failed", "refused", "not_an_image"}]
    assert len(told) == 14
    assert all(told)
    assert not [reason for reason in told if re.search(r"Error|Exception|EOF|BadZip", reason)], told


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EOFError("Compressed file ended"), "ends too early"),
        (zipfile.BadZipFile("x"), "packing"),
        (UnicodeDecodeError("utf-8", b"Meyer", 0, 1, "bad"), "characters"),
        (MemoryError(), "impossible sizes"),
        (KeyError("Meyer^Anna"), "missing"),
        (PermissionError(13, "Permission denied"), "permission denied"),
        (csv.Error("line contains NUL"), "damaged"),
    ],
)
def test_an_exception_becomes_words_and_its_own_text_is_not_told(error: Exception, words: str) -> None:
    assert words in damage_of(error)
    assert "Meyer" not in damage_of(error)
