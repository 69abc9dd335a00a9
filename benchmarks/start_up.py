"""How long a command that only answers takes: `--help`, `models list` (goal: 0.5 s), a wrong `run` (goal: 1 s).

Wall time depends on what else the machine does; CPU time says what the command itself needs.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 7


def main() -> None:
    """Print the best and the median of a few rounds for each command."""
    diascope = Path(sys.executable).parent / "diascope"
    wrong = ["run", __file__, "-c", "nosuch", "-o", "nowhere"]
    for words in (["--help"], ["--version"], ["models", "list"], wrong):
        times_s = sorted(_seconds([str(diascope), *words]) for _ in range(ROUNDS))
        (best_s, best_cpu_s), (median_s, _) = times_s[0], times_s[ROUNDS // 2]
        name = "run, wrong" if words is wrong else " ".join(words)
        print(f"diascope {name:12} best {best_s:.2f} s, median {median_s:.2f} s, CPU {best_cpu_s:.2f} s")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


def _seconds(command: list[str]) -> tuple[float, float]:
    before, started_s = os.times(), time.perf_counter()
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started_s, cpu_s


if __name__ == "__main__":
    main()
