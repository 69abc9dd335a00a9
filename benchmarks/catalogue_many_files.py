"""How long a catalogue of many small files takes, how much memory, and what the header cache saves.

    python benchmarks/catalogue_many_files.py [--files 100000]

Writes the files into a temporary folder: series of 50 slices of 16 x 16 pixels, four series a
study. Each scan runs in a process of its own; peak memory is that of the process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import config
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from diascope.identity import IdentityKey
from diascope.io.catalogue import catalogue
from diascope.io.header_cache import SqliteHeaderCache
from diascope.io.reader import Context, IngestSettings

SLICES, SERIES_PER_STUDY, SIZE = 50, 4, 16
UID = "1.2.826.0.1.3680043.10.9999."


def main() -> None:
    """Write the files and scan them, or scan once where asked to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--scan", type=Path)
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    if arguments.scan:
        print(json.dumps(scan(arguments.scan, arguments.cache)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "in", Path(folder) / "headers.sqlite"
        for files in (arguments.files // 10, arguments.files):
            write(root / str(files), files)
            for name, used in (("no cache", None), ("cache empty", cache), ("cache full", cache)):
                print(f"{files:>7} files, {name:<12}", in_process(root / str(files), used))
        print("cache:", round(cache.stat().st_size / 1e6), "MB")


def write(root: Path, count: int) -> None:
    """Write files that differ in their UIDs, positions and numbers only."""
    template = one_slice()
    for series in range(count // SLICES):
        folder = root / f"study {series // SERIES_PER_STUDY:06d}" / f"series {series:06d}"
        folder.mkdir(parents=True)
        for k in range(SLICES):
            content = template.replace(b"STUDY000", b"%08d" % (10_000_000 + series // SERIES_PER_STUDY))
            content = content.replace(b"SERIES00", b"%08d" % (20_000_000 + series))
            content = content.replace(b"INSTANCE", b"%08d" % (30_000_000 + series * SLICES + k))
            content = content.replace(b"-999.5", b"%06.1f" % (100 + 2.5 * k))
            (folder / f"IM{k:03d}").write_bytes(content)


def one_slice() -> bytes:
    """Make a file whose varying parts can be replaced byte by byte."""
    with config.disable_value_validation():
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, UID + "INSTANCE"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, UID + "INSTANCE"
        made.StudyInstanceUID, made.SeriesInstanceUID = UID + "STUDY000", UID + "SERIES00"
        made.Modality, made.PatientID, made.PatientName = "MR", "STUDY000", "Meyer^Anna"
        made.StudyDate, made.PatientSex, made.PatientAge, made.Manufacturer = "20260102", "F", "042Y", "SIEMENS"
        made.SeriesDescription, made.ProtocolName, made.ImageType = "t1", "t1", ["ORIGINAL", "PRIMARY"]
        made.ImagePositionPatient, made.ImageOrientationPatient = "1\\2\\-999.5", [1, 0, 0, 0, 1, 0]
        made.PixelSpacing, made.SliceThickness, made.InstanceNumber = [0.8, 0.7], 2.5, 1
        made.EchoTime, made.RepetitionTime = 3.5, 2300
        made.Rows, made.Columns, made.SamplesPerPixel, made.PhotometricInterpretation = SIZE, SIZE, 1, "MONOCHROME2"
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
        made.PixelData = np.zeros((SIZE, SIZE), dtype=np.uint16).tobytes()
        stream = BytesIO()
        made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def in_process(root: Path, cache: Path | None) -> str:
    """Scan in a process of its own, and say what it took."""
    command = [sys.executable, __file__, "--scan", str(root), *(["--cache", str(cache)] if cache else [])]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return (
        f"{found['seconds']:6.1f} s  {found['seconds'] / found['files'] * 1e3:5.2f} ms a file "
        f"({found['cpu_seconds'] / found['files'] * 1e3:4.2f} ms of a CPU)  "
        f"peak {found['peak_mb']:.0f} MB ({found['peak_mb_children']:.0f} MB in a helper)  {found['series']} series"
    )


def scan(root: Path, cache: Path | None) -> dict[str, float]:
    """Scan once."""
    key, settings = IdentityKey(bytes(32)), IngestSettings()
    started = time.perf_counter()
    if cache is None:
        found = catalogue([root], Context(key, settings))
    else:
        with SqliteHeaderCache(cache, key, settings) as opened:
            found = catalogue([root], Context(key, settings, cache=opened))
    seconds = time.perf_counter() - started
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "cpu_seconds": sum(one.ru_utime + one.ru_stime for one in used),
        "seconds": seconds,
        "files": len(found.files),
        "series": len(found.series),
        "peak_mb": used[0].ru_maxrss / 1024,
        "peak_mb_children": used[1].ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
