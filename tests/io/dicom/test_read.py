"""Headers as they are in real life: without meta group, in wrong alphabets, with programs in front."""

import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from diascope.io.dicom.elements import looks_like_dicom
from tests.io.dicom_phantoms import Phantom, save, slice_of, with_tags, without_tags, write_series
from tests.io.reading import fates, only_series, only_volume, read


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_files_without_preamble_and_meta_group_are_read(tmp_path: Path, syntax: str) -> None:
    phantom = Phantom()
    for k in range(11):
        dataset = Dataset(slice_of(phantom, k))
        dataset.save_as(tmp_path / f"IM{k}", implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
        assert (tmp_path / f"IM{k}").read_bytes()[:2] == b"\x08\x00"

    found = read(tmp_path)

    np.testing.assert_array_equal(only_volume(found).data, phantom.data)
    assert any("without a DICOM file header" in note for note in only_series(found).notes)


@pytest.mark.parametrize(("program", "is_flagged"), [(b"MZ\x90\0", True), (b"\x7fELF", True), (b"II*\0", False)])
def test_a_program_in_the_preamble_is_flagged_and_the_image_read(
    tmp_path: Path, program: bytes, is_flagged: bool
) -> None:
    for path in write_series(tmp_path, Phantom()):
        raw = path.read_bytes()
        path.write_bytes(program + raw[len(program) :])

    found = read(tmp_path)

    np.testing.assert_array_equal(only_volume(found).data, Phantom().data)
    assert any("a program hides in the preamble" in note for note in only_series(found).notes) == is_flagged


def test_a_zip_in_the_preamble_is_still_a_dicom_file(tmp_path: Path) -> None:
    for path in write_series(tmp_path, Phantom()):
        path.write_bytes(b"PK\3\4" + path.read_bytes()[4:])

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data, Phantom().data)


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR 100", "ISO 2022 IR 87", "NO_SUCH_SET", ""])
def test_a_wrong_character_set_stops_nothing(tmp_path: Path, charset: str) -> None:
    for path in write_series(tmp_path, Phantom(), with_tags(PatientName="Quixote^Alonsoo")):
        raw = path.read_bytes().replace(b"Alonsoo", b"Al\xf3ns\xff\xe9")
        dataset_charset = b"\x08\x00\x05\x00CS" + struct.pack("<H", len(charset) + len(charset) % 2)
        charset_value = charset.encode() + b" " * (len(charset) % 2)
        at = raw.index(b"\x08\x00\x08\x00CS")
        path.write_bytes(raw[:at] + dataset_charset + charset_value + raw[at:])

    found = read(tmp_path)

    assert only_volume(found).data.shape == (5, 7, 11)
    assert found.identities[0].patient_name.startswith("Quixote")


def test_missing_type_2_elements_stop_nothing(tmp_path: Path) -> None:
    gone = (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "SeriesDate", "StudyTime",
        "AccessionNumber", "InstanceNumber", "SeriesNumber", "PatientAge", "Manufacturer", "FrameOfReferenceUID",
    )  # fmt: skip
    write_series(tmp_path, Phantom(), without_tags(*gone))

    found = read(tmp_path)

    np.testing.assert_array_equal(only_volume(found).data, Phantom().data)
    assert only_series(found).facts.patient_key is None


def test_missing_uids_group_by_folder_and_number(tmp_path: Path) -> None:
    write_series(tmp_path / "a", Phantom(), without_tags("StudyInstanceUID", "SeriesInstanceUID"))
    write_series(tmp_path / "b", Phantom(name="b"), without_tags("StudyInstanceUID", "SeriesInstanceUID"))

    found = read(tmp_path)

    assert len(found.series) == 2
    assert len({series.case_id for series in found.series}) == 2


def test_undefined_lengths_and_nested_sequences_are_walked_over(tmp_path: Path) -> None:
    def nested(_: int, dataset: Dataset) -> Dataset:
        inner = Dataset()
        inner.CodeValue, inner.PixelSpacing = "1", [9, 9]
        for _ in range(12):
            outer = Dataset()
            outer.ProcedureCodeSequence = [inner]
            outer["ProcedureCodeSequence"].is_undefined_length = True
            inner = outer
        dataset.ProcedureCodeSequence = [inner]
        dataset["ProcedureCodeSequence"].is_undefined_length = True
        return dataset

    write_series(tmp_path, Phantom(), nested)

    found = read(tmp_path)

    np.testing.assert_array_equal(only_volume(found).data, Phantom().data)
    assert only_series(found).space is not None


