"""The command line: what goes where, and the exit codes."""

import json
from pathlib import Path

import pytest

from tests.cli.shell import RUN, Shell


def test_a_good_run_ends_with_0_and_its_last_line_says_where_the_report_is(
    shell: Shell, scans: Path, tmp_path: Path
) -> None:
    code, out, err = shell("run", scans, *RUN, "-o", tmp_path / "out")

    assert code == 0
    assert out.splitlines()[-1] == f"report: {tmp_path / 'out' / 'report.html'}"
    assert "1 of 1 case done" in out
    assert err.splitlines()[0].startswith("device: cpu")
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_refused_image_ends_with_1_and_is_named_by_its_code(shell: Shell, scans: Path, tmp_path: Path) -> None:
    whole = (scans / "HEAD_MUELLER.nii.gz").read_bytes()
    (scans / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (scans / "notes.txt").write_text("no image")

    code, out, _ = shell("run", scans, *RUN, "-o", tmp_path / "out")

    assert code == 1
    assert "1 of 2 cases done, 1 failed" in out
    assert "1 file skipped: no image" in out


def test_files_that_are_no_image_do_not_make_a_run_fail(shell: Shell, scans: Path, tmp_path: Path) -> None:
    (scans / "notes.txt").write_text("no image")
    (scans / "viewer.exe").write_bytes(b"MZ" + bytes(300))

    code, out, _ = shell("run", scans, *RUN, "-o", tmp_path / "out")

    assert code == 0
    assert "2 files skipped: no image" in out


def test_json_has_one_object_per_case_and_nothing_else(shell: Shell, scans: Path, tmp_path: Path) -> None:
    code, out, _ = shell("run", scans, *RUN, "-o", tmp_path / "out", "--json")

    (row,) = [json.loads(line) for line in out.splitlines()]
    assert (code, row["status"], row["confidence_kind"]) == (0, "done", "raw")


def test_the_plan_says_what_would_run_and_writes_nothing(shell: Shell, scans: Path, tmp_path: Path) -> None:
    code, out, _ = shell("run", scans, *RUN, "--plan")

    assert code == 0
    assert "1 case: 1 to run, 0 nothing to do, 0 refused" in out
    assert "tiny_bright: img-" in out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--bundle", "tiny_brigth"), "did you mean tiny_bright?"),
        (("-c", "brain_mrj"), "did you mean brain_mri?"),
        (
            ("--bundle", "tiny_bright", "--set", "bundles.0.select.modalty=[CT]"),
            "did you mean bundles.select.modality?",
        ),
        (("--bundle", "tiny_bright", "--set", "device=gpu"), "gpu is not a device"),
        ((), "a run needs -c CONFIG or --bundle NAME"),
        (("--bundle", "tiny_bright", "-c", "brain_mri"), "not both"),
        (("--no-such-option",), "No such option"),
    ],
)
def test_a_run_that_is_described_wrongly_ends_with_2_and_the_cure(
    shell: Shell, scans: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = shell("run", scans, *arguments, "-o", tmp_path / "out")

    assert code == 2
    assert words in err
    assert out == ""
    assert "Traceback" not in err


def test_inputs_that_hold_nothing_end_with_2(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    for inputs in (tmp_path / "empty", tmp_path / "not_there"):
        code, _, err = shell("run", inputs, *RUN, "-o", tmp_path / "out")
        assert code == 2
        assert err.strip().splitlines()[-2].startswith("error: ")
        assert err.strip().splitlines()[-1].startswith("  try: ")


def test_no_identifier_of_the_input_is_printed(shell: Shell, scans: Path, tmp_path: Path) -> None:
    (scans / "cut_MUELLER.nii.gz").write_bytes(b"\x1f\x8b damaged")

    _, out, err = shell("--verbose", "run", scans, *RUN, "-o", tmp_path / "out")

    assert "MUELLER" not in out + err
    assert "cut" not in out + err


def test_models_are_listed_described_and_verified(shell: Shell, models: Path) -> None:
    assert "tiny_bright" in shell("models", "list")[1]
    assert "licence:  Apache-2.0" in shell("models", "info", "tiny_bright")[1]
    assert json.loads(shell("models", "info", "tiny_bright", "--json")[1])["diascope"]["task"] == "segment"
    assert "tiny_bright  as locked" in shell("models", "verify", "tiny_bright")[1]


def test_a_bug_shows_its_traceback_and_asks_for_a_report(
    shell: Shell, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("diascope.run.session.plan_run", broken)
    code, _, err = shell("run", scans, *RUN, "-o", tmp_path / "out")

    assert code == 1
    assert "ZeroDivisionError" in err
    assert "please report it" in err


def test_ctrl_c_ends_with_130_and_says_that_the_command_goes_on(
    shell: Shell, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_job: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("diascope.run.local.read", interrupt)
    code, _, err = shell("run", scans, *RUN, "-o", tmp_path / "out")

    assert code == 130
    assert "goes on where it stopped" in err
    assert (tmp_path / "out" / "cases.csv").is_file()


@pytest.mark.parametrize("words", [(), ("models",)])
def test_without_a_command_the_help_is_shown_and_nothing_is_called_an_error(
    shell: Shell, words: tuple[str, ...]
) -> None:
    code, out, err = shell(*words)

    assert code == 2
    assert err.startswith("Usage: ")
    assert "Commands:" in err
    assert "error" not in out + err


def test_a_config_of_ones_own_that_is_not_there_is_told_with_those_that_are(shell: Shell, tmp_path: Path) -> None:
    code, _, err = shell("train", "my_train.yaml", "-o", tmp_path / "out")

    assert code == 2
    assert "there is no config file my_train.yaml" in err
    assert "train_hippocampus_segmentation" in err
    assert "brain_mri" not in err
