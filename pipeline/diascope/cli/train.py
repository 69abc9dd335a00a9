"""`diascope train`: a network from a manifest and a config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[str, typer.Argument(help="Yaml file, or the bare name of one that comes with diascope.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of checkpoints, log and bundle; goes on if it holds some.")
    ],
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, as in the yaml.")] = None,
    models: Annotated[Path | None, typer.Option(help="Copy the bundle into this folder and lock it.")] = None,
    export_only: Annotated[
        bool,
        typer.Option("--export-only", help="Make a bundle of the newest checkpoint; the test cases stay untouched."),
    ] = False,
) -> None:
    """Train a network and make its bundle; the same command goes on after an interruption.

    With `folds` in the config each fold in turn, with `search` a search for better settings. On several cards:
    torchrun --nproc-per-node 4 -m diascope train CONFIG -o OUT
    """
    from diascope.config import find_config
    from diascope.run.tracking.tracker import open_tracker
    from diascope.run.training_tracking import tracking_wishes, train_tracked
    from diascope.train.bundle_training import export_bundle
    from diascope.train.settings import load_train_config
    from diascope.train.team import joined_team

    source = find_config(config)
    told = load_train_config(source, settings or ())
    if export_only:
        typer.echo(f"bundle: {export_bundle(told, out, models=models)}")
        return
    wishes = tracking_wishes(source, settings or ())
    with joined_team(told.device) as team:
        if team.is_first:
            processes = f", {team.size} processes" if team.size > 1 else ""
            typer.echo(f"device: {told.device}, precision: {told.precision}{processes}", err=True)
            out.mkdir(parents=True, exist_ok=True)
        tracker = open_tracker(out, wishes, _say) if team.is_first else None
        made = train_tracked(told, out, tracker, [_tell], models=models, team=team)
        if team.is_first:
            typer.echo(f"{'bundle' if made.is_dir() else 'result'}: {made}")


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _tell(epoch: int, metrics: Mapping[str, float]) -> None:
    dice = f"  validation Dice {metrics['dice']:.3f}" if "dice" in metrics else ""
    typer.echo(f"\repoch {epoch}  loss {metrics['loss']:.3f}{dice}  {metrics['seconds'] / 60:.1f} min", err=True)
