"""`diascope models`: which networks there are, and whether their files are the locked ones."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Networks: which there are, what they are for.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print for a machine.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the networks that a run can name."""
    from diascope.bundles.find import list_bundles
    from diascope.cli.bundle_text import bundle_table

    bundles = list_bundles()
    if as_json:
        typer.echo(json.dumps([asdict(bundle.stamp) | {"task": bundle.block.task} for bundle in bundles], indent=1))
    else:
        typer.echo(bundle_table(bundles) if bundles else "there are no networks")


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="Name of a bundle, or its folder.")], as_json: AsJson = False
) -> None:
    """Say what a network is for, what it draws and what may be done with it."""
    from diascope.bundles.find import find_bundle
    from diascope.cli.bundle_text import bundle_text, card_limits

    bundle = find_bundle(name)
    if as_json:
        facts = asdict(bundle.stamp) | {
            "is_shipped": bundle.is_shipped,
            "description": bundle.description,
            "diascope": bundle.block.model_dump(mode="json"),
            "limits": card_limits(bundle.card.read_text(encoding="utf-8")) if bundle.card else (),
            "card": str(bundle.card) if bundle.card else None,
        }
        typer.echo(json.dumps(facts, indent=1))
    else:
        typer.echo(bundle_text(bundle))


@app.command()
def verify(name: Annotated[str, typer.Argument(help="Name of a bundle; all where left out.")] = "") -> None:
    """Check that the files of a network are the ones that were locked."""
    from diascope.bundles.find import find_bundle, list_bundles

    for bundle in [find_bundle(name)] if name else [find_bundle(one.name) for one in list_bundles()]:
        origin = "comes with diascope" if bundle.is_shipped else "does not come with diascope"
        typer.echo(f"{bundle.name}  as locked  {bundle.sha256}  {origin}")


@app.command()
def judge(
    folder: Annotated[Path, typer.Argument(help="Folder of a bundle that you may change, such as models/NAME.")],
    config: Annotated[str, typer.Option("--config", "-c", help="The training that made it: yaml, or a bare name.")],
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value.")] = None,
) -> None:
    """Learn again, without training, what a network's results are worth: on its calibration split; and lock it."""
    from diascope.bundles.lock import verify_bundle, write_lock
    from diascope.config import find_config
    from diascope.errors import BundleError
    from diascope.train.judging import judge_bundle
    from diascope.train.settings import load_train_config

    told = load_train_config(find_config(config), overrides or ())
    if told.bundle.name != folder.resolve().name:
        raise BundleError(
            f"{folder.name} was not made by the training of {told.bundle.name}", hint="give its own config with -c"
        )
    # What somebody altered since must not come under the lock unseen, nor be run.
    lock_file = folder.resolve().parent / "bundles.lock"
    verify_bundle(folder.resolve(), lock_file)
    for sentence in judge_bundle(told, folder):
        typer.echo(f"not learnt: {sentence}")
    typer.echo(f"{folder.name}  locked  {write_lock(lock_file, folder.resolve())}")
