"""A JPEG 2000 stream of another size than its header promises never reaches the decoder."""

import struct

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame

from diascope.errors import InputError
from diascope.io.dicom.jpeg2000 import check_jpeg2000

NAME = "MR_small_jp2klossless.dcm"


def stream_of() -> tuple[bytearray, pydicom.Dataset]:
    dataset = pydicom.dcmread(str(get_testdata_file(NAME)))
    return bytearray(get_frame(dataset.PixelData, 0, number_of_frames=1)), dataset


def test_a_healthy_stream_passes() -> None:
    stream, dataset = stream_of()

    check_jpeg2000(bytes(stream), dataset)


@pytest.mark.parametrize(
    ("at", "number", "words"),
    [
        (8, 0xFFFFFFFF, "its header promises"),
        (12, 65, "its header promises"),
        (16, 1, "its header promises"),
        (24, 0, "its tiles have no size"),
        (28, 0, "its tiles have no size"),
    ],
)
def test_a_damaged_size_is_refused_before_anything_is_computed(at: int, number: int, words: str) -> None:
    stream, dataset = stream_of()
    start = stream.index(b"\xff\x4f\xff\x51")
    stream[start + at : start + at + 4] = struct.pack(">I", number)

    with pytest.raises(InputError, match=words) as caught:
        check_jpeg2000(bytes(stream), dataset)
    assert caught.value.code == "broken_pixels"


def test_a_stream_of_a_million_tiles_is_refused() -> None:
    stream, dataset = stream_of()
    start = stream.index(b"\xff\x4f\xff\x51")
    dataset.Rows = dataset.Columns = 1000
    stream[start + 8 : start + 32] = struct.pack(">6I", 1000, 1000, 0, 0, 1, 1)

    with pytest.raises(InputError, match="more tiles"):
        check_jpeg2000(bytes(stream), dataset)


@pytest.mark.parametrize("content", [b"", b"no stream at all", b"\xff\x4f\xff\x51\x00"])
def test_another_content_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="does not begin"):
        check_jpeg2000(content, stream_of()[1])
