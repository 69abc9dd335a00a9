"""Where a run is tracked, and what is said of it beforehand."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.target import Target, announcement, target_of, users_store, why_unreachable


def server(uri: str = "http://mlflow.example:5000", artifacts: str = "auto") -> Target:
    return Target(uri, "diascope", artifacts)  # type: ignore[arg-type]


def test_the_setting_comes_before_the_environment_before_the_users_own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://from-environment:5000")

    assert target_of(TrackingSettings(uri="http://from-settings:5000")).uri == "http://from-settings:5000"
    assert target_of(TrackingSettings()).uri == "http://from-environment:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert target_of(TrackingSettings()).uri == users_store()
    assert users_store().startswith("sqlite:////")


def test_files_of_a_store_lie_beside_it_by_experiment() -> None:
    target = Target("sqlite:////data/me/mlflow.db", "lung nodules", "auto")

    assert target.store_file == Path("/data/me/mlflow.db")
    assert target.artifact_location == "file:///data/me/artifacts/lung_nodules"
    assert server().artifact_location is None


def test_a_password_is_neither_shown_nor_kept() -> None:
    target = server("https://ann:s3cret@mlflow.example:5000/base")

    assert target.shown == "https://mlflow.example:5000/base"
    assert "s3cret" not in announcement(target)
    assert "s3cret" not in target.digest


def test_it_is_said_what_goes_where() -> None:
    local = announcement(Target("sqlite:////data/me/mlflow.db", "diascope", "auto"))
    remote = announcement(server())
    everything = announcement(server(artifacts="all"))
    nothing = announcement(server(artifacts="none"))

    assert "sqlite:////data/me/mlflow.db" in local
    assert "previews" in local
    assert "http://mlflow.example:5000" in remote
    assert "report.html without pictures" in remote
    assert "pictures stay here" in remote
    assert "previews" not in remote
    assert "previews" in everything
    assert "report.html" not in nothing
    assert all("never sent: names" in text for text in (local, remote, everything, nothing))


def test_what_was_said_at_the_first_run_is_not_said_again() -> None:
    again = announcement(server(), is_known=True)

    assert again == announcement(server()).splitlines()[0]


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def deaf_server() -> Iterator[str]:
    """Accepts every connection and never says a word."""
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        one.listen(50)
        yield f"http://127.0.0.1:{one.getsockname()[1]}"


def test_a_server_that_is_down_is_known_at_once() -> None:
    started = time.monotonic()

    why = why_unreachable(server(f"http://127.0.0.1:{free_port()}"))

    assert "cannot be reached" in why
    assert time.monotonic() - started < 2


def test_a_server_that_never_answers_is_known_after_three_seconds(deaf_server: str) -> None:
    started = time.monotonic()

    why = why_unreachable(server(deaf_server))

    assert why == "it did not answer within 3 s"
    assert time.monotonic() - started < 5


def test_a_server_that_answers_anything_is_reachable() -> None:
    class Forbidden(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Forbidden) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        assert why_unreachable(server(f"http://ann:s3cret@127.0.0.1:{one.server_port}")) == ""
        one.shutdown()


def test_a_store_on_this_machine_is_always_reachable() -> None:
    assert why_unreachable(Target("sqlite:////data/me/mlflow.db", "diascope", "auto")) == ""
