"""Archives as inputs: zip, tar (plain, gz, bz2, xz) and single gzipped files, taken apart safely.

Nothing is written outside the scratch folder: names that climb out of it, links and
devices are refused one by one. Encrypted, damaged and exploding archives are refused
whole, since half an archive would pass for a series with missing slices. An archive
inside an archive is refused by name. A member is shown as `archive.zip!member`.
"""

import dataclasses
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Self

from diascope.errors import InputError, PipelineError, UnsupportedInput
from diascope.findings import Failure
from diascope.io.damage import damage_of
from diascope.io.outfolder import file_digest, output_errors
from diascope.io.packed import Limit, PackedStream, packing_of, unpacked_head
from diascope.io.reader import HEAD_BYTES, Context, FoundFile, Unpacked, failure_of
from diascope.io.series import FileFate, FileRecord

Kind = Literal["zip", "tar", "gz", "foreign"]

MAX_MEMBERS = 1_000_000
"""An archive with more members is refused; a large department has fewer files in a year."""

# A tar header is a block of 512 bytes with this mark; the formats before POSIX
# (1988) have none, and are told from anything else by nothing.
_TAR_MARK_AT = 257
_TAR_MARK = b"ustar"

# Recognised, so that they are refused by their name and not as "no image".
_FOREIGN = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar", b"\x28\xb5\x2f\xfd": "zstd", b"MSCF": "cab"}

# Members by which a zip is known as a document or program, not as a box of files.
_DOCUMENT_MARKS = ("[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF", "AndroidManifest.xml")

# Longer names fit neither the scratch folder's file system nor a table.
_MAX_NAME_BYTES = 1024
_MAX_PART_BYTES = 200

_CHUNK_BYTES = 2**20
_TAR_BUFFER_BYTES = 2**18
_MAX_EXTENDED_HEADER_BYTES = 2**20
_ZIP_ENCRYPTED = 0x1


def claims(head: bytes, name: str) -> bool:
    """Say whether a file is an archive, or a compressed file that no reader opens by itself.

    Args:
        head: Its first bytes, compressed or with gzip undone.
        name: Its name; only `.nii.gz` and the like need it.
    """
    return _kind(head, name) is not None


def unpack(file: FoundFile, context: Context) -> Unpacked:
    """Unpack an archive below the scratch folder.

    An archive that is refused leaves nothing behind.

    Returns:
        The members as files, and a record for the archive and each member left out.

    Raises:
        OutputError: The disk cannot hold the members.
    """
    if context.scratch is None:
        failure = Failure("archive_off", "archives are not opened here", "unpack it and give the folder")
        return Unpacked((), (context.record(file, "refused", failure),))
    intake = _Intake(file, context, context.scratch / context.key.file_id(file.shown))
    try:
        return intake.take_all()
    except PipelineError as error:
        failure = failure_of(error)
    except _DAMAGED as error:
        failure = Failure("archive_damaged", f"the archive cannot be read: {damage_of(error)}", "get the file again")
    except OSError as error:
        reason = error.strerror or "its data are damaged"
        failure = Failure("cannot_read", f"the archive cannot be read: {reason}", "get the file again")
    shutil.rmtree(intake.folder, ignore_errors=True)
    fate: FileFate = "not_an_image" if failure.code in _NO_IMAGES else "refused"
    return Unpacked((), (context.record(file, fate, failure),))


def _kind(head: bytes, name: str) -> Kind | None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if any(head.startswith(mark) for mark in _FOREIGN):
        return "foreign"
    plain = unpacked_head(head, HEAD_BYTES)
    if plain[_TAR_MARK_AT:].startswith(_TAR_MARK) or (packing_of(head) == "bz2" and _BZ2_TAR_NAME.search(name)):
        return "tar"
    packed = packing_of(head) is not None or Path(name).suffix.lower() in _PACKED_SUFFIXES
    # NIfTI, NRRD and the like are read as they are, gzip included.
    return "gz" if packed and plain[128:132] == b"DICM" else None


_PACKED_SUFFIXES = {".gz", ".bz2", ".xz"}

# bz2 gives nothing before a block of up to 900 kB is whole, so that its name must do.
_BZ2_TAR_NAME = re.compile(r"\.(tar\.bz2|tbz2?)$", re.IGNORECASE)
_NO_IMAGES = {"document", "empty_archive"}


