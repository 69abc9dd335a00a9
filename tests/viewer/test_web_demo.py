"""The demo batch, reviewed from its first case to its last by keyboard only."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diascope.findings import read_report
from tests.phantom_tables import KEY
from tests.phantoms import Phantoms
from tests.viewer.conftest import OpenPage, Serve
from tests.viewer.test_web_review import colour_of, open_with_n, saved, wait_for_case

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def demo_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's results: those of DIASCOPE_DEMO_OUT (as .ci/run made them), else made now."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    if made := os.environ.get("DIASCOPE_DEMO_OUT"):
        shutil.copytree(made, folder)
        for name in ("reviews.sqlite", "reviews.id"):
            (folder / name).unlink(missing_ok=True)
        return folder
    code = "from diascope.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", code, "demo", "-o", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def test_the_demo_batch_is_reviewed_from_first_to_last_case_by_keyboard_only(
    demo_out: Path, serve: Serve, open_page: OpenPage
) -> None:
    reports = {path.parent.name: read_report(path) for path in demo_out.glob("cases/*/case.json")}
    done = {case_id for case_id, report in reports.items() if report.status == "done"}
    assert len(done) >= 5
    viewer = serve(Phantoms(demo_out, KEY, reports, ()))
    review = open_page(viewer.url, size=(1000, 640))
    review.enter(viewer.url)
    review.page.goto(f"{review.base}/?renderer=slices")
    review.page.locator(".worklist tbody tr").first.wait_for()

    seen: list[str] = []
    case_id = open_with_n(review)
    while True:
        seen.append(case_id)
        assert review.picture().max() > 100, f"{case_id} is blank"
        assert colour_of(review) > 200, f"{case_id} shows no labels"
        review.press("a")
        if len(seen) == len(done):
            break
        case_id = wait_for_case(review, case_id)
    review.page.get_by_text("The queue is empty").wait_for()

    assert set(seen) == done
    found = saved(viewer)
    assert set(found) == done
    assert {row["verdict"] for row in found.values()} == {"accept"}
