"""`diascope view`: the worklist, the images with every overlay, and the verdicts, in a browser."""

from pathlib import Path
from typing import Annotated

import typer


def view(
    outs: Annotated[list[Path], typer.Argument(help="Output folders of runs.")],
    config: Annotated[str | None, typer.Option("--config", "-c", help="How to show them: a yaml file.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; by default this machine.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value.")] = None,
) -> None:
    """Review results in a browser: worklist, images with every overlay, verdicts, corrections."""
    from diascope.config import find_config, parse_settings, read_yaml
    from diascope.viewer.server import started
    from diascope.viewer.settings import ViewSettings

    given = [f"{key}={value}" for key, value in (("host", host), ("port", port)) if value is not None]
    values = read_yaml(find_config(config)) if config else {}
    settings = parse_settings(ViewSettings, values, [*(overrides or []), *given], where=config or "--set")
    with started(outs, settings) as server:
        typer.echo(server.url)
        typer.echo("Ctrl-C ends it; verdicts are saved as they are given", err=True)
        server.run()
