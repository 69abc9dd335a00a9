"""Opens the record: a file beside the results, or a PostgreSQL database; brings its tables up to date."""

import os
import secrets
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from diascope.errors import ConfigError, OutputError
from diascope.io.outfolder import OutFolder, write_atomic

HEAD = "0002"
"""The newest migration; a test holds it to the scripts."""

FILE = "reviews.sqlite"
ID_FILE = "reviews.id"

# How long a write waits for another one; writes take milliseconds.
BUSY_MS = 30_000


def open_engine(url: str) -> Engine:
    """Open the database and migrate it.

    Args:
        url: As SQLAlchemy spells it; it may hold a password and is never shown.

    Raises:
        ConfigError: The address cannot be used.
        OutputError: The database cannot be opened, or is of a newer version.
    """
    try:
        parts = make_url(url)
        is_file = parts.get_backend_name() == "sqlite"
        pool: dict[str, Any] = {"pool_size": 10, "max_overflow": 30, "pool_pre_ping": not is_file}
        engine = create_engine(parts, **pool)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"the setting reviews is no address of a database: {type(error).__name__}",
            hint="for example postgresql+pg8000://user:password@host/database",
        ) from None
    if is_file:
        event.listen(engine, "connect", _as_safe_as_can_be)
    try:
        _migrate(engine)
    except DBAPIError as error:
        engine.dispose()
        raise OutputError(
            f"the record of verdicts cannot be opened: {type(error.orig).__name__}",
            hint=f"move {FILE} away if it is damaged, and keep it: it may hold verdicts"
            if is_file
            else "check that the database runs and lets you in, and that you may make tables there",
            code="reviews_unusable",
        ) from None
    return engine


def file_url(out: OutFolder) -> str:
    """Name the record that lies beside the results, making a file that only its owner can read.

    Raises:
        OutputError: The folder may not be written.
    """
    file = out.root / FILE
    try:
        # Comments are free text: nobody else may read them.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise OutputError(
            f"verdicts cannot be saved beside the results ({error.strerror})",
            hint="make the folder writable, or name a database with --set reviews=postgresql+pg8000://...",
        ) from None
    return f"sqlite:///{file}"


def out_key(out: OutFolder) -> str:
    """Name an output folder in a database that is shared by several: an id of its own, kept when it is moved.

    Raises:
        OutputError: The folder may not be written.
    """
    file = out.root / ID_FILE
    if not file.is_file():
        write_atomic(file, secrets.token_hex(16) + "\n")
    return file.read_text(encoding="ascii").strip()


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        at = None
        if inspect(connection).has_table("alembic_version"):
            at = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if at == HEAD:
        return
    if at is not None and at > HEAD:
        raise OutputError(
            f"the record of verdicts is of version {at}, this diascope knows {HEAD}",
            hint="use the newer diascope that wrote it",
            code="reviews_unusable",
        )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _as_safe_as_can_be(connection: Any, _: object) -> None:
    # A verdict that was answered is on the disk, also after a power cut; readers do not wait for writers.
    cursor = connection.cursor()
    for pragma in (f"busy_timeout = {BUSY_MS}", "journal_mode = WAL", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
