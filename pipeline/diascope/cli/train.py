"""`diascope train`: a network from a manifest and a config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from diascope.config import find_config


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
    """Train a network and make its bundle; the same command goes on after an interruption."""
    from diascope.train.bundle_training import export_bundle, train_bundle
    from diascope.train.settings import load_train_config

    told = load_train_config(find_config(config), settings or ())
    typer.echo(f"device: {told.device}, precision: {told.precision}", err=True)
    if export_only:
        typer.echo(f"bundle: {export_bundle(told, out, models=models)}")
    else:
        typer.echo(f"bundle: {train_bundle(told, out, [_tell], models=models)}")


def _tell(epoch: int, metrics: Mapping[str, float]) -> None:
    dice = f"  validation Dice {metrics['dice']:.3f}" if "dice" in metrics else ""
    typer.echo(f"\repoch {epoch}  loss {metrics['loss']:.3f}{dice}  {metrics['seconds'] / 60:.1f} min", err=True)
