"""`diascope view`: the worklist, the images with every overlay, and the verdicts, in a browser."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from diascope.viewer.settings import ViewSettings


def view(  # noqa: PLR0913, PLR0917 - the options of the command line
    outs: Annotated[list[Path] | None, typer.Argument(help="Output folders of runs.")] = None,
    config: Annotated[str | None, typer.Option("--config", "-c", help="How to show them: a yaml file.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; by default this machine.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.")] = None,
    add_user: Annotated[
        str | None, typer.Option("--add-user", help="Add NAME, or NAME:reader who may look but not judge.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Write PAGE.html, verdicts.csv, judged.csv (or .json) or manifest.csv."),
    ] = None,
    cases: Annotated[list[str] | None, typer.Option("--case", help="Case to export; may be given again.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value.")] = None,
) -> None:
    """Review results in a browser: worklist, images with every overlay, verdicts, corrections."""
    from diascope.config import find_config, parse_settings, read_yaml
    from diascope.errors import ConfigError
    from diascope.viewer.settings import ViewSettings

    given = [f"{key}={value}" for key, value in (("host", host), ("port", port)) if value is not None]
    values = read_yaml(find_config(config)) if config else {}
    settings = parse_settings(ViewSettings, values, [*(overrides or []), *given], where=config or "--set")
    if add_user is not None:
        _add_user(add_user, settings)
        return
    if not outs:
        raise ConfigError("no output folder was given", hint="diascope view OUT")
    if export is not None:
        _export(outs, export, cases or [], settings)
        return
    from diascope.viewer.server import started

    with started(outs, settings) as server:
        typer.echo(server.url)
        typer.echo("Ctrl-C ends it; every verdict is on the disk when its page says so", err=True)
        server.run()


def _add_user(text: str, settings: "ViewSettings") -> None:
    from diascope.errors import ConfigError
    from diascope.viewer.server import state_folder
    from diascope.viewer.users import Users

    name, _, role = text.partition(":")
    if role not in {"", "reader", "reviewer"}:
        raise ConfigError(f"there is no role {role}", hint="reader may look, reviewer may also judge")
    if sys.stdin.isatty():
        password = typer.prompt("password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    Users(state_folder(settings) / "users.json").add(name, "reader" if role == "reader" else "reviewer", password)
    typer.echo(f"{name} may sign in as {role or 'reviewer'}")


def _export(outs: list[Path], file: Path, cases: list[str], settings: "ViewSettings") -> None:
    from diascope.errors import ConfigError
    from diascope.viewer.offline import TABLES

    if file.suffix == ".html":
        from diascope.viewer.page_export import write_page

        written = write_page(outs, file, cases, settings)
        typer.echo(f"{written.cases} case{'' if written.cases == 1 else 's'}, {written.megabytes:.1f} MB: {file}")
        return
    if file.name in TABLES:
        from diascope.viewer.table_export import write_table

        typer.echo(f"{write_table(outs, file, settings)} rows: {file}")
        return
    if file.suffix == ".csv" and "manifest" in file.name:
        from diascope.viewer.table_export import write_training

        for path, manifest in write_training(outs, file, settings):
            typer.echo(
                f"{len(manifest.rows)} cases to train {manifest.bundle} from, {manifest.left_out} left out: {path}"
            )
        return
    raise ConfigError(
        f"cannot export {file.name}", hint=f"name a .html page, {', '.join(TABLES)}, or a manifest such as manifest.csv"
    )
