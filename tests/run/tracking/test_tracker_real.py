"""Tracking against a real MLflow server, and its pages in a real browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from diascope.run.report.page import write_report
from diascope.run.report.summary import summarise
from diascope.run.tracking.result import SendResult
from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.spool import read_spool
from diascope.run.tracking.tracker import DatasetDescription, MlflowTracker, RunDescription, open_tracker, sync
from tests.run.finished import BRAIN, case_id, write_finished_run

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

RUN = RunDescription(
    "brain_mri",
    "hash-of-the-run",
    {"config": "brain_mri", "device": "cpu, 2 cores"},
    {"diascope.version": "0.1.0", f"bundle.{BRAIN.name}.sha256": BRAIN.sha256},
    "5 cases. The tables, previews and report.html are among the artifacts.",
)


class Server:
    """`mlflow server` on a port of this machine, that can be killed and started again."""

    def __init__(self, store: Path) -> None:
        with closing(socket.socket()) as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])
        self.store = store
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.store}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.store.parent / "server_artifacts")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_for(self.answers, 240)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.2)


@pytest.fixture
def server(store: Path) -> Iterator[Server]:
    one = Server(store)
    one.start()
    yield one
    one.kill()


def tracker_of(root: Path, settings: TrackingSettings, told: list[str]) -> MlflowTracker:
    tracker = open_tracker(root, settings, told.append)
    assert isinstance(tracker, MlflowTracker)
    return tracker


def track_a_run(root: Path, settings: TrackingSettings) -> SendResult:
    """Everything a batch tells its tracker."""
    out = write_finished_run(root)
    tracker = tracker_of(root, settings, [])
    tracker.start(RUN)
    tracker.log_dataset(DatasetDescription("brain_mri", "0123456789abcdef", {"files": 812, "cases": 5}))
    for step in (1, 2, 3):
        tracker.log_metrics({"case_seconds": 1.5 * step, "case_seconds.infer": 1.0 * step}, step)
    summary = summarise(out)
    write_report(out, summary)
    tracker.log_metrics({"cases.done": 3, "cases.failed": 1, "seconds.infer": 12.5})
    tracker.log_table("cases.csv", "cases")
    tracker.log_file("report.html", pictures="inside")
    for name in summary.previews:
        tracker.log_file(f"cases/{name}/preview.png", folder=f"previews/{name}", pictures="is_one")
    return tracker.finish()


def client_of(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def files_below(client: Any, run_id: str, folder: str = "") -> list[str]:
    found: list[str] = []
    for one in client.list_artifacts(run_id, folder or None):
        found += files_below(client, run_id, one.path) if one.is_dir else [one.path]
    return sorted(found)


def test_a_server_gets_everything_but_the_pictures(tmp_path: Path, server: Server) -> None:
    result = track_a_run(tmp_path / "out", TrackingSettings(uri=server.uri))

    assert (result.left, result.problem) == (0, "")
    assert result.kept_back == 4
    client = client_of(server.uri)
    assert files_below(client, result.run_id) == ["cases.json", "report.html"]
    report = Path(client.download_artifacts(result.run_id, "report.html", str(tmp_path))).read_text()
    assert "data:image" not in report
    assert "5 cases" in report


def test_a_server_gets_pictures_where_the_settings_say_so(tmp_path: Path, server: Server) -> None:
    result = track_a_run(tmp_path / "out", TrackingSettings(uri=server.uri, artifacts="all"))

    pictures = [f"previews/{case_id(number)}/preview.png" for number in (1, 2, 3)]
    assert files_below(client_of(server.uri), result.run_id) == ["cases.json", *pictures, "report.html"]


def test_a_server_killed_in_the_middle_gets_the_rest_later_and_nothing_twice(tmp_path: Path, server: Server) -> None:
    settings = TrackingSettings(uri=server.uri)
    told: list[str] = []
    tracker = tracker_of(tmp_path, settings, told)
    tracker.start(RUN)
    tracker.log_metrics({"case_seconds": 1.0}, 1)
    wait_for(lambda: bool(read_spool(tmp_path / "tracking.jsonl").receipts), 120)
    server.kill()
    tracker.log_metrics({"case_seconds": 2.0}, 2)
    started = time.monotonic()
    result = tracker.finish()

    assert time.monotonic() - started < 60
    assert result.left >= 2
    assert "cannot be reached" in told[-1]
    server.start()
    sent = sync(tmp_path, settings)
    assert (sent.left, sent.problem) == (0, "")
    assert sync(tmp_path, settings).sent == 0
    client = client_of(server.uri)
    (run,) = client.search_runs([sent.experiment_id])
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "case_seconds")
    assert [(one.step, one.value) for one in history] == [(1, 1.0), (2, 2.0)]


def test_a_server_that_is_well_but_answers_no_question_is_given_up(tmp_path: Path) -> None:
    class OnlyHealthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/health":
                time.sleep(30)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the name is the library's

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), OnlyHealthy) as one:
        one.daemon_threads = True
        threading.Thread(target=one.serve_forever, daemon=True).start()
        tracker = tracker_of(tmp_path, TrackingSettings(uri=f"http://127.0.0.1:{one.server_port}"), [])
        tracker.start(RUN)
        result = tracker.finish()
        one.shutdown()

    assert (result.sent, result.left) == (0, 2)
    assert result.problem != ""


def test_a_batch_that_dies_leaves_a_run_that_says_so(tmp_path: Path, store: Path, repository: Path) -> None:
    code = (
        "import os; from pathlib import Path; from diascope.run.tracking.tracker import RunDescription, open_tracker;"
        "from diascope.run.tracking.settings import TrackingSettings;"
        f"tracker = open_tracker(Path({str(tmp_path)!r}), TrackingSettings(uri='sqlite:///{store}'), print);"
        "tracker.start(RunDescription('brain_mri', 'hash')); tracker.log_metrics({'case_seconds': 1.0}, 1); os._exit(9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(repository / "pipeline")}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert ended.returncode == 9
    client = client_of(f"sqlite:///{store}")

    def runs() -> list[Any]:
        experiment = client.get_experiment_by_name("diascope")
        return list(client.search_runs([experiment.experiment_id])) if experiment else []

    wait_for(lambda: [run.info.status for run in runs()] == ["KILLED"], 120)
    assert runs()[0].data.metrics == {"case_seconds": 1.0}


@pytest.fixture
def browser() -> Iterator[Any]:
    """Chromium without a screen."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        one = player.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
        )
        yield one
        one.close()


