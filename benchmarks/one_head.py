"""Time and memory of one head at 1 mm, from file to report (goal: 30 s on 2 cores, 3 GB).

    python benchmarks/one_head.py [SCAN]

SCAN is a file or folder; without one, the MNI152 template at 1 mm, 197 x 233 x 189 voxels, is written and used.
Each process counts: start-up, reading, the network, measuring, preview, report, and tracking in a store of its own.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Run `diascope run -c brain_mri` on one scan and print what it took."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        scan = Path(sys.argv[1]) if len(sys.argv) > 1 else _template(folder)
        command = [str(Path(sys.executable).parent / "diascope"), "run", str(scan), "-c", "brain_mri"]
        command += ["-o", str(folder / "out"), "--json", "--set", "device=cpu"]
        command += [
            "--set",
            f"identity.key_file={folder / 'key'}",
            "--set",
            f"tracking.uri=sqlite:///{folder}/mlflow.db",
        ]
        started_s = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        took_s = time.perf_counter() - started_s
        if done.returncode:
            sys.exit(done.stderr)
        case_s = sum(json.loads(line)["seconds"] for line in done.stdout.splitlines())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"wall {took_s:.1f} s, of which stages of the case {case_s:.1f} s; CPU {used.ru_utime + used.ru_stime:.1f} s")
    print(f"largest process {used.ru_maxrss / 2**20:.2f} GB")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


def _template(folder: Path) -> Path:
    from nilearn.datasets import load_mni152_template

    path = folder / "head.nii.gz"
    load_mni152_template(resolution=1).to_filename(path)
    return path


if __name__ == "__main__":
    main()