@dataclass(frozen=True, slots=True)
class _Member:
    """One thing in an archive.

    Attributes:
        name: As the archive writes it.
        open: Gives its bytes; not called for what is refused.
        refused: Why it may not be unpacked, None if it may.
    """

    name: str
    open: Callable[[], IO[bytes]]
    refused: Failure | None = None


class _Intake:
    """Takes the members of one archive, one after the other.

    Attributes:
        folder: Where they go.
    """

    def __init__(self, file: FoundFile, context: Context, folder: Path) -> None:
        self.folder = folder
        self._file = file
        self._context = context
        self._limit = Limit(context.settings.max_unpacked_gb * 1e9, context.settings.max_unpack_ratio)
        self._files: list[FoundFile] = []
        self._records: list[FileRecord] = []
        self._shown: set[str] = set()
        self._unpacked_bytes = 0

    def take_all(self) -> Unpacked:
        with output_errors("the members of an archive"):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, mode=0o700)
        with self._file.path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        for at, member in enumerate(self._members(head)):
            if at >= MAX_MEMBERS:
                raise UnsupportedInput(f"the archive has more than {MAX_MEMBERS} members", code="archive_too_large")
            self._take(member)
        if not self._shown:
            raise InputError("the archive is empty", code="empty_archive")
        what = Failure("archive", f"taken apart: {len(self._shown)} members, each with a row of its own", "")
        return Unpacked(tuple(self._files), (self._context.record(self._file, "skipped", what), *self._records))

    def _members(self, head: bytes) -> Iterator[_Member]:
        kind = _kind(head, self._file.shown)
        if kind == "zip":
            return _zip_members(self._file.path, self._limit)
        if kind == "tar":
            return _tar_members(self._file.path, self._limit)
        if kind == "gz":
            return _single_member(self._file, self._limit)
        name = next((name for mark, name in _FOREIGN.items() if head.startswith(mark)), "unknown")
        raise UnsupportedInput(
            f"{name} archives are not opened", hint="unpack it and give the folder", code="unsupported_archive"
        )

    def _take(self, member: _Member) -> None:
        shown, twice = self._shown_name(member.name)
        found = dataclasses.replace(self._file, shown=shown, size_bytes=0)
        target = _inside(self.folder, member.name)
        failure = member.refused or (_TWICE if twice else None) or (_UNSAFE_NAME if target is None else None)
        if failure is None and target is not None:
            failure = self._unpack(member, target)
        if failure is None and target is not None:
            # As old as its archive: unpacked a second time it is the same file.
            os.utime(target, ns=(self._file.mtime_ns, self._file.mtime_ns))
            size_bytes, sha256 = target.stat().st_size, file_digest(target)
            self._files.append(dataclasses.replace(found, path=target, size_bytes=size_bytes, sha256=sha256))
        else:
            self._records.append(self._context.record(found, "refused", failure))

    def _unpack(self, member: _Member, target: Path) -> Failure | None:
        """Write a member to its place; say why not, if it must not stay there."""
        if target.exists() or any(parent.is_file() for parent in target.parents):
            return _TWICE
        with output_errors("a member of an archive"):
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            target.touch(mode=0o600, exist_ok=False)
        with member.open() as source, target.open("wb") as sink:
            head = source.read(HEAD_BYTES)
            if claims(head, member.name) and _kind(head, member.name) != "gz":
                target.unlink()
                return _NESTED
            chunk = head
            while chunk:
                self._unpacked_bytes += len(chunk)
                self._limit.check(self._file.size_bytes, self._unpacked_bytes)
                with output_errors("a member of an archive"):
                    sink.write(chunk)
                chunk = source.read(_CHUNK_BYTES)
        if _kind(head, member.name) == "gz":
            self._gunzip_in_place(target)
        return None

    def _gunzip_in_place(self, target: Path) -> None:
        plain = target.with_name(f"{target.name}.plain")
        with PackedStream(target, self._limit) as source, plain.open("xb") as sink:
            shutil.copyfileobj(source, sink, _CHUNK_BYTES)
        plain.replace(target)

    def _shown_name(self, name: str) -> tuple[str, bool]:
        """Give the name by which a member is accounted for; each is there once."""
        shown = f"{self._file.shown}!{name}"
        twice, number = shown in self._shown, 2
        while shown in self._shown:
            shown, number = f"{self._file.shown}!{name}#{number}", number + 1
        self._shown.add(shown)
        return shown, twice


