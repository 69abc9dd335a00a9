"""The page's own arithmetic, its tools, and what it does where a graphics card is missing or gives up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diascope.viewer.brush import Stroke, covered
from diascope.viewer.page_export import write_page
from diascope.viewer.settings import ViewSettings
from tests.phantoms import oblique_grid
from tests.viewer.chromium import ReviewPage, new_page
from tests.viewer.conftest import OpenPage, Serve, Viewer

pytestmark = pytest.mark.real


@pytest.fixture
def review(serve: Serve, open_page: OpenPage) -> ReviewPage:
    """A page with the worklist open."""
    viewer = serve()
    page = open_page(viewer.url, size=(1280, 800))
    page.enter(viewer.url)
    return page


def module(review: ReviewPage, name: str, script: str, argument: Any = None) -> Any:
    """Run a line with a module of the page as `it`."""
    return review.page.evaluate(
        f"async (argument) => {{ const it = await import('./static/js/{name}.js'); return {script}; }}", argument
    )


def test_windows_presets_addresses_and_keys_are_what_the_manual_says(review: ReviewPage, repository: Path) -> None:
    presets = module(review, "windows", "it.CT_PRESETS.map((one) => [one.name, it.limitsOf(one, [0, 1])])")
    # Width and level of OHIF's defaults: lower = level - width / 2.
    assert presets == [
        ["Soft tissue", [-160, 240]],
        ["Lung", [-1350, 150]],
        ["Liver", [15, 165]],
        ["Bone", [-770, 1730]],
        ["Brain", [0, 80]],
    ]
    # What was set by hand is not replaced by what the image suggests.
    kept = """(() => { const one = new it.GreyWindow({modality: "CT"}, null); one.set(5, 50); one.suggest([0, 9]);
              const by_hand = one.limits; one.choose(0); return [by_hand, one.limits]; })()"""
    assert module(review, "windows", kept) == [[5, 50], [0, 9]]

    trip = """(() => { const address = {page: "case", out: "a b", caseId: "c/ä", query: {x: "-1.5", ov: "seg,heat"}};
              return it.parseAddress(it.formatAddress(address)); })()"""
    assert module(review, "address", trip) == {
        "page": "case", "out": "a b", "caseId": "c/ä", "query": {"x": "-1.5", "ov": "seg,heat"},
    }  # fmt: skip

    rows = module(review, "keys", "it.KEYS.map((row) => row.keys)")
    assert len(rows) == len(set(rows))
    manual = (repository / "docs" / "viewer.md").read_text(encoding="utf-8")
    spans = {"Shift+2", "Shift+3", "Shift+4", "2", "3", "4"}
    missing = [key for key in rows if f"`{key}`" not in manual and key not in spans]
    assert not missing, missing


def test_the_page_and_the_server_paint_the_same_voxels(review: ReviewPage) -> None:
    grid = oblique_grid((24, 30, 18), (0.7, 0.9, 2.3))
    rng = np.random.default_rng(5)
    for shape in ("ball", "disc"):
        for _ in range(6):
            points = (rng.uniform((0, 0, 0), (23, 29, 17), (3, 3))).round(3)
            radius_mm = float(rng.choice([0.5, 2.0, 5.5]))
            normal = int(rng.integers(3))
            stroke = Stroke(
                op="paint", label=1, shape=shape, radius_mm=radius_mm,
                points_ijk=[tuple(point) for point in points.tolist()], normal=normal,
            )  # fmt: skip
            wanted = set(covered(stroke, grid).tolist())
            painted = module(
                review,
                "brush",
                """argument.points.flatMap((to, at) => it.paintedVoxels({from: argument.points[Math.max(at - 1, 0)], to,
                    radiusMm: argument.radius, plane: argument.plane}, argument.affine, argument.shape))""",
                {
                    "points": disc_points(points, normal if shape == "disc" else None),
                    "radius": radius_mm,
                    "plane": normal if shape == "disc" else None,
                    "affine": grid.affine.tolist(),
                    "shape": list(grid.shape),
                },
            )
            assert set(painted) == wanted
            assert wanted or radius_mm < 2.5


def disc_points(points: np.ndarray[Any, Any], normal: int | None) -> list[list[float]]:
    """In a disc every point is in the slice of the first, as it is while a slice is shown."""
    flat = points.copy()
    if normal is not None:
        flat[:, normal] = flat[0, normal]
    found: list[list[float]] = flat.tolist()
    return found


def test_a_correction_is_painted_undone_and_saved_as_a_new_version(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")
    review.press(",")
    review.page.wait_for_function("() => globalThis.diascope.caseView.editing.isOpen")
    before = painted(review)
    # The crosshair is in the left half: paint the right half's label there.
    review.page.locator(".edit-bar select").select_option("2")

    drag(review, (60, 40))
    review.page.wait_for_function("() => globalThis.diascope.caseView.editing.draft.undo === 1")
    after = painted(review)
    assert after != before
    assert server_draft(review) == after
    review.press("Control+z")
    review.page.wait_for_function("() => globalThis.diascope.caseView.editing.draft.undo === 0")
    review.page.wait_for_function(f"() => ({PAINTED})() === {before}")
    review.press("Control+y")
    review.page.wait_for_function("() => globalThis.diascope.caseView.editing.draft.undo === 1")
    review.page.get_by_text("Save as a new version").click()
    review.page.get_by_text("the network's own is kept").wait_for()

    review.page.locator(".version-choice").wait_for()
    versions = review.page.locator(".version-choice option").all_inner_texts()
    assert len(versions) == 2
    assert "Reader One" in versions[1]


SUM = "data.reduce((sum, value, at) => (value ? (sum + value * (at % 9973)) % 1000003 : sum), 0)"
PAINTED = f"() => {{ const {{ data }} = globalThis.diascope.caseView.editing; return data ? {SUM} : -1; }}"


def painted(review: ReviewPage) -> int:
    """A number for what the draft on the page holds."""
    found: int = review.page.evaluate(PAINTED)
    return found


def server_draft(review: ReviewPage) -> int:
    """The same number for what the server holds."""
    found: int = review.page.evaluate(
        f"""async () => {{ const {{ readNifti }} = await import("./static/js/nifti.js");
            const {{ editing }} = globalThis.diascope.caseView;
            const {{ data }} = await readNifti(await (await fetch(editing.draft.url)).arrayBuffer());
            return {SUM}; }}"""
    )
    return found


def drag(review: ReviewPage, off: tuple[int, int]) -> None:
    """Drag with the left button from the crosshair of the large plane."""
    at = review.page.evaluate(
        """() => { const { picture } = globalThis.diascope.caseView;
            const [x, y] = picture.tiles()[0].toCanvas(picture.view.cursor);
            const box = picture.marks.getBoundingClientRect(); return [box.x + x, box.y + y]; }"""
    )
    review.page.mouse.move(*at)
    review.page.mouse.down()
    review.page.mouse.move(at[0] + off[0], at[1] + off[1], steps=3)
    review.page.mouse.up()


def test_a_missed_lesion_is_marked_with_a_click_a_drag_and_by_key(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")

    review.press("m", "Enter", "m")
    drag(review, (50, 30))
    boxes = review.evaluate("app.caseView.draft.missed.map((one) => one.box_ijk)")

    assert len(boxes) == 2
    cursor = review.evaluate("app.caseView.picture.view.cursor")
    for low, high in boxes:
        assert all(one < other for one, other in zip(low, high, strict=True))
    # 10 mm around the crosshair, of voxels of 4.1 x 4.4 x 8 mm.
    low, high = boxes[0]
    assert all(one <= at < other for one, at, other in zip(low, cursor, high, strict=True))
    extent_mm = [(b - a) * mm for a, b, mm in zip(low, high, (4.1, 4.4, 8.0), strict=True)]
    assert all(8 <= one < 14 for one in extent_mm), extent_mm


def test_without_a_graphics_card_the_server_cuts_and_the_page_says_so(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)

    review.open_case(viewer.case_id("head"), "auto")

    assert review.evaluate("app.caseView.picture.stage.kind") == "slices"
    assert "no graphics card" in review.page.locator(".status").inner_text()
    assert not [url for url in review.asked if "niivue.umd" in url]


def test_a_lost_graphics_context_is_told_and_slices_go_on(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url)
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "webgl")
    place = review.evaluate("app.caseView.picture.view.cursor")

    review.evaluate("app.caseView.picture.stage.nv.gl.getExtension('WEBGL_lose_context').loseContext()")
    review.page.wait_for_function("() => globalThis.diascope.caseView.picture.stage.kind === 'slices'")
    review.wait_for_picture(viewer.case_id("head"))

    assert review.evaluate("app.caseView.picture.view.cursor") == place
    assert review.picture().max() > 100
    # NiiVue itself says that it cannot draw any more.
    review.problems.clear()


def test_an_exported_page_shows_its_cases_and_asks_nobody(tmp_path: Path, serve: Serve, browser: Any) -> None:
    viewer: Viewer = serve()
    chosen = [viewer.case_id("head"), viewer.case_id("radiograph")]
    file = tmp_path / "page.html"
    write_page([viewer.phantoms.folder], file, chosen, ViewSettings(state_dir=tmp_path / "other"))
    review = new_page(browser, file.as_uri(), size=(1280, 800))

    review.page.goto(file.as_uri())
    review.page.locator(".worklist tbody tr").first.wait_for()
    assert review.page.locator(".worklist tbody tr").count() == 2
    review.page.locator(f"tr[data-case='{chosen[0]}']").click()
    review.wait_for_picture(chosen[0])
    review.press("a")
    review.page.get_by_text("read-only").first.wait_for()

    assert review.picture().max() > 100
    assert review.page.locator(".decide").count() == 0
    assert [url for url in review.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert not review.problems, review.problems
    review.page.context.close()
