"""The record in a real PostgreSQL: the same as in SQLite, with twenty readers at once, and through a crash."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from diascope.viewer.store.opening import open_engine
from diascope.viewer.store.reviews import Reviews
from tests.viewer.store.test_reviews import check_a_record_keeps_what_it_is_given, check_claims, new

pytestmark = pytest.mark.real


class Postgres:
    """A server of one's own, in a folder of its own, on a socket only its owner reaches."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        # PostgreSQL refuses to run as root.
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "diascope", "--no-sync", "-E", "UTF8")

    def url(self, database: str = "postgres") -> str:
        socket = self.folder / ".s.PGSQL.5432"
        return f"postgresql+pg8000://diascope@/{database}?unix_sock={socket}"

    def run(self, program: str, *words: str) -> None:
        command = [*self.as_user, str(self.programs / program), *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}'"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-l", log, "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", mode, "stop")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs and not shutil.which("initdb"):
        pytest.skip("no PostgreSQL here: .ci/run installs Debian's package postgresql")
    if os.geteuid() == 0 and not shutil.which("runuser"):
        pytest.skip("PostgreSQL refuses to run as root, and there is no runuser")
    # Not tmp_path: the user postgres may not enter root's folders, and a socket's path is at most 107 letters.
    folder = Path(tempfile.mkdtemp(prefix="dsc-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = Postgres(programs[-1] if programs else Path(str(shutil.which("initdb"))).parent, folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def url(postgres: Postgres) -> str:
    """An empty database."""
    name = f"reviews_{secrets.token_hex(4)}"
    engine = create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres.url(name)


@pytest.fixture
def reviews(url: str) -> Iterator[Reviews]:
    found = Reviews(open_engine(url))
    yield found
    found.close()


def test_a_record_keeps_what_it_is_given(reviews: Reviews) -> None:
    check_a_record_keeps_what_it_is_given(reviews)
    check_claims(reviews)


def test_a_row_can_be_neither_changed_nor_deleted(url: str, reviews: Reviews) -> None:
    reviews.add(new("1"))
    engine = open_engine(url)
    for change in ("DELETE FROM verdicts", "UPDATE verdicts SET verdict = 'reject'", "TRUNCATE verdicts"):
        with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
            connection.execute(text(change))
    engine.dispose()
    assert len(reviews.history("out")) == 1


def test_twenty_readers_at_once_lose_no_verdict(reviews: Reviews) -> None:
    def read(reader: int) -> None:
        for case in range(25):
            reviews.add(new(f"{case}", f"Reader {reader}", f"case-{case}"))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(read, range(20)))

    assert len(reviews.standing("out")) == 500


def test_what_was_saved_is_there_after_the_server_was_killed(postgres: Postgres, reviews: Reviews) -> None:
    saved = [reviews.add(new(str(at))) for at in range(10)]

    postgres.stop("immediate")  # as after a power cut: nothing is written, recovery comes at the next start
    postgres.start()

    assert [one.verdict_id for one in reviews.history("out")] == [one.verdict_id for one in saved]
