"""The record opens where it is told, brings its tables up to date, and cannot be changed afterwards."""

import stat
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from diascope.errors import ConfigError, OutputError
from diascope.io.outfolder import OutFolder
from diascope.viewer.store import opening
from diascope.viewer.store.schema import METADATA


def test_the_newest_migration_is_the_one_that_is_looked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(opening.__file__).parent / "migrations"))

    assert ScriptDirectory.from_config(config).get_current_head() == opening.HEAD


def test_the_migrations_make_the_tables_that_the_code_asks_for(tmp_path: Path) -> None:
    engine = opening.open_engine(f"sqlite:///{tmp_path / 'r.sqlite'}")

    with engine.connect() as connection:
        made = inspect(connection)
        for name, table in METADATA.tables.items():
            columns = {column["name"]: column for column in made.get_columns(name)}
            assert list(columns) == [column.name for column in table.columns], name
            for column in table.columns:
                assert columns[column.name]["nullable"] == column.nullable, (name, column.name)
    engine.dispose()


@pytest.mark.parametrize(
    "change", ["DELETE FROM verdicts", "UPDATE verdicts SET verdict = 'accept'", "DELETE FROM claims"]
)
def test_a_row_can_be_neither_changed_nor_deleted_by_anybody(tmp_path: Path, change: str) -> None:
    from tests.viewer.store.test_reviews import new

    engine = opening.open_engine(f"sqlite:///{tmp_path / 'r.sqlite'}")
    from diascope.viewer.store.reviews import Reviews

    reviews = Reviews(engine)
    reviews.add(new("one"))
    reviews.note_claim("out", "case-1", "A", "claim", "A")

    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(text(change))
    reviews.close()


def test_the_file_can_be_read_by_its_owner_only_and_is_safe_against_power_cuts(tmp_path: Path) -> None:
    url = opening.file_url(OutFolder(tmp_path))
    engine = opening.open_engine(url)

    assert stat.S_IMODE((tmp_path / opening.FILE).stat().st_mode) == 0o600
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    engine.dispose()


def test_a_folder_keeps_its_name_in_the_record_when_it_is_moved(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    before = opening.out_key(OutFolder(tmp_path / "one"))

    (tmp_path / "one").rename(tmp_path / "two")

    assert opening.out_key(OutFolder(tmp_path / "two")) == before


def test_a_damaged_record_is_told_and_kept(tmp_path: Path) -> None:
    file = tmp_path / opening.FILE
    file.write_bytes(b"this is no database, but it is somebody's work " * 100)

    with pytest.raises(OutputError, match="cannot be opened") as caught:
        opening.open_engine(f"sqlite:///{file}")

    assert "keep it" in caught.value.hint
    assert file.read_bytes().startswith(b"this is no database")


def test_a_record_of_a_newer_diascope_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'r.sqlite'}"
    engine = opening.open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(OutputError, match="version 9999"):
        opening.open_engine(url)


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x/y", "postgresql+psycopg9://x"])
def test_an_address_that_is_none_is_told_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opening.open_engine(url)

    assert url not in caught.value.message


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(OutputError) as caught:
        opening.open_engine("postgresql+pg8000://me:geheim@127.0.0.1:9/reviews")

    assert "geheim" not in str(caught.value) + caught.value.hint
