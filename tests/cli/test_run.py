"""`diascope run`: what is told before anything heavy is loaded, and what a second run says of the first."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diascope.bundles.lock import write_lock
from diascope.evaluation.calibration_file import CALIBRATION, BundleCalibration, write_calibration
from diascope.findings import read_report
from diascope.run import case
from tests.cli.shell import RUN, Shell
from tests.tiny_bundle import write_tiny_bundle

WRONG_CALLS = {
    "config": ["-c", "nosuch"],
    "network": ["--bundle", "nosuch"],
    "key": ["-c", "brain_mri", "--set", "devise=cpu"],
    "value": ["-c", "brain_mri", "--set", "device=gpu"],
    "override": ["-c", "brain_mri", "--set", "device"],
}

LOADED = """
import json, sys
from diascope.cli.main import main
codes = {}
for name, arguments in json.loads(sys.argv[1]).items():
    sys.argv = ["diascope", "run", *arguments]
    try:
        main()
    except SystemExit as end:
        codes[name] = end.code
print(json.dumps([codes, sorted({"torch", "monai", "scipy", "pydicom"} & sys.modules.keys())]))
"""


def test_a_wrong_call_is_told_before_torch_is_loaded_and_leaves_nothing(tmp_path: Path) -> None:
    scan, out = tmp_path / "scan.nii", tmp_path / "out"
    scan.write_bytes(b"")
    calls = {name: [str(scan), *arguments, "-o", str(out)] for name, arguments in WRONG_CALLS.items()}
    calls["input"] = [str(tmp_path / "not_there"), "-c", "brain_mri", "-o", str(out)]
    calls["output"] = [str(scan), "-c", "brain_mri", "-o", str(scan)]
    calls["no output"] = [str(scan), "-c", "brain_mri"]
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_DATA_HOME": str(tmp_path / "data")}

    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(calls)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | home,
    )

    codes, loaded = json.loads(done.stdout.splitlines()[-1])
    assert codes == dict.fromkeys(calls, 2)
    assert loaded == []
    assert done.stderr.count("error: ") == len(calls)
    assert "device: gpu is not a device: one of auto, cpu, cuda" in done.stderr
    assert not out.exists()


def test_inputs_without_a_file_leave_no_output_folder(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    code, _, err = shell("run", tmp_path / "empty", *RUN, "-o", tmp_path / "out")

    assert code == 2
    assert "the inputs hold no file" in err
    assert not (tmp_path / "out").exists()


def test_a_second_run_says_that_it_resumes_and_which_cases_were_done(
    shell: Shell,
    scans: Path,
    tmp_path: Path,
) -> None:
    shell("run", scans, *RUN, "-o", tmp_path / "out")
    shutil.copytree(scans, scans / "more")
    (scans / "more" / "HEAD_MUELLER.nii.gz").rename(scans / "second.nii.gz")

    code, out, err = shell("run", scans, *RUN, "-o", tmp_path / "out")

    assert code == 0
    assert "resuming: 1 of 2 cases was done by an earlier run, 1 to do" in err
    lines = [line for line in out.splitlines() if line.startswith("case-")]
    assert sorted(line.endswith("by an earlier run") for line in lines) == [False, True]
    assert "2 of 2 cases done (1 by an earlier run)" in out

    _, out, err = shell("run", scans, *RUN, "-o", tmp_path / "out")
    assert "resuming: 2 of 2 cases were done by an earlier run, nothing is left to do" in err
    lines = [line for line in out.splitlines() if line.startswith("case-")]
    assert [line.endswith("by an earlier run") for line in lines] == [True, True]


@pytest.mark.parametrize(
    ("wish", "is_applied"), [((), True), (("--set", "uncertainty.mirrors=[i]"), False)], ids=["once", "mirrored"]
)
def test_a_run_that_averages_answers_promises_nothing_and_says_why(
    shell: Shell, scans: Path, tmp_path: Path, wish: tuple[str, ...], is_applied: bool
) -> None:
    learnt = {
        "split": "phantoms",
        "patients": 40,
        "missed_volume": {"bright": {"bound": 0.1, "threshold": 0.2, "cases": 40}},
        "confidence": {"raw": [0.0, 1.0], "seen": [0.25, 0.5], "cases": 40},
    }
    models, out = tmp_path / "models", tmp_path / "out"
    folder = write_tiny_bundle(models)
    write_calibration(folder / CALIBRATION, BundleCalibration.model_validate(learnt))
    write_lock(models / "bundles.lock", folder)
    asked = ("--set", f"models.dir={models}", "--set", "uncertainty.control_misses=true", *wish)

    code, _, err = shell("run", scans, *RUN, *asked, "-o", out)

    (file,) = (out / "cases").glob("*/case.json")
    report = read_report(file)
    assert code == 0
    assert report.confidence_kind == ("calibrated" if is_applied else "raw")
    assert [one.promised_misses for one in report.segmentations or ()] == [(("bright", 0.1),) if is_applied else ()]
    assert ("note: the calibration of tiny_bright was learnt on one plain answer" in err) is not is_applied


def test_a_run_that_fails_where_an_earlier_one_was_good_keeps_the_good_result(
    shell: Shell,
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell("run", scans, *RUN, "-o", tmp_path / "out")
    (folder,) = (tmp_path / "out" / "cases").iterdir()
    good = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def exhausted(_volume: object) -> None:
        raise MemoryError

    monkeypatch.setattr(case, "straighten", exhausted)
    code, out, err = shell("run", scans, *RUN, "--set", "precision=float32", "-o", tmp_path / "out")

    assert code == 1
    assert "done again: 1 case whose scans, settings or networks changed since an earlier run" in err
    assert "1 case had a good result before: it is kept in history/" in out
    assert read_report(folder / "case.json").status == "failed"
    (kept,) = (folder / "history").iterdir()
    assert {path.relative_to(kept): path.read_bytes() for path in kept.rglob("*") if path.is_file()} == good

    # A second failure keeps what is kept, and adds nothing.
    shell("run", scans, *RUN, "--set", "precision=float32", "-o", tmp_path / "out")
    assert [one.name for one in (folder / "history").iterdir()] == [kept.name]
