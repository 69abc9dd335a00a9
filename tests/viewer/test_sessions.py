"""Cookies are signed, sessions lock when idle and end after a day."""

from pathlib import Path

from diascope.viewer.sessions import LONGEST_SECONDS, Sessions, load_secret


def sessions(clock: list[float]) -> Sessions:
    return Sessions(b"s" * 32, idle_seconds=600, now=lambda: clock[0])


def test_an_idle_session_locks_and_opens_again() -> None:
    clock = [1000.0]
    kept = sessions(clock)
    one = kept.begin("token", "Reader One")

    assert kept.touch(one)
    clock[0] += 599
    assert kept.touch(one)
    clock[0] += 601
    assert kept.is_locked(one)
    assert not kept.touch(one)
    kept.unlock(one)
    assert kept.touch(one)


def test_a_session_ends_after_a_day_even_when_it_is_busy() -> None:
    clock = [1000.0]
    kept = sessions(clock)
    cookie = kept.cookie(kept.begin("token"))

    assert kept.read(cookie) is not None
    clock[0] += LONGEST_SECONDS + 1
    assert kept.read(cookie) is None


def test_a_cookie_of_another_secret_is_worth_nothing() -> None:
    clock = [1000.0]
    other = Sessions(b"t" * 32, 600, now=lambda: clock[0])

    assert sessions(clock).read(other.cookie(other.begin("token"))) is None


def test_the_secret_is_made_once_and_a_torn_one_again(tmp_path: Path) -> None:
    file = tmp_path / "state" / "session.key"
    first = load_secret(file)

    assert load_secret(file) == first
    assert len(first) == 32
    file.write_bytes(first[:7])
    assert len(load_secret(file)) == 32
    assert file.stat().st_mode & 0o077 == 0