def sequences_in_sequences(depth: int) -> bytes:
    """A data set that opens sequences and never closes them."""
    start = b"\0" * 128 + b"DICM" + b"\x02\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0"
    return start + (b"\x08\0\x10\x11SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\0\xe0" + b"\xff" * 4) * depth


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (sequences_in_sequences(100_000), "corrupt"),
        (sequences_in_sequences(5), "truncated"),
        (b"\0" * 128 + b"DICM", "truncated"),
        (b"\0" * 128 + b"DICM" + b"\x02\0\x10\0UI\xff\xff", "truncated"),
        (b"\0" * 128 + b"DICM" + b"\x08\0\x05\0OB\0\0\xfe\xff\xff\xff" + b"\0" * 100, "truncated"),
        (b"\0" * 128 + b"DICM" + b"\x02\0\x10\0\0\0\0\0" + b"\0" * 100, "corrupt"),
    ],
)
def test_absurd_lengths_and_depths_are_refused_at_once(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "file").write_bytes(content)

    assert fates(read(tmp_path)) == {("failed", code): 1}


def test_a_header_longer_than_allowed_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom(shape=(5, 7, 1)))

    assert fates(read(tmp_path, max_header_mb=0.0004)) == {("failed", "too_large"): 1}


@pytest.mark.parametrize(
    "change",
    [
        with_tags(Rows=0),
        with_tags(BitsStored=17, HighBit=16),
        without_tags("Rows"),
        without_tags("BitsAllocated"),
        with_tags(BitsAllocated=12, BitsStored=12, HighBit=11),
    ],
)
def test_numbers_that_make_no_image_are_told(tmp_path: Path, change: object) -> None:
    write_series(tmp_path, Phantom(shape=(5, 7, 1)), change)  # type: ignore[arg-type]

    ((fate, code),) = fates(read(tmp_path))

    assert fate == "failed"
    assert code in {"bad_shape", "bad_bits"}


def test_numbers_that_are_none_do_not_become_geometry(tmp_path: Path) -> None:
    for path in write_series(tmp_path, Phantom(), with_tags(PixelSpacing=[0.75, 0.75])):
        path.write_bytes(path.read_bytes().replace(b"0.75\\0.75", b"nan \\inf "))

    series = only_series(read(tmp_path))

    assert type(series.space).__name__ == "IndexGrid"


@pytest.mark.parametrize(
    "head", [b"", b"\x08", b"\x08\0\x05\0", b"hello world, this is text", bytes(200), b"\x08\0\x05\0" + bytes(20)]
)
def test_what_is_no_dicom_is_not_claimed(head: bytes) -> None:
    assert not looks_like_dicom(head)


def test_every_cut_of_a_file_is_read_or_named(tmp_path: Path) -> None:
    whole = save(slice_of(Phantom(shape=(5, 7, 1)), 0), tmp_path / "whole").read_bytes()
    pixels_at = len(whole) - 70
    for end in range(0, len(whole), 7):
        (tmp_path / "cut.dcm").write_bytes(whole[:end])

        found = read(tmp_path / "cut.dcm")

        assert not found.series, f"cut at {end} of {len(whole)}"
        (record,) = found.files
        assert record.fate == "failed" or end < 132 or (end < pixels_at and record.fate == "not_an_image"), end
    assert dcmread(tmp_path / "whole").Rows == 7


def test_bytes_that_were_inserted_before_the_end_of_the_pixels_are_told(tmp_path: Path) -> None:
    healthy = slice_of(Phantom(shape=(5, 7, 1)), 0)
    path = save(healthy, tmp_path / "in" / "image")
    whole = path.read_bytes()
    assert not [note for note in only_series(read(tmp_path / "in")).notes if "belong to nothing" in note]
    path.write_bytes(whole[:-20] + b"\x07" * 33 + whole[-20:])

    assert "bytes behind the pixels of a file belong to nothing" in only_series(read(tmp_path / "in")).notes


def test_padding_and_private_elements_behind_the_pixels_are_no_news(tmp_path: Path) -> None:
    dataset = slice_of(Phantom(shape=(5, 7, 1)), 0)
    dataset.add_new(0xFFFCFFFC, "OB", bytes(64))
    save(dataset, tmp_path / "image")

    assert not [note for note in only_series(read(tmp_path)).notes if "belong to nothing" in note]
