"""How `diascope ingest` compares with dcm2niix on the same folder and cores.

    python benchmarks/ingest.py [FOLDER] [--runs 5]

FOLDER is ../shared/data/dicom where it is not given. The two run in turn, each as a
process of its own from start-up to the last file written, compressed images in both;
the best of the runs counts, since other work on the machine only ever adds to a time.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
SCANS = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "dicom"


@dataclass
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    """Run both in turn and print the best of each, with the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=SCANS)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        commands = {
            "diascope ingest": lambda out: (
                [
                    str(BIN / "diascope"),
                    "ingest",
                    str(arguments.folder),
                    "-o",
                    str(out),
                    "--set",
                    f"identity.key_file={scratch}/key",
                ]
            ),
            "dcm2niix -z y": lambda out: (
                [str(BIN / "dcm2niix"), "-z", "y", "-f", "%j", "-o", str(out), str(arguments.folder)]
            ),
            "dcm2niix -z n": lambda out: (
                [str(BIN / "dcm2niix"), "-z", "n", "-f", "%j", "-o", str(out), str(arguments.folder)]
            ),
        }
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for run in range(arguments.runs):
            for number, (name, command) in enumerate(commands.items()):
                out = Path(scratch) / f"{run}-{number}"
                out.mkdir()
                costs[name].append(cost_of(command(out)))
                shutil.rmtree(out)
    best = {name: min(runs, key=lambda cost: cost.wall_s) for name, runs in costs.items()}
    cpu_s = {name: min(cost.cpu_s for cost in runs) for name, runs in costs.items()}
    for name, cost in best.items():
        print(f"{name:16} wall {cost.wall_s:5.2f} s   CPU {cpu_s[name]:5.2f} s   peak {cost.peak_mb:4.0f} MB")
    for name in list(best)[1:]:
        wall, cpu = (best["diascope ingest"].wall_s / best[name].wall_s, cpu_s["diascope ingest"] / cpu_s[name])
        print(f"ratio to {name}: wall {wall:.2f}, CPU {cpu:.2f}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


def cost_of(command: list[str]) -> Cost:
    """Run a command in a child of its own, so that its peak memory is its own."""
    done = subprocess.run([sys.executable, "-c", CHILD, *command], check=True, capture_output=True, text=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


CHILD = """
import json, resource, subprocess, sys, time
started_s = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
wall_s = time.perf_counter() - started_s
# 1: something was refused, which is what both of them say of some of these scans.
assert done.returncode in (0, 1), done.stderr
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}))
"""


if __name__ == "__main__":
    main()
