"""Archives are taken apart safely, or refused by name."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from isal import igzip

from diascope.identity import IdentityKey
from diascope.io.archives import claims, unpack
from diascope.io.reader import Context, FoundFile, IngestSettings, Unpacked

KEY = IdentityKey(bytes(range(32)))
DICOM = bytes(128) + b"DICM" + np.random.default_rng(7).integers(0, 99, 5000, dtype=np.uint8).tobytes()
MEMBERS = {"study one/IM1": DICOM, "study one/IM2": DICOM[::-1], "readme.txt": b"hello", "empty": b""}


def context(folder: Path, **settings: float) -> Context:
    return Context(KEY, IngestSettings(**settings), scratch=folder / "scratch")  # type: ignore[arg-type]


def found(path: Path) -> FoundFile:
    status = path.stat()
    return FoundFile(path, str(path), status.st_size, status.st_mtime_ns)


def taken_apart(path: Path, **settings: float) -> Unpacked:
    assert claims(path.read_bytes()[:4096], path.name), "the file must be recognised as an archive"
    return unpack(found(path), context(path.parent, **settings))


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("folder/"), b"")
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tar_bytes(members: dict[str, bytes], *more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info, content in more:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


def contents(unpacked: Unpacked, archive: Path) -> dict[str, bytes]:
    return {file.shown.removeprefix(f"{archive}!"): file.path.read_bytes() for file in unpacked.files}


def codes(unpacked: Unpacked) -> dict[str, str]:
    return {Path(row.path).name.partition("!")[2] or "archive": row.code for row in unpacked.records}


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]


def test_a_zip_gives_its_members_and_one_row_for_itself(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", MEMBERS)

    unpacked = taken_apart(archive)

    assert contents(unpacked, archive) == MEMBERS
    (row,) = unpacked.records
    assert (row.path, row.fate, row.code) == (str(archive), "skipped", "archive")
    assert [file.size_bytes for file in unpacked.files] == [len(content) for content in MEMBERS.values()]
    digests = [hashlib.sha256(content).hexdigest() for content in MEMBERS.values()]
    assert [file.sha256 for file in unpacked.files] == digests


@pytest.mark.parametrize("ending", PACK)
def test_a_tar_gives_its_members_however_it_is_packed(tmp_path: Path, ending: str) -> None:
    archive = tmp_path / f"a.{ending}"
    archive.write_bytes(PACK[ending](tar_bytes(MEMBERS)))

    unpacked = taken_apart(archive)

    assert contents(unpacked, archive) == MEMBERS
    assert codes(unpacked) == {"archive": "archive"}


def test_a_gzipped_dicom_file_is_one_member(tmp_path: Path) -> None:
    archive = tmp_path / "IM1.dcm.gz"
    archive.write_bytes(gzip.compress(DICOM))

    assert contents(taken_apart(archive), archive) == {"IM1.dcm": DICOM}


def test_a_gzipped_dicom_file_inside_a_zip_is_unpacked_too(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"IM1.dcm.gz": gzip.compress(DICOM)})

    assert contents(taken_apart(archive), archive) == {"IM1.dcm.gz": DICOM}


def test_a_gzipped_nifti_is_no_archive() -> None:
    assert not claims(gzip.compress(bytes(344) + b"n+1\0" + bytes(4000)), "head.nii.gz")
    assert not claims(DICOM, "IM1")
    assert not claims(b"", "empty")


def test_a_single_file_is_known_as_gzipped_dicom_from_its_inflated_head_too() -> None:
    assert claims(DICOM[:4096], "IM1.dcm.gz")


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "..\\evil", "a/" + "x" * 300, "/".join("abcdefgh" * 200)],
)
def test_a_name_that_leads_out_of_the_archive_is_refused_and_nothing_is_written_there(
    tmp_path: Path, name: str
) -> None:
    zip_archive = zipped(tmp_path / "a.zip", {name: b"evil", "good": DICOM})
    tar_archive = tmp_path / "a.tar"
    tar_archive.write_bytes(tar_bytes({name: b"evil", "good": DICOM}))

    for archive in (zip_archive, tar_archive):
        unpacked = taken_apart(archive)

        assert contents(unpacked, archive) == {"good": DICOM}
        assert sorted(row.code for row in unpacked.records) == ["archive", "unsafe_name"]
    assert not any(path.name == "evil" for path in files_below(tmp_path))


def test_links_and_devices_are_refused_by_name(tmp_path: Path) -> None:
    def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        return info, b""

    archive = tmp_path / "a.tar"
    more = [
        special("soft", tarfile.SYMTYPE, "/etc/passwd"),
        special("hard", tarfile.LNKTYPE, "good"),
        special("pipe", tarfile.FIFOTYPE),
        special("disk", tarfile.BLKTYPE),
        special("tty", tarfile.CHRTYPE),
    ]
    archive.write_bytes(tar_bytes({"good": DICOM}, *more))

    unpacked = taken_apart(archive)

    assert codes(unpacked) == {
        "archive": "archive",
        "soft": "archive_link",
        "hard": "archive_link",
        "pipe": "archive_special",
        "disk": "archive_special",
        "tty": "archive_special",
    }
    assert [stat.S_ISREG(path.lstat().st_mode) for path in files_below(tmp_path / "scratch")] == [True]


def test_a_symbolic_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    archive, info = tmp_path / "a.zip", zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr(info, "/etc/passwd")

    unpacked = taken_apart(archive)

    assert codes(unpacked) == {"archive": "archive", "link": "archive_link"}
    assert files_below(tmp_path / "scratch") == []


def test_a_member_cannot_be_written_through_a_link_that_came_before_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = tarfile.TarInfo("door")
    link.type, link.linkname = tarfile.SYMTYPE, str(outside)
    inner = tarfile.TarInfo("door/evil")
    inner.size = 4
    archive = tmp_path / "a.tar"
    archive.write_bytes(tar_bytes({}, (link, b""), (inner, b"evil")))

    taken_apart(archive)

    assert list(outside.iterdir()) == []


def test_two_members_of_one_name_are_two_rows(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(tar_bytes({"x": b"first"}, *[(_sized("x", 6), b"second"), (_sized("x/y", 1), b"z")]))

    unpacked = taken_apart(archive)

    assert contents(unpacked, archive) == {"x": b"first"}
    assert sorted(row.code for row in unpacked.records) == ["archive", "duplicate_member", "duplicate_member"]
    ids = [row.file_id for row in unpacked.records] + [KEY.file_id(file.shown) for file in unpacked.files]
    assert len(set(ids)) == 4


def _sized(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


@pytest.mark.parametrize("name", ["inner.zip", "no_ending"])
def test_an_archive_inside_an_archive_is_refused_by_name(tmp_path: Path, name: str) -> None:
    inner = zipped(tmp_path / "inner", {"x": b"x"}).read_bytes()
    archive = zipped(tmp_path / "a.zip", {name: inner, "a.tgz": gzip.compress(tar_bytes({"y": b"y"})), "good": DICOM})

    unpacked = taken_apart(archive)

    assert contents(unpacked, archive) == {"good": DICOM}
    assert codes(unpacked) == {"archive": "archive", name: "nested_archive", "a.tgz": "nested_archive"}


def refusal(path: Path, **settings: float) -> tuple[str, str]:
    """Fate and code of an archive that is refused whole, with nothing left behind."""
    unpacked = taken_apart(path, **settings)

    assert unpacked.files == ()
    (row,) = unpacked.records
    assert row.path == str(path)
    assert row.reason
    assert files_below(path.parent / "scratch") == []
    return row.fate, row.code


def test_an_encrypted_zip_is_refused_by_name(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"x": DICOM})
    data = bytearray(archive.read_bytes())
    local, central = data.index(b"PK\x03\x04"), data.rindex(b"PK\x01\x02")
    data[local + 6] |= 1
    data[central + 8] |= 1
    archive.write_bytes(data)

    assert refusal(archive) == ("refused", "encrypted_archive")


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.995])
def test_a_truncated_zip_is_refused(tmp_path: Path, kept: float) -> None:
    archive = zipped(tmp_path / "a.zip", MEMBERS)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * kept)])

    assert refusal(archive) == ("refused", "archive_damaged")


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("kept", [0.4, 0.8])
def test_a_truncated_tar_is_refused_whole(tmp_path: Path, ending: str, kept: float) -> None:
    noise = np.random.default_rng(3).integers(0, 99, (5, 20_000), dtype=np.uint8)
    data = PACK[ending](tar_bytes({f"IM{n}": noise[n].tobytes() for n in range(5)}))
    archive = tmp_path / f"a.{ending}"
    archive.write_bytes(data[: int(len(data) * kept)])

    fate, code = refusal(archive)

    assert fate == "refused"
    assert code in {"archive_damaged", "archive_truncated"}


def test_a_tar_cut_between_two_members_is_refused_whole(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(tar_bytes({"IM1": DICOM, "IM2": DICOM})[: 512 + 512 + 5632])

    assert refusal(archive) == ("refused", "archive_damaged")


def test_a_tar_with_a_damaged_header_in_its_middle_is_refused_whole(tmp_path: Path) -> None:
    data = bytearray(tar_bytes({"IM1": DICOM, "IM2": DICOM}))
    data[512 + 512 + 5632 + 150] ^= 0xFF
    archive = tmp_path / "a.tar"
    archive.write_bytes(data)

    assert refusal(archive) == ("refused", "archive_damaged")


def test_a_zip_with_a_damaged_member_is_refused_whole(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"good": b"good", "IM1": DICOM})
    data = bytearray(archive.read_bytes())
    data[data.index(b"IM1") + 2000] ^= 0xFF
    archive.write_bytes(data)

    assert refusal(archive) == ("refused", "archive_damaged")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"bomb": bytes(2**20)})
    stated, bomb = struct.pack("<I", 2**20), struct.pack("<I", 300 * 2**20)
    archive.write_bytes(archive.read_bytes().replace(stated, bomb))

    assert refusal(archive) == ("refused", "archive_bomb")


def test_a_zip_bomb_of_overlapping_members_is_refused(tmp_path: Path) -> None:
    """As David Fifield's: many entries of the table of contents point to one member."""
    archive = zipped(tmp_path / "a.zip", {"x000": bytes(2**20)})
    data = archive.read_bytes()
    at, end = data.rindex(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    entry = data[at:end]
    entries = b"".join(entry.replace(b"x000", f"x{n:03d}".encode()) for n in range(900))
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 900, 900, len(entries), at, 0)
    archive.write_bytes(data[:at] + entries + tail)

    fate, code = refusal(archive)

    assert fate == "refused"
    assert code in {"archive_bomb", "archive_damaged"}


