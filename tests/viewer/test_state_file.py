"""A file of the server's state: private, shared by servers, and never half-read."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from diascope.errors import ConfigError
from diascope.viewer.state_file import StateFile


def opened(file: Path) -> StateFile[list[int]]:
    """Open as one server of several."""

    def parsed(found: Any) -> list[int]:
        return [int(one) for one in found or ()]

    return StateFile(file, parsed, list, "move it away")


def test_servers_that_write_at_one_time_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "state" / "numbers.json"
    servers = [opened(file) for _ in range(3)]

    def add(number: int) -> None:
        servers[number % 3].change(lambda numbers: [*numbers, number])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(60)))

    for server in (*servers, opened(file)):
        assert sorted(server.content()) == list(range(60))


def test_only_its_owner_reads_it_also_where_it_was_open_before(tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    file.write_text("[7]")
    file.chmod(0o644)

    opened(file).change(lambda numbers: [*numbers, 8])

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert opened(file).content() == [7, 8]


def test_what_was_damaged_meanwhile_is_told_and_holds_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "numbers.json"
    file.write_text("[7]")
    kept = opened(file)

    file.write_text("[7, ")

    assert kept.content() == [7]
    assert "numbers.json cannot be read" in caplog.text
    with pytest.raises(ConfigError, match="JSONDecodeError") as caught:
        opened(file)
    assert caught.value.hint == "move it away"
    file.unlink()
    assert kept.content() == []
