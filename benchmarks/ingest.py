"""`diascope ingest` beside dcm2niix: wall time on the same folder, and peak memory on one large volume.

    python benchmarks/ingest.py FOLDER [--repeat 3]

The large volume is made on the spot: a CT of 600 slices of 512 x 512, 315 MB of pixels. The
promise is a peak under twice the largest volume plus 300 MB, and at most the time of dcm2niix.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from tests.io.dicom_phantoms import Phantom, put_pixels, save, slice_of

SLICES, SIZE = 600, 512


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    dcm2niix = shutil.which("dcm2niix") or str(Path(sys.executable).parent / "dcm2niix")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        key = ["--set", f"identity.key_file={work / 'key'}"]
        # Compressed as ours are, then as dcm2niix does it by default.
        for packing in ("y", "n"):
            ours, theirs = [], []
            for at in range(arguments.repeat):
                out, other = work / f"a{packing}{at}", work / f"b{packing}{at}"
                other.mkdir()
                ours.append(timed([*diascope(), "ingest", str(arguments.folder), "-o", str(out), *key]))
                theirs.append(timed([dcm2niix, "-z", packing, "-o", str(other), str(arguments.folder)]))
            print(told("diascope ingest", ours))
            print(told(f"dcm2niix -z {packing}", theirs))
            print(f"ratio by pairs   {ratio(ours, theirs, 0)} of the clock, {ratio(ours, theirs, 1)} of CPU")
        write_large(work / "large")
        seconds, _ = timed([*diascope(), "ingest", str(work / "large"), "-o", str(work / "c"), *key])
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        volume_mb = SIZE * SIZE * SLICES * 2 / 1e6
        promise_mb = 2 * volume_mb + 300
        print(f"one volume of {volume_mb:.0f} MB: {seconds:.1f} s, peak {peak_mb:.0f} MB (promise: {promise_mb:.0f})")


def write_large(folder: Path) -> None:
    """Write a CT whose slices differ in place and pixels."""
    rng = np.random.default_rng(7)
    for k in range(SLICES):
        phantom = Phantom(shape=(2, 2, 1), spacing_mm=(0.7, 0.7, 1.0), directions=np.eye(3), name="large")
        made = slice_of(replace(phantom, origin_lps_mm=(0.0, 0.0, float(k))), 0, modality="CT")
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = phantom.uid("large", k)
        put_pixels(made, rng.integers(-1000, 1000, (SIZE, SIZE), dtype=np.int16))
        save(made, folder / f"IM{k:04d}")


def diascope() -> list[str]:
    """Spell the command of this environment."""
    return [sys.executable, "-c", "from diascope.cli.main import main; main()"]


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command, whatever it returns: refused series give 1.

    Returns:
        Seconds on the clock, and of all CPUs together: on a busy machine the second one counts.
    """
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, used


def ratio(ours: list[tuple[float, float]], theirs: list[tuple[float, float]], at: int) -> str:
    """Spell the median of the ratios of each pair, with the smallest and the largest."""
    each = sorted(one[at] / other[at] for one, other in zip(ours, theirs, strict=True))
    return f"{median(each):.2f} ({each[0]:.2f} to {each[-1]:.2f})"


def told(name: str, times: list[tuple[float, float]]) -> str:
    """Spell the times of a tool, the best first."""
    spelled = ", ".join(f"{clock:.2f} s ({cpu:.2f} s of CPU)" for clock, cpu in sorted(times))
    return f"{name:<16} {spelled}"


if __name__ == "__main__":
    main()
