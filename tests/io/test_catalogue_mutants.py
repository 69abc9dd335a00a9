"""Real files with planted damage: no crash, no hang, every file in one row (make torture)."""

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from diascope.errors import InputError
from diascope.io.decode import decode
from tests.io.dicom.test_mosaic import mosaic, united_imaging
from tests.io.dicom_phantoms import Phantom, enhanced, save, slice_of
from tests.io.reading import read

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"

# No file here takes longer than 0.1 s; a decoder that loops takes for ever.
MOST_SECONDS = 10.0


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small files of every kind."""
    folder = tmp_path_factory.mktemp("originals")
    phantom = Phantom()
    save(slice_of(phantom, 0), folder / "mr.dcm")
    save(slice_of(phantom, 0, "CT"), folder / "ct.dcm")
    save(enhanced(phantom), folder / "enhanced.dcm")
    save(mosaic(phantom), folder / "mosaic.dcm")
    save(united_imaging(phantom), folder / "grid.dcm")
    for name in ("one.nii", "one.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(phantom.data, np.diag([1.0, 2, 3, 1])), folder / name)
        nibabel.save(nibabel.Nifti2Image(phantom.data, np.diag([1.0, 2, 3, 1])), folder / name.replace("one", "two"))
    paths = [*folder.iterdir(), *(path for path in PYDICOM_FILES.glob("*.dcm") if path.stat().st_size < 60_000)]
    assert len(paths) > 50
    return {path.name: path.read_bytes() for path in sorted(paths)}


def flipped_bits(rng: random.Random, raw: bytearray, header: int) -> bytearray:
    for _ in range(rng.randrange(1, 20)):
        raw[rng.randrange(header)] ^= 1 << rng.randrange(8)
    return raw


def cut(rng: random.Random, raw: bytearray, header: int) -> bytearray:
    return raw[: rng.randrange(len(raw))]


def absurd_length(rng: random.Random, raw: bytearray, header: int) -> bytearray:
    at = rng.randrange(len(raw))
    raw[at : at + rng.randrange(1, 8)] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\xff\xff", b"\xfe\xff\0\xe0"])
    return raw


def removed(rng: random.Random, raw: bytearray, header: int) -> bytearray:
    start, end = sorted(rng.randrange(header) for _ in range(2))
    return raw[:start] + raw[end:]


def repeated(rng: random.Random, raw: bytearray, header: int) -> bytearray:
    start, end = sorted(rng.randrange(header) for _ in range(2))
    return raw[:end] + raw[start:end] * rng.randrange(1, 4) + raw[end:]


def other_bytes(rng: random.Random, raw: bytearray, header: int) -> bytearray:
    for _ in range(rng.randrange(1, 5)):
        raw[rng.randrange(header)] = rng.randrange(256)
    return raw


DAMAGES = (flipped_bits, cut, absurd_length, removed, repeated, other_bytes)


def mutants(originals: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(seed)
    names = sorted(originals)
    for _ in range(count):
        name = rng.choice(names)
        raw = bytearray(originals[name])
        # Half of the damage goes into the header, which is where it hurts.
        header = min(len(raw), 2500) if rng.random() < 0.5 else len(raw)
        yield name, bytes(rng.choice(DAMAGES)(rng, raw, header))


def assert_survived(folder: Path, name: str, raw: bytes) -> bool:
    path = folder / name
    path.write_bytes(raw)
    started = time.perf_counter()
    decoded = False
    found = read(path, release=[{"file": "*", "reason": "a public test file"}])
    assert len(found.files) == 1
    for series in found.series:
        with contextlib.suppress(InputError):
            decode(series)
            decoded = True
    assert time.perf_counter() - started < MOST_SECONDS
    path.unlink()
    return decoded


def test_a_few_damaged_files_are_read_or_named(tmp_path: Path, originals: dict[str, bytes]) -> None:
    decoded = [assert_survived(tmp_path, name, raw) for name, raw in mutants(originals, 150, seed=7)]

    assert 0 < sum(decoded) < len(decoded)


@pytest.mark.torture
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_damaged_files_are_read_or_named(tmp_path: Path, originals: dict[str, bytes], seed: int) -> None:
    for name, raw in mutants(originals, 1000, seed=1000 + seed):
        assert_survived(tmp_path, name, raw)
