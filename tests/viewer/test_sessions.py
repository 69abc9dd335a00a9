"""Cookies are signed, sessions lock when idle and end after a day."""

import json
import stat
from pathlib import Path

import pytest

from diascope.viewer.sessions import LONGEST_SECONDS, Sessions, load_secret


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where ended and locked sessions are kept."""
    return tmp_path / "state" / "sessions.json"


def sessions(file: Path, clock: list[float]) -> Sessions:
    """Start a server's sessions: the second time on the same file is a restart."""
    return Sessions(b"s" * 32, 600, file, now=lambda: clock[0])


def test_an_idle_session_locks_and_opens_again(file: Path) -> None:
    clock = [1000.0]
    kept = sessions(file, clock)
    one = kept.begin("token", "Reader One")

    assert kept.touch(one)
    clock[0] += 599
    assert kept.touch(one)
    clock[0] += 601
    assert kept.is_locked(one)
    assert not kept.touch(one)
    kept.unlock(one)
    assert kept.touch(one)


def test_a_session_ends_after_a_day_even_when_it_is_busy(file: Path) -> None:
    clock = [1000.0]
    kept = sessions(file, clock)
    cookie = kept.cookie(kept.begin("token"))

    assert kept.read(cookie) is not None
    clock[0] += LONGEST_SECONDS + 1
    assert kept.read(cookie) is None


def test_a_cookie_of_another_secret_is_worth_nothing(file: Path) -> None:
    clock = [1000.0]
    other = Sessions(b"t" * 32, 600, file, now=lambda: clock[0])

    assert sessions(file, clock).read(other.cookie(other.begin("token"))) is None


def test_the_secret_is_made_once_and_a_torn_one_again(tmp_path: Path) -> None:
    file = tmp_path / "state" / "session.key"
    first = load_secret(file)

    assert load_secret(file) == first
    assert len(first) == 32
    file.write_bytes(first[:7])
    assert len(load_secret(file)) == 32
    assert file.stat().st_mode & 0o077 == 0


def test_a_session_that_was_ended_is_over_after_a_restart(file: Path) -> None:
    clock = [1000.0]
    before = sessions(file, clock)
    gone, stays = before.begin("token", "Reader One"), before.begin("token", "Reader Two")
    before.end(gone)

    after = sessions(file, clock)

    assert before.read(before.cookie(gone)) is None
    assert after.read(before.cookie(gone)) is None
    assert after.read(before.cookie(stays)) == stays
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("how", ["by hand", "idle"])
def test_a_locked_session_is_locked_after_a_restart_until_it_is_unlocked(file: Path, how: str) -> None:
    clock = [1000.0]
    before = sessions(file, clock)
    one = before.begin("token", "Reader One")
    if how == "by hand":
        before.lock(one)
    else:
        clock[0] += 601
        assert not before.touch(one)

    after = sessions(file, clock)

    assert after.is_locked(one)
    assert not after.touch(one)
    after.unlock(one)
    assert after.touch(one)
    assert sessions(file, clock).touch(one)


def test_a_password_session_wants_its_password_after_a_restart(file: Path) -> None:
    clock = [1000.0]
    before = sessions(file, clock)
    with_password, with_token = before.begin("password", "Ada"), before.begin("token", "Reader One")
    assert before.touch(with_password)

    after = sessions(file, clock)

    assert after.is_locked(with_password)
    assert not after.touch(with_password)
    assert after.touch(with_token)
    after.unlock(with_password)
    assert after.touch(with_password)


def test_two_servers_of_one_folder_forget_nothing_of_each_other(file: Path) -> None:
    clock = [1000.0]
    first, second = sessions(file, clock), sessions(file, clock)
    one, two = first.begin("token"), second.begin("token")
    first.end(one)
    second.end(two)

    for any_of_them in (first, second, sessions(file, clock)):
        assert any_of_them.read(first.cookie(one)) is None
        assert any_of_them.read(first.cookie(two)) is None


def test_a_day_later_nothing_is_kept_of_a_session(file: Path) -> None:
    clock = [1000.0]
    kept = sessions(file, clock)
    kept.end(kept.begin("token"))
    kept.lock(kept.begin("token"))
    clock[0] += LONGEST_SECONDS + 1
    young = kept.begin("token")
    kept.end(young)

    assert json.loads(file.read_text()) == {"ended": {young.sid: young.issued}, "locked": {}}


def test_where_nothing_can_be_written_a_session_is_over_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("no folder")
    kept = sessions(tmp_path / "state" / "sessions.json", [1000.0])
    gone = kept.begin("token")

    kept.end(gone)

    assert kept.read(kept.cookie(gone)) is None
    assert "could not be saved" in caplog.text
    assert str(tmp_path) not in caplog.text