def test_the_pages_of_a_run_show_what_was_tracked(tmp_path: Path, server: Server, browser: Any) -> None:
    # The local store of a person, looked at through a server on the same machine.
    result = track_a_run(tmp_path / "out", TrackingSettings(uri=f"sqlite:///{server.store}"))
    asked: list[str] = []
    shots = Path(os.environ.get("DIASCOPE_SHOTS", tmp_path))
    base = f"{server.uri}/#/experiments/{result.experiment_id}"
    run = f"{base}/runs/{result.run_id}"

    def look(address: str, name: str, *texts: str) -> Any:
        """Open a page as somebody who was never here, and wait until it shows these texts."""
        page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        page.set_default_timeout(150_000)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        for text in texts:
            page.get_by_text(text).filter(visible=True).first.wait_for()
        page.screenshot(path=shots / f"{name}.png")
        return page

    look(f"{base}?workflowType=machine_learning", "experiment", "1 matching run", "brain_mri", "0123456789abcdef")
    facts = ("report.html", "cases.done", "case_seconds.infer", "cpu, 2 cores", "Finished", "0123456789abcdef")
    look(f"{run}?workflowType=machine_learning", "run", *facts)
    look(f"{run}/artifacts/cases.json", "cases", case_id(1), "no_geometry")
    report = look(f"{run}/artifacts/report.html", "report", "report.html")
    report.frame_locator("iframe").get_by_text("brain_mri: 5 cases").wait_for()
    report.frame_locator("iframe").locator("img.preview").first.wait_for()
    look(f"{run}/artifacts/previews/{case_id(1)}/preview.png", "preview", "preview.png")

    assert [url for url in asked if not url.startswith((server.uri, "data:", "blob:", "about:"))] == []
