"""Compressed streams: the same bytes as the standard library gives, and a limit on what they grow to."""

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from diascope.errors import InputError, UnsupportedInput
from diascope.io.packed import HARMLESS_BYTES, Limit, PackedStream, packing_of, unpacked_head

COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
WIDE = Limit(1e12, 1e6)


def noise(size: int) -> bytes:
    return np.random.default_rng(20261120).integers(0, 64, size, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("packing", COMPRESS)
def test_a_stream_gives_the_bytes_that_were_packed(tmp_path: Path, packing: str) -> None:
    content, path = noise(1_234_567), tmp_path / "x"
    path.write_bytes(COMPRESS[packing](content))

    with PackedStream(path, WIDE) as stream:
        assert stream.read() == content
        assert stream.packed_bytes == path.stat().st_size
        assert stream.unpacked_bytes == len(content)
    assert packing_of(path.read_bytes()[:8]) == packing
    assert unpacked_head(path.read_bytes()[:4096], 100) in (content[:100], b""), (
        "bz2 gives nothing before a whole block"
    )


def test_a_plain_file_is_given_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"plain content")

    with PackedStream(path, WIDE) as stream:
        assert stream.read() == b"plain content"
    assert unpacked_head(b"plain", 3) == b"pla"


@pytest.mark.parametrize("packing", COMPRESS)
def test_streams_put_one_after_the_other_are_one(tmp_path: Path, packing: str) -> None:
    one, other, path = noise(300_001), noise(70_003), tmp_path / "x"
    path.write_bytes(COMPRESS[packing](one) + COMPRESS[packing](other))

    with PackedStream(path, WIDE) as stream:
        assert stream.read() == one + other


@pytest.mark.parametrize("packing", COMPRESS)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999])
def test_a_truncated_stream_is_told(tmp_path: Path, packing: str, kept: float) -> None:
    packed, path = COMPRESS[packing](noise(500_000)), tmp_path / "x"
    path.write_bytes(packed[: int(len(packed) * kept)])

    with PackedStream(path, WIDE) as stream, pytest.raises(InputError, match="end too early") as caught:
        stream.read()
    assert caught.value.code == "archive_truncated"


@pytest.mark.parametrize("packing", COMPRESS)
def test_a_damaged_stream_is_told(tmp_path: Path, packing: str) -> None:
    packed, path = bytearray(COMPRESS[packing](noise(500_000))), tmp_path / "x"
    packed[len(packed) // 2] ^= 0x10
    path.write_bytes(packed)

    with PackedStream(path, WIDE) as stream, pytest.raises(InputError):
        stream.read()


def test_growth_beyond_the_limits_is_refused_with_the_setting_that_allows_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(bytes(100_000)))

    with PackedStream(path, Limit(50_000, 1e6)) as stream, pytest.raises(UnsupportedInput) as caught:
        stream.read()

    assert caught.value.code == "archive_too_large"
    assert "max_unpacked_gb" in caught.value.hint


def test_only_what_is_large_is_judged_by_its_ratio() -> None:
    limit = Limit(1e12, 200)

    limit.check(packed_bytes=1, unpacked_bytes=HARMLESS_BYTES)
    limit.check(packed_bytes=HARMLESS_BYTES // 100, unpacked_bytes=HARMLESS_BYTES + 1)
    with pytest.raises(UnsupportedInput, match="more than 200 times"):
        limit.check(packed_bytes=HARMLESS_BYTES // 1000, unpacked_bytes=HARMLESS_BYTES + 1)


def test_an_xz_that_claims_gigabytes_of_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 * 2**20}]
    path.write_bytes(lzma.compress(b"small", filters=filters))

    with PackedStream(path, WIDE) as stream, pytest.raises(InputError) as caught:
        stream.read()

    assert caught.value.code == "archive_damaged"