_UNSAFE_NAME = Failure("unsafe_name", "the member's name leads out of its archive, or is too long", "unpack it by hand")
_TWICE = Failure("duplicate_member", "the archive holds two members of this name", "unpack it by hand")
_NESTED = Failure("nested_archive", "an archive inside an archive is not opened", "unpack it and give the folder")
_LINK = Failure("archive_link", "the member is a link, which may lead out of the archive", "pack the file itself")
_SPECIAL = Failure("archive_special", "the member is a device, pipe or sparse file", "pack a plain file")

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, struct.error, ValueError, RuntimeError)


def _inside(folder: Path, name: str) -> Path | None:
    """Find the place of a member below a folder; None if its name leads elsewhere."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    encoded = [part.encode("utf-8", "surrogateescape") for part in parts]
    is_odd = name.startswith("/") or "\\" in name or "\0" in name or ".." in parts or name[1:2] == ":"
    if is_odd or not parts or len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME_BYTES:
        return None
    if any(len(part) > _MAX_PART_BYTES for part in encoded):
        return None
    return folder.joinpath(*parts)


def _zip_members(path: Path, limit: Limit) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        _check_zip(infos, limit)
        for info in infos:
            is_link = stat.S_ISLNK(info.external_attr >> 16)
            yield _Member(info.filename, lambda info=info: archive.open(info), _LINK if is_link else None)  # type: ignore[misc]


def _check_zip(infos: list[zipfile.ZipInfo], limit: Limit) -> None:
    """Refuse by the table of contents, before a byte is unpacked."""
    if any(info.filename in _DOCUMENT_MARKS for info in infos):
        raise InputError("a document or program, not a box of files", code="document")
    if any(info.flag_bits & _ZIP_ENCRYPTED for info in infos):
        raise UnsupportedInput(
            "the archive is encrypted", hint="unpack it and give the folder", code="encrypted_archive"
        )
    for info in infos:
        limit.check(info.compress_size, info.file_size)
    if odd := {info.compress_type for info in infos} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}:
        raise UnsupportedInput(
            f"the archive is packed by method {min(odd)}, which is not opened",
            hint="unpack it and give the folder",
            code="unsupported_archive",
        )


def _tar_members(path: Path, limit: Limit) -> Iterator[_Member]:
    with (
        PackedStream(path, limit) as stream,
        _StrictTar.open(fileobj=stream, mode="r|", bufsize=_TAR_BUFFER_BYTES) as archive,
    ):
        while (info := archive.next()) is not None:
            # tarfile remembers every member; a million of them are a gigabyte.
            archive.members.clear()  # type: ignore[attr-defined]  # not in typeshed
            if info.isdir():
                continue
            failure = _LINK if info.islnk() or info.issym() else None
            if failure is None and (not info.isreg() or info.issparse()):
                failure = _SPECIAL
            yield _Member(info.name, lambda info=info: _content(archive, info), failure)  # type: ignore[misc]


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(info)
    if content is None:
        raise tarfile.ReadError("no content")
    return content


def _single_member(file: FoundFile, limit: Limit) -> Iterator[_Member]:
    name = Path(file.shown).name
    stem = name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in _PACKED_SUFFIXES else name
    yield _Member(stem, lambda: PackedStream(file.path, limit))  # type: ignore[arg-type,return-value]  # read and close are all that is used


class _StrictInfo(tarfile.TarInfo):
    """Tells a damaged header from the end of the archive; tarfile takes both for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        is_extended = info.type in (
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )
        # tarfile reads these into memory, whatever size they state.
        if is_extended and info.size > _MAX_EXTENDED_HEADER_BYTES:
            raise tarfile.ReadError("an extended header that is too long")
        return info

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in typeshed
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


class _StrictTar(tarfile.TarFile):
    """Refuses an archive that does not end as one must (two blocks of zeros, POSIX pax)."""

    tarinfo = _StrictInfo
