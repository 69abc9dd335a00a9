"""Tell what a file is by its first bytes."""

import zlib
from dataclasses import dataclass

from diascope.findings import Failure
from diascope.io.reader import HEAD_BYTES, FoundFile
from diascope.io.series import FileFate

GZIP_MAGIC = b"\x1f\x8b"

APPLE_DOUBLE = b"\x00\x05\x16\x07"
"""Begins the `._name` that macOS writes beside `name` on foreign disks, suffix included."""

IMAGE_SUFFIXES = (
    ".dcm", ".dicom", ".ima", ".nii", ".hdr", ".img", ".nrrd", ".nhdr", ".mha", ".mhd",
    ".png", ".jpg", ".jpeg", ".tif", ".tiff",
)  # fmt: skip
"""Names that promise an image: a file with one of them that is none is a failure, not a stray file."""

KNOWN_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF", "document", "a PDF document"),
    (b"MZ", "program", "a Windows program"),
    (b"\x7fELF", "program", "a Linux program"),
    (b"\xca\xfe\xba\xbe", "program", "a Java or macOS program"),
    (b"SQLite format 3", "database", "a database"),
    (b"\x89HDF", "hdf5", "an HDF5 file"),
    (b"GIF8", "picture", "a GIF picture"),
    (b"RIFF", "media", "a sound or film"),
    (b"PK\x03\x04", "archive", "a zip archive"),
    (b"Rar!", "archive", "a RAR archive"),
    (b"7z\xbc\xaf", "archive", "a 7-Zip archive"),
    (b"BZh", "archive", "a bzip2 archive"),
    (b"\xfd7zXZ", "archive", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "archive", "a zstandard archive"),
    (b"<?xml", "text", "an XML text"),
    (APPLE_DOUBLE, "macos_metadata", "what macOS leaves beside a file"),
)


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a file.

    Attributes:
        content: Its first bytes, gzip undone.
        raw: Its first bytes as they are.
    """

    content: bytes
    raw: bytes


def read_head(file: FoundFile) -> Head:
    """Read the first bytes of a file.

    Raises:
        OSError: The file cannot be read.
    """
    with file.path.open("rb", buffering=0) as stream:
        raw = stream.read(HEAD_BYTES)
    if not raw.startswith(GZIP_MAGIC):
        return Head(raw, raw)
    try:
        return Head(zlib.decompressobj(wbits=31).decompress(raw, HEAD_BYTES), raw)
    except zlib.error:
        return Head(b"", raw)


def unclaimed(file: FoundFile, head: Head) -> tuple[FileFate, Failure]:
    """Say why a file that no reader claims is no image, or a broken one."""
    name = file.path.name.lower().removesuffix(".gz")
    if name.endswith(IMAGE_SUFFIXES) and not head.content.startswith(APPLE_DOUBLE):
        return "failed", _broken_image(file)
    return "not_an_image", _stray(file, head)


def _broken_image(file: FoundFile) -> Failure:
    if file.size_bytes == 0:
        return Failure("empty_file", "named like an image, but it has no bytes", "copy it again")
    return Failure("corrupt", "named like an image, but its content is none", "copy it again")


def _stray(file: FoundFile, head: Head) -> Failure:
    if file.size_bytes == 0:
        return Failure("empty_file", "it has no bytes", "")
    for magic, code, words in KNOWN_KINDS:
        if head.content.startswith(magic):
            return Failure(code, words, "")
    if _is_text(head.content):
        return Failure("text", "a text", "")
    return Failure("unknown_format", "no reader knows this kind of file", "")


def _is_text(content: bytes) -> bool:
    # A multi-byte character may be cut at the end of the head.
    for cut in range(4):
        try:
            text = content[: len(content) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text)
    return False
