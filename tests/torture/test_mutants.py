"""Damaged files: no crash, no hang, no file without a row, and no damage that a checksum tells passed over."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.torture.mutants import CHECKED, LIMIT_S

FEW = 60
MANY = int(os.environ.get("DIASCOPE_MUTANTS", "10000"))


def told(repository: Path, folder: Path, first: int, count: int, real: Path | None) -> Iterator[dict[str, Any]]:
    """Read mutants in a process of its own; if it dies, the one that killed it is `broken`, and the next goes on."""
    end = first + count
    while first < end:
        command = [
            sys.executable,
            "-m",
            "tests.torture.mutants",
            str(folder / str(first)),
            str(first),
            str(end - first),
        ]
        done = subprocess.run(
            [*command, *([str(real)] if real else [])],
            cwd=repository,
            env={**os.environ, "PYTHONPATH": f"{repository}:{repository / 'pipeline'}", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600 + count,
            check=False,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines, done.stderr[-3000:]
        yield from (line for line in lines if "outcome" in line)
        if done.returncode == 0:
            return
        last = max(line["started"] for line in lines if "started" in line)
        yield {
            "number": last,
            "seed": "?",
            "kind": "?",
            "outcome": "broken",
            "seconds": 0.0,
            "detail": done.stderr[-500:],
        }
        first = last + 1


def check(found: list[dict[str, Any]], count: int) -> None:
    assert len(found) == count
    broken = [one for one in found if one["outcome"] == "broken"]
    assert not broken, "\n".join(map(str, broken[:20]))
    slow = [one for one in found if one["seconds"] > LIMIT_S]
    assert not slow, slow
    passed_over = [one for one in found if one["outcome"] == "silent" and one["seed"] in CHECKED]
    assert not passed_over, "\n".join(map(str, passed_over[:20]))
    cut = [one for one in found if one["outcome"] == "silent" and one["kind"] == "truncated"]
    assert not cut, "\n".join(map(str, cut[:20]))


def test_a_few_damaged_files_of_every_kind_do_no_harm(repository: Path, tmp_path: Path) -> None:
    check(list(told(repository, tmp_path, 0, FEW, None)), FEW)


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_thousands_of_damaged_files_do_no_harm(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Path(os.environ.get("DIASCOPE_TEST_DATA", repository.parent / "shared" / "data"))

    found = list(told(repository, tmp_path, 1_000_000, MANY, real if real.is_dir() else None))

    with capsys.disabled():
        print("\n", Counter(one["outcome"] for one in found))
        print("not told (no checksum):", Counter(one["seed"] for one in found if one["outcome"] == "silent"))
    check(found, MANY)
