"""A plan tells how long a run takes: first from one window tried, then from what runs took."""

from pathlib import Path

from tests.cli.shell import RUN, Shell


def test_a_plan_learns_from_the_run_and_names_scans_to_the_terminal_only(
    shell: Shell, scans: Path, tmp_path: Path
) -> None:
    code, first, told = shell("-v", "run", scans, *RUN, "--plan")

    assert code == 0
    assert "one window tried now" in first
    assert "(estimate)" in first
    assert f"{scans}/HEAD_MUELLER.nii.gz  to run" in first
    assert "MUELLER" not in told  # stderr: the log

    shell("run", scans, *RUN, "-o", tmp_path / "out")
    _, second, _ = shell("run", scans, *RUN, "--plan")

    assert "1 earlier case on this device" in second
    remembered = (tmp_path / "cache" / "diascope" / "speeds.json").read_text()
    assert "tiny_bright" in remembered
    assert "MUELLER" not in remembered


def test_a_plan_for_a_machine_holds_no_path(shell: Shell, scans: Path) -> None:
    code, out, _ = shell("run", scans, *RUN, "--plan", "--json")

    assert code == 0
    assert '"outcome": "to run"' in out
    assert "MUELLER" not in out
