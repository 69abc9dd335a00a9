"""`diascope demo`: a small cohort made on the spot, taken through the whole path."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diascope.errors import ConfigError

if TYPE_CHECKING:
    from diascope.demo.planted import Cohort
    from diascope.io.outfolder import OutFolder

CASE_FAILED = 1


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for cohort and results.")] = Path("demo-out"),
) -> None:
    """Make eight patients with planted faults, run the networks on them, and show what comes out."""
    from diascope.cli.run import run_request
    from diascope.config import find_config, load_settings
    from diascope.demo.surprises import find_surprises
    from diascope.io.outfolder import OutFolder
    from diascope.io.private import read_inputs
    from diascope.run.key import user_key
    from diascope.run.report.summary import read_cases
    from diascope.run.request import make_request
    from diascope.run.settings import RunConfig

    folder = OutFolder(out)
    if out.exists() and any(out.iterdir()) and not (folder.private / "cohort").is_dir():
        raise ConfigError(
            f"the folder {out.name} holds something else than a demo", hint="choose another folder with -o"
        )
    folder.create()
    cohort = _cohort((folder.private / "cohort").absolute())
    # The demo leaves nothing in the user's own folders: key and MLflow store are its own.
    overrides = [
        f"identity.key_file={folder.private / 'identity.key'}",
        f"tracking.uri=sqlite:///{(out / 'mlflow' / 'mlflow.db').absolute()}",
    ]
    config = load_settings(RunConfig, find_config("demo"), overrides)
    run_request(make_request([cohort.scans], config, "demo", command="demo"), out)
    rows = {row.case_id: row for row in read_cases(folder)}
    surprises = find_surprises(cohort, user_key(config.identity.key_file), rows, read_inputs(folder))
    for sentence in surprises:
        typer.echo(f"not as planted: {sentence}")
    if surprises:
        raise typer.Exit(CASE_FAILED)
    _show_truth(folder, cohort)
    _show_own_audit(folder)
    _show_simulated_audit(folder)
    typer.echo("\nall went as planned: every planted fault was found and named, every other case is done")
    typer.echo(f"start with {folder.report_html}")


def _show_truth(out: "OutFolder", cohort: "Cohort") -> None:
    """Compare the lesions that were drawn with those that were planted."""
    from diascope.cli.evaluate import evaluation_text
    from diascope.evaluation.evaluate import evaluate, write_evaluation
    from diascope.evaluation.settings import EvaluationSettings

    found = evaluate(out, cohort.truth_csv, EvaluationSettings())
    write_evaluation(found, out.root / "evaluation")
    typer.echo(
        "\nagainst the planted lesions, of synthetic heads: it says that the path works, not how good the network is"
    )
    typer.echo(evaluation_text(found))


def _show_own_audit(out: "OutFolder") -> None:
    """Audit the cohort itself: five images can say nothing, and the audit has to say so."""
    from diascope.cli.audit import audit_text
    from diascope.demo.audit_plan import OWN_PLAN
    from diascope.evaluation.audit.audit import audit
    from diascope.evaluation.audit.sources import table_of
    from diascope.evaluation.audit.write import write_audit
    from diascope.run.evaluation_tracking import track_audit
    from diascope.run.tracking.settings import TrackingSettings

    table, digest = table_of(out.root, OWN_PLAN, out.root)
    found = audit(table, OWN_PLAN, table_sha256=digest)
    write_audit(found, out.root / "audit")
    typer.echo("\nan audit of this cohort, which is far too small for one:")
    typer.echo(audit_text(found))
    track_audit(out.root, out.root / "audit", found, TrackingSettings(), lambda text: typer.echo(text, err=True))
    typer.echo(f"report: {out.root / 'audit' / 'audit.html'}")


def _show_simulated_audit(out: "OutFolder") -> None:
    """Audit predictions that are simulated, with a scanner that makes them worse: enough to find it."""
    from diascope.cli.audit import audit_text
    from diascope.evaluation.audit.audit import audit
    from diascope.evaluation.audit.simulated import SIMULATED_PLAN, simulated_predictions
    from diascope.evaluation.audit.write import write_audit

    found = audit(simulated_predictions(), SIMULATED_PLAN)
    write_audit(found, out.root / "audit_simulated")
    typer.echo("\nan audit of simulated predictions, one scanner of which was made worse:")
    typer.echo(audit_text(found))
    typer.echo(f"report: {out.root / 'audit_simulated' / 'audit.html'}")


def _cohort(folder: Path) -> "Cohort":
    """Make the cohort, or take the one of an earlier demo: the run then does only the rest."""
    from diascope.demo.cohort import make_cohort
    from diascope.demo.planted import read_cohort, write_cohort

    kept = folder / "cohort.json"
    if kept.is_file():
        return read_cohort(kept)
    shutil.rmtree(folder, ignore_errors=True)  # of a demo that was interrupted here
    typer.echo("making a cohort of synthetic heads: no real patient is in it", err=True)
    cohort = make_cohort(folder)
    write_cohort(kept, cohort)
    return cohort
