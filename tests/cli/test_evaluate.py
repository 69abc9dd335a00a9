"""`diascope evaluate` on the command line."""

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from diascope.cli.evaluate import evaluate
from diascope.io.outfolder import OutFolder
from tests.evaluation.outputs import map_of, write_case, write_truth

TUMOUR = (1, (1, 1, 1), (4, 4, 3))


def run(*arguments: str) -> object:
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, list(arguments))


def folder(tmp_path: Path) -> OutFolder:
    out = OutFolder(tmp_path / "out")
    out.create()
    for n in range(5):
        write_case(out, f"c{n}", map_of(TUMOUR))
    return out


def test_the_figures_go_to_stdout_with_counts_and_intervals(tmp_path: Path) -> None:
    out = folder(tmp_path)
    truth = write_truth(
        tmp_path / "truth", [{"case": f"c{n}", "truth": map_of(TUMOUR), "label": "tumour"} for n in range(5)]
    )

    done = run(str(out.root), "--truth", str(truth), "--set", "rounds=20")

    assert done.exit_code == 0
    assert "net: tumour  (5 found; mm)" in done.stdout
    assert "dice_mean                                1.000 (1.000 to 1.000)" in done.stdout


def test_a_truth_without_a_case_is_named_and_the_exit_code_says_so(tmp_path: Path) -> None:
    out = folder(tmp_path)
    truth = write_truth(
        tmp_path / "truth",
        [{"case": "c0", "truth": map_of(TUMOUR), "label": "tumour"}, {"case": "x", "truth": map_of()}],
    )

    done = run(str(out.root), "--truth", str(truth), "--set", "rounds=20")

    assert done.exit_code == 1
    assert "1 truths could not be compared:\n  line 3: unmatched_truth" in done.stdout
    assert "4 cases have no truth" in done.stdout


def test_json_is_evaluation_json(tmp_path: Path) -> None:
    out = folder(tmp_path)
    truth = write_truth(tmp_path / "truth", [{"case": "c0", "truth": map_of(TUMOUR), "label": "tumour"}])

    done = run(str(out.root), "--truth", str(truth), "--set", "rounds=20", "--json")

    assert json.loads(done.stdout) == json.loads((out.root / "evaluation" / "evaluation.json").read_text())
