"""The review page in a real Chromium: opened, driven by keys, its pixels read."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

# WebGL2 computed on the processor: slow, but the same everywhere.
FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# Software rendering on two busy cores.
PATIENCE_MS = int(os.environ.get("DIASCOPE_PATIENCE_MS", "120000"))


@dataclass
class ReviewPage:
    """A page, and everything that went wrong on it.

    Attributes:
        page: Playwright's.
        base: Address of the server, without token.
        asked: Every address the page asked for.
        problems: Errors of scripts, and words of the console that are no good.
    """

    page: Any
    base: str
    asked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def enter(self, url: str, name: str = "Reader One") -> None:
        """Open the address that `diascope view` printed, and say who reads, by keyboard."""
        self.page.goto(url)
        self.page.locator("input[name=name]").wait_for()
        self.page.keyboard.type(name)
        self.press("Enter")
        self.page.locator(".worklist tbody tr").first.wait_for()

    def go(self, fragment: str, renderer: str = "webgl") -> None:
        """Open an address of the page as a link from elsewhere does."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/?renderer={renderer}#{fragment}")

    def open_case(self, case_id: str, renderer: str = "webgl", query: str = "") -> None:
        """Open a case and wait for its picture."""
        self.go(f"/case/out/{case_id}{'?' + query if query else ''}", renderer)
        self.wait_for_picture(case_id)

    def wait_for_picture(self, case_id: str) -> None:
        """Wait until image and label maps of a case are drawn."""
        self.page.wait_for_function(
            """(id) => {
                const view = globalThis.diascope?.caseView;
                if (view?.caseData?.case_id !== id || !view.picture.tiles().length) return false;
                const { stage } = view.picture;
                const isWaiting = stage.kind === "slices" && stage.tiles().some((tile) => !stage.latest[tile.plane]);
                if (isWaiting) return false;
                return view.overlays.labelUrls(view.caseData, view.imageId).every((url) => view.overlays.maps.has(url));
            }""",
            arg=case_id,
        )
        self.settle()

    def settle(self) -> None:
        """Wait for the frame that shows what was changed."""
        self.page.evaluate(
            "async () => { for (let at = 0; at < 3; at += 1) await new Promise((r) => requestAnimationFrame(r)); }"
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Ask the page; `app` is the page's own object."""
        return self.page.evaluate(f"(argument) => {{ const app = globalThis.diascope; return ({script}); }}", argument)

    def picture(self) -> NDArray[np.uint8]:
        """Read the picture below the marks.

        Returns:
            (rows, columns, 3) uint8 of the canvas that NiiVue or the slices are drawn on.
        """
        # What WebGL drew can be read in the task that drew it only.
        shot = self.page.evaluate(
            """() => {
                const { stage } = globalThis.diascope.caseView.picture;
                stage.finish();
                return stage.canvas.toDataURL("image/png").split(",")[1];
            }"""
        )
        return self._decode(shot)[..., :3]

    def marks(self) -> NDArray[np.uint8]:
        """Read the marks over the picture.

        Returns:
            (rows, columns, 4) uint8.
        """
        self.settle()
        return self._decode(
            self.page.evaluate("() => document.querySelector('.stage .marks').toDataURL('image/png').split(',')[1]")
        )

    def cells(self) -> dict[str, Any]:
        """Where each plane is, and how its voxels lie on the canvas."""
        found: dict[str, Any] = self.evaluate(
            """Object.fromEntries(app.caseView.picture.tiles().map((tile) => [tile.plane, {
                cell: tile.cell, horizontal: tile.horizontal, vertical: tile.vertical, normal: tile.normal,
                x0: tile.x0, y0: tile.y0, pxPerI: tile.pxPerI, pxPerJ: tile.pxPerJ }]))"""
        )
        return found

    def shoot(self, path: str) -> None:
        """Take a picture of the page."""
        self.evaluate("app.caseView?.picture?.stage?.finish?.()")
        self.page.screenshot(path=path)

    def check_clean(self) -> None:
        """Nothing went wrong on the page, and nothing left the machine."""
        assert not self.problems, self.problems
        away = [url for url in self.asked if not url.startswith((self.base, "blob:", "data:", "about:"))]
        assert self.asked
        assert not away, away

    @staticmethod
    def _decode(text: str) -> NDArray[np.uint8]:
        import base64

        return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a Chromium without a screen; skip where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def new_page(browser: Any, url: str, size: tuple[int, int] = (900, 560)) -> ReviewPage:
    """Open an empty page of somebody who was never here."""
    page = browser.new_context(viewport={"width": size[0], "height": size[1]}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    parts = urlsplit(url)
    review = ReviewPage(page, f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")
    page.on("request", lambda request: review.asked.append(request.url))
    page.on("pageerror", lambda error: review.problems.append(getattr(error, "stack", None) or str(error)))
    page.on(
        "console",
        lambda said: (
            review.problems.append(said.text)
            if said.type == "error" or "Content Security Policy" in said.text
            else None
        ),
    )
    return review