def test_a_tar_bomb_is_stopped_while_it_is_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    with igzip.open(archive, "wb", compresslevel=1) as packed:
        packed.write(_sized("bomb", 300 * 2**20).tobuf())
        for _ in range(300):
            packed.write(bytes(2**20))

    assert refusal(archive) == ("refused", "archive_bomb")


def test_a_sum_of_members_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    members = {f"IM{n}": DICOM for n in range(4)}
    zip_archive = zipped(tmp_path / "a.zip", members)
    tar_archive = tmp_path / "a.tar"
    tar_archive.write_bytes(tar_bytes(members))

    for archive in (zip_archive, tar_archive):
        assert refusal(archive, max_unpacked_gb=15e-6) == ("refused", "archive_too_large")


def test_an_extended_header_of_gigabytes_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 5 * 2**30
    archive = tmp_path / "a.tar"
    archive.write_bytes(tar_bytes({"x": b"x"})[:1536] + info.tobuf(tarfile.GNU_FORMAT) + bytes(100_000))

    assert refusal(archive) == ("refused", "archive_damaged")


@pytest.mark.parametrize(
    ("head", "name"), [(b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07\x00", "rar"), (b"\x28\xb5\x2f\xfd", "zstd")]
)
def test_archives_of_other_kinds_are_refused_by_their_kind(tmp_path: Path, head: bytes, name: str) -> None:
    archive = tmp_path / "a"
    archive.write_bytes(head + bytes(500))

    (row,) = taken_apart(archive).records

    assert (row.fate, row.code) == ("refused", "unsupported_archive")
    assert name in row.reason


def test_an_office_document_is_no_image(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.docx", {"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"})

    assert refusal(archive) == ("not_an_image", "document")


def test_an_empty_archive_is_no_image(tmp_path: Path) -> None:
    assert refusal(zipped(tmp_path / "a.zip", {})) == ("not_an_image", "empty_archive")


def test_without_a_scratch_folder_archives_are_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", MEMBERS)

    (row,) = unpack(found(archive), Context(KEY, IngestSettings())).records

    assert (row.fate, row.code) == ("refused", "archive_off")


def test_what_is_unpacked_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    unpacked = taken_apart(zipped(tmp_path / "a.zip", MEMBERS))

    modes = {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (tmp_path / "scratch").rglob("*")}
    assert unpacked.files
    assert modes == {0}


def test_a_member_whose_name_is_no_text_comes_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"IM\xff\xfe1")
    archive = tmp_path / "a.tar"
    archive.write_bytes(tar_bytes({name: DICOM}))

    assert contents(taken_apart(archive), archive) == {name: DICOM}


def test_a_member_is_as_old_as_its_archive_whenever_it_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "scans.zip", MEMBERS)
    os.utime(path, ns=(10**18, 10**18))

    assert {file.path.stat().st_mtime_ns for file in taken_apart(path).files} == {10**18}
