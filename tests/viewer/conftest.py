"""A real server on a real socket, over an output folder that holds every kind of result."""

import contextlib
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from diascope.io.outfolder import OutFolder
from diascope.viewer.desk import Desk
from diascope.viewer.server import started
from diascope.viewer.settings import ViewSettings
from diascope.viewer.store.opening import file_url, open_engine
from tests.phantoms import Phantoms, write_out
from tests.viewer.browser import Browser
from tests.viewer.chromium import ReviewPage, chromium, new_page


@dataclass(frozen=True)
class Viewer:
    """A server, its phantoms, and who looks at them."""

    url: str
    phantoms: Phantoms
    desk: Desk

    def browser(self, name: str = "Reader One") -> Browser:
        """Sit down at a machine."""
        return Browser(self.url).enter(name)

    def address(self, role: str) -> str:
        """Where the case of a role is asked for."""
        return f"/api/case/out/{self.phantoms.reports[role].case_id}"

    def case_id(self, role: str) -> str:
        return self.phantoms.reports[role].case_id

    def image_id(self, role: str) -> str:
        return self.phantoms.reports[role].images[0].image_id


Serve = Callable[..., Viewer]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    """Phantoms with an empty record, made once: each test gets a copy."""
    phantoms = write_out(tmp_path_factory.mktemp("template") / "out")
    open_engine(file_url(OutFolder(phantoms.folder))).dispose()
    return phantoms


@pytest.fixture
def phantoms(template: Phantoms, tmp_path: Path) -> Phantoms:
    """An output folder of one's own."""
    shutil.copytree(template.folder, tmp_path / "out")
    return replace(template, folder=tmp_path / "out")


@pytest.fixture
def serve(phantoms: Phantoms, tmp_path: Path) -> Iterator[Serve]:
    """Start servers: `serve()` over a fresh phantom OUT, `serve(blinded=True)` with other settings."""
    with contextlib.ExitStack() as stack:

        def start(shown: Phantoms | None = None, folders: list[Path] | None = None, **changed: Any) -> Viewer:
            served = shown or phantoms
            values = {"port": 0, "state_dir": tmp_path / "state", "mirror": False, **changed}
            server = stack.enter_context(started(folders or [served.folder], ViewSettings(**values)))
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()

            def stop() -> None:
                server.server.should_exit = True
                thread.join()

            stack.callback(stop)
            return Viewer(server.url, served, server.desk)

        yield start


@pytest.fixture
def viewer(serve: Serve) -> Viewer:
    """A server with the usual settings."""
    return serve()


def verdict(browser: Browser, address: str, **said: Any) -> dict[str, Any]:
    """Spell a verdict on the result that is there now."""
    digest = browser.get(address).json["result_digest"]
    return {"verdict": "accept", "digest": digest, "key": uuid.uuid4().hex, **said}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, started once."""
    with chromium() as started_browser:
        yield started_browser


OpenPage = Callable[..., ReviewPage]


@pytest.fixture
def open_page(browser: Any) -> Iterator[OpenPage]:
    """Open review pages; at the end none may have had a problem, or have asked anybody but its server."""
    opened: list[ReviewPage] = []

    def start(url: str, **how: Any) -> ReviewPage:
        opened.append(new_page(browser, url, **how))
        return opened[-1]

    yield start
    for one in opened:
        one.page.context.close()
        one.check_clean()
