"""Files of every kind we read, and what can happen to them on the way.

Run as a program it reads mutants one after the other and writes a line of JSON each, so
that a crash or a hang of the process names the mutant that did it:

    python -m tests.torture.mutants FOLDER FIRST COUNT [REAL_DATA]
"""

import bz2
import gzip
import json
import resource
import signal
import sys
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from types import FrameType

import nibabel
import nrrd
import numpy as np
import SimpleITK as sitk
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from diascope.errors import PipelineError
from diascope.identity import IdentityKey
from diascope.io.catalogue import catalogue
from diascope.io.decode import decode
from diascope.io.reader import Context, IngestSettings
from diascope.io.series import Catalogue
from tests.io.dicom_phantoms import Phantom, enhanced, save, slice_of, write_series

SEED = 20261120
LIMIT_S = 20.0
"""A file that computes longer hangs; the slowest healthy one takes a tenth of a second."""

WAIT_S = 180.0
"""A file that takes longer on the clock waits for something that never comes."""

MEMORY_BYTES = 6 * 2**30
ABSURD = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0x10000000, 0x00FFFFFF, 0)

Bytes = Callable[[bytes, np.random.Generator], bytes]


@dataclass(frozen=True)
class Told:
    """What became of one mutant.

    Attributes:
        number: Which.
        seed: Name of the healthy file.
        kind: What was done to it.
        outcome: `refused`, `same`, `changed` or `silent` (other pixels or geometry,
            and nobody said anything); `broken` where something escaped that is no PipelineError.
        seconds: That it computed.
        detail: What escaped.
    """

    number: int
    seed: str
    kind: str
    outcome: str
    seconds: float
    detail: str = ""


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def flipped_head(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits where the header is."""
    cut = min(len(content), 1200)
    return flipped(content[:cut], rng) + content[cut:]


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut the end off."""
    return content[: int(rng.integers(len(content)))]


def absurd(content: bytes, rng: np.random.Generator) -> bytes:
    """Write a number into four bytes that no length can be."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(max(1, min(len(changed), 2000) - 4)))
        changed[at : at + 4] = int(rng.choice(ABSURD)).to_bytes(4, "big" if rng.random() < 0.3 else "little")
    return bytes(changed)


def swapped(content: bytes, rng: np.random.Generator) -> bytes:
    """Exchange two pieces of eight bytes: two tags, two lengths."""
    changed = bytearray(content)
    end = max(9, min(len(changed), 2000) - 8)
    one, other = sorted(int(at) for at in rng.integers(0, end, 2))
    if other - one >= 8:
        changed[one : one + 8], changed[other : other + 8] = changed[other : other + 8], changed[one : one + 8]
    return bytes(changed)


def stuffed(content: bytes, rng: np.random.Generator) -> bytes:
    """Insert noise."""
    at = int(rng.integers(len(content)))
    noise = rng.integers(0, 256, int(rng.integers(1, 200)), dtype=np.uint8).tobytes()
    return content[:at] + noise + content[at:]


def doubled(content: bytes, rng: np.random.Generator) -> bytes:
    """Say a piece twice."""
    one, other = sorted(int(at) for at in rng.integers(0, len(content), 2))
    return content[:other] + content[one:other] + content[other:]


def nested(content: bytes, rng: np.random.Generator) -> bytes:
    """Open sequences within sequences, some thousand deep, somewhere in the header."""
    level = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    at = int(rng.integers(132, max(133, min(len(content), 1500))))
    return content[:at] + level * int(rng.integers(10, 5000)) + content[at:]


def emptied(content: bytes, rng: np.random.Generator) -> bytes:
    """Put zeros over a piece, as a disk does that lost a sector."""
    changed = bytearray(content)
    at, size = int(rng.integers(len(changed))), int(rng.integers(1, 513))
    changed[at : at + size] = bytes(len(changed[at : at + size]))
    return bytes(changed)


MUTATIONS: dict[str, Bytes] = {
    one.__name__: one for one in (flipped, flipped_head, truncated, absurd, swapped, stuffed, doubled, nested, emptied)
}

# Formats in which every byte of the content is under a checksum: no change may pass without a word.
CHECKED = ("nifti.nii.gz", "picture.png", "archive.zip", "archive.tar.gz", "archive.tar.bz2", "one.dcm.gz")


def write_seeds(folder: Path, real: Path | None = None) -> dict[str, Path]:
    """Write a healthy folder for each kind of file; the file to be mutated is the first of it.

    Args:
        folder: Where to.
        real: Folder of real scans; some small ones are copied out of it.
    """
    seeds: dict[str, Path] = {}

    def add(name: str, write: Callable[[Path], object]) -> None:
        (folder / name).mkdir(parents=True)
        path = folder / name / name
        write(path)
        seeds[name] = path

    data = Phantom().data
    affine = Phantom().affine_ras_mm
    single = Phantom(shape=(5, 7, 1), name="single")
    add("series.dcm", _series)
    add("one.dcm", lambda path: save(slice_of(single, 0), path))
    add("implicit.dcm", lambda path: _as(slice_of(single, 0), path, ImplicitVRLittleEndian))
    add("deflated.dcm", lambda path: _as(slice_of(single, 0), path, DeflatedExplicitVRLittleEndian))
    add("rle.dcm", lambda path: _rle(single, path))
    add("enhanced.dcm", lambda path: save(enhanced(Phantom(name="many")), path))
    add("nifti.nii", lambda path: nibabel.Nifti1Image(data, affine).to_filename(path))
    add("nifti.nii.gz", lambda path: nibabel.Nifti1Image(data, affine).to_filename(path))
    add("four.nii", lambda path: nibabel.Nifti2Image(np.stack([data] * 3, -1), affine).to_filename(path))
    add(
        "image.nrrd",
        lambda path: nrrd.write(
            str(path), data, {"space": "RAS", "space directions": affine[:3, :3].T, "space origin": affine[:3, 3]}
        ),
    )
    add("image.mha", lambda path: sitk.WriteImage(sitk.GetImageFromArray(data.T), str(path)))
    picture = np.random.default_rng(1).integers(0, 256, (40, 50), dtype=np.uint8)
    for ending in ("png", "jpg", "tif"):
        add(f"picture.{ending}", lambda path: Image.fromarray(picture).save(path))
    add("archive.zip", _zip)
    add("archive.tar.gz", lambda path: path.write_bytes(gzip.compress(_tar())))
    add("archive.tar.bz2", lambda path: path.write_bytes(bz2.compress(_tar())))
    add("archive.tar", lambda path: path.write_bytes(_tar()))
    add("one.dcm.gz", lambda path: path.write_bytes(gzip.compress(_dicom_bytes(single))))
    for name, place in _REAL.items():
        if real is not None and (found := sorted(real.glob(place))):
            add(name, lambda path, source=found[0]: path.write_bytes(source.read_bytes()))  # type: ignore[misc]
    return seeds


# Small real files of several vendors.
_REAL = {
    "real_mosaic.dcm": "dicom/mr_epi/In/20180918Si/mr_0004/*.dcm",
    "real_ge.dcm": "dicom/mr_epi/In/20180918GE/mr_0005/*.dcm",
    "real_j2k.dcm": "dicom/reference/generic/compressed_j2k/001/*",
    "real_hippocampus.nii.gz": "hippocampus/images/*.nii.gz",
    "real_radiograph.png": "chest_xray/images/*.png",
}


def _series(path: Path) -> None:
    """Write a series of five slices; the one to be mutated is the third."""
    write_series(path.parent, Phantom(shape=(5, 7, 5), name="series"))
    sorted(path.parent.iterdir())[2].rename(path)


def _as(dataset: object, path: Path, syntax: str) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax  # type: ignore[attr-defined]
    dataset.save_as(path, enforce_file_format=True, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)  # type: ignore[attr-defined]


def _rle(phantom: Phantom, path: Path) -> None:
    dataset = slice_of(phantom, 0)
    dataset.compress(RLELossless)
    assert dataset.PixelData[:4] == encapsulate([b"x"])[:4]
    dataset.save_as(path, enforce_file_format=True)


def _dicom_bytes(phantom: Phantom) -> bytes:
    stream = BytesIO()
    slice_of(phantom, 0).save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _members() -> dict[str, bytes]:
    phantom = Phantom(shape=(5, 7, 3), name="packed")
    members = {}
    for k in range(3):
        stream = BytesIO()
        slice_of(phantom, k).save_as(stream, enforce_file_format=True)
        members[f"deep/IM{k}"] = stream.getvalue()
    return members


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _members().items():
            archive.writestr(name, content)


def _tar() -> bytes:
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in _members().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
    return stream.getvalue()


def summary_of(folder: Path, scratch: Path) -> tuple[list[tuple[object, ...]], bool]:
    """Read everything in a folder to the last voxel.

    Returns:
        What was found (pixels and geometry, hashed), and whether anything was said:
        a refusal, a failure, a note or a file that is in no image.
    """
    context = Context(
        IdentityKey(bytes(32)), IngestSettings(processes=1, max_image_gb=0.5, max_unpacked_gb=0.5), scratch
    )
    found = catalogue([folder], context)
    _check_accounting(found)
    images: list[tuple[object, ...]] = []
    was_said = bool(found.refused) or any(row.fate not in {"used"} and row.code != "archive" for row in found.files)
    for series in found.series:
        was_said = was_said or bool(series.notes)
        for at in {0, series.volumes - 1}:
            try:
                image = decode(series, at)
            except PipelineError as error:
                _check_error(error)
                was_said = True
                continue
            space = image.space
            place = getattr(space, "affine", np.zeros(0)).round(6).tobytes(), type(space).__name__
            images.append((image.data.shape, image.data.dtype.str, hash(image.data.tobytes()), place))
    return sorted(images, key=repr), was_said


def _check_accounting(found: Catalogue) -> None:
    paths = [row.path for row in found.files]
    assert len(paths) == len(set(paths)), "a file is in two rows"
    assert all(row.reason for row in found.files if row.fate != "used"), "a file was left out without a reason"


def _check_error(error: PipelineError) -> None:
    assert error.code, "an error without a code"
    assert error.message, "an error without a message"


def tell(number: int, seeds: dict[str, Path], healthy: dict[str, list[tuple[object, ...]]]) -> Told:
    """Make one mutant, read it, and say what became of it."""
    rng = np.random.default_rng([SEED, number])
    name = sorted(seeds)[int(rng.integers(len(seeds)))]
    kind = sorted(MUTATIONS)[int(rng.integers(len(MUTATIONS)))]
    path = seeds[name]
    content = path.read_bytes()
    scratch = path.parents[1] / "scratch"
    started = time.process_time()
    try:
        path.write_bytes(MUTATIONS[kind](content, rng))
        images, was_said = summary_of(path.parent, scratch)
        if images == healthy[name]:
            outcome, detail = "same", ""
        else:
            outcome, detail = ("refused" if not images else "changed" if was_said else "silent"), ""
    except PipelineError as error:
        outcome, detail = "refused", error.code
    except BaseException as error:  # noqa: BLE001 - this is what is looked for
        outcome, detail = "broken", f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        path.write_bytes(content)
    return Told(number, name, kind, outcome, time.process_time() - started, detail)


class Hang(BaseException):
    """Nobody who catches an Exception catches this one."""


def _hang(_signal: int, _frame: FrameType | None) -> None:
    raise Hang


def main(folder: Path, first: int, count: int, real: Path | None) -> None:
    """Read mutants one after the other, a line of JSON each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    seeds = write_seeds(folder, real)
    healthy = {}
    for name, path in seeds.items():
        healthy[name], _ = summary_of(path.parent, folder / "scratch")
        assert healthy[name], f"the healthy {name} gives no image"
    signal.signal(signal.SIGALRM, _hang)
    for number in range(first, first + count):
        print(json.dumps({"started": number}), flush=True)
        signal.setitimer(signal.ITIMER_REAL, WAIT_S)
        told = tell(number, seeds, healthy)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(asdict(told)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]) if len(sys.argv) > 4 else None)
