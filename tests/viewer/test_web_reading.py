"""What a reader uses beside the planes: the prior, the view in 3-D, distances, heatmaps and their trust."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from diascope.imaging.page import box_in_slice
from diascope.viewer.page_export import write_page
from diascope.viewer.settings import ViewSettings
from tests.phantoms import Phantoms, asymmetric_head, write_out
from tests.viewer.chromium import ReviewPage, new_page
from tests.viewer.conftest import OpenPage, Serve
from tests.viewer.test_web_geometry import in_cell
from tests.viewer.test_web_review import colour_of

pytestmark = pytest.mark.real

HEAD = asymmetric_head()
MARKER_RAS_MM = [float(mm) for mm in HEAD.marker_centre_ras_mm]

# Of the phantom's map, 3 exp(-(r / 20 mm)²) - 0.5, what is above 0.35 of its highest value is drawn.
HEAT_RADIUS_MM = 20 * math.sqrt(math.log(3 / (0.35 * 2.5 + 0.5)))


def go_to_marker(review: ReviewPage) -> list[int]:
    """Put the crosshair on the phantom's marker; the voxel."""
    found: list[int] = review.evaluate(
        "(app.caseView.picture.moveTo(app.caseView.picture.toIjk(argument)), app.caseView.picture.view.cursor)",
        MARKER_RAS_MM,
    )
    return found


def coloured(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    spread = pixels[..., :3].max(axis=-1).astype(int) - pixels[..., :3].min(axis=-1)
    found: NDArray[np.bool_] = spread > 30
    return found


def wait_for_colour(review: ReviewPage) -> NDArray[np.uint8]:
    """Wait until the picture below the marks has colours in every plane."""
    for _ in range(200):
        picture = review.picture()
        if all(coloured(in_cell(picture, tile["cell"])).any() for tile in review.cells().values()):
            return picture
        review.page.wait_for_timeout(100)
    raise AssertionError("no colour ever appeared")


@pytest.mark.parametrize("renderer", ["webgl", "slices"])
def test_a_heatmap_lies_where_its_evidence_is_and_says_what_it_deserves(
    serve: Serve, open_page: OpenPage, renderer: str
) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1000, 640))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), renderer)
    cursor = go_to_marker(review)
    assert not coloured(review.picture()).any()

    review.press("h")
    check_place_of_heat(review, cursor)

    panel = review.page.locator(".panel[aria-label=Maps]").inner_text()
    (heat,) = viewer.phantoms.reports["head"].heatmaps or ()
    assert heat.trust in panel.lower()
    assert heat.trust_reason in panel


def test_long_reasons_and_names_leave_every_panel_in_the_window(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1000, 640))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")
    words = "left inferior lateral ventricle, right inferior lateral ventricle cut off by the border of the image; " * 4

    reach = review.page.evaluate(
        """(words) => {
          document.querySelector(".case-title .why").textContent = words;
          const name = document.querySelector(".label .name");
          name.textContent = words.slice(0, 31);
          return { right: document.querySelector(".sidebar").getBoundingClientRect().right, window: innerWidth,
                   isWhole: name.scrollWidth <= name.clientWidth };
        }""",
        words,
    )

    assert reach["right"] <= reach["window"]
    assert reach["isWhole"]


def test_a_long_reason_takes_two_lines_of_the_worklist_and_is_whole_in_the_case(
    serve: Serve, open_page: OpenPage, tmp_path: Path
) -> None:
    reason = "left inferior lateral ventricle cut off by the border of the image; " * 8
    viewer = serve(with_reasons(write_out(tmp_path / "out"), reason))
    review = open_page(viewer.url)
    review.enter(viewer.url)
    review.page.goto(f"{review.base}/?renderer=slices")
    row = review.page.locator(f".worklist tbody tr[data-case={viewer.case_id('head')}]")
    row.wait_for()

    box = row.bounding_box()
    assert box is not None
    assert box["height"] < 70
    assert row.locator(".why").get_attribute("title") == reason


def test_of_a_finding_marked_slice_by_slice_the_box_of_the_shown_slice_is_drawn(
    tmp_path: Path, serve: Serve, open_page: OpenPage
) -> None:
    phantoms = write_out(tmp_path / "out")
    report = phantoms.reports["head"]
    (finding, *others) = report.findings or ()
    (i0, j0, k0), (i1, j1, k1) = finding.box_ijk
    slices = tuple(((i0 + n % 2, j0, k), (i1, j1 - n % 2, k + 1)) for n, k in enumerate(range(k0, k1)) if n != 1)
    marked = replace(finding, slice_boxes_ijk=slices)
    text = replace(report, findings=(marked, *others)).to_json()
    (phantoms.case_folder("head") / "case.json").write_text(text, encoding="utf-8")
    viewer = serve(phantoms)
    review = open_page(viewer.url)
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")

    asked = [[axis, at] for axis in range(3) for at in range(40)]
    shown = review.evaluate("app.caseView.picture.sceneOf().boxes[0]")
    drawn = review.page.evaluate(
        """async ({ shown, asked }) => {
          const main = document.querySelector("script[type=module]").src;
          const { boxInSlice } = await import(new URL("geometry.js", main));
          return asked.map(([axis, at]) => boxInSlice(shown.box, shown.slices, axis, at));
        }""",
        {"shown": shown, "asked": asked},
    )

    expected = [box_in_slice(marked, axis, at) for axis, at in asked]
    assert drawn == [None if box is None else [list(corner) for corner in box] for box in expected]
    assert expected[80 + k0] not in (None, finding.box_ijk)
    assert expected[80 + k0 + 1] is None


def test_an_exported_page_draws_heatmap_labels_and_boxes_without_a_graphics_card(
    tmp_path: Path, serve: Serve, browser: Any
) -> None:
    viewer = serve()
    file = tmp_path / "page.html"
    write_page([viewer.phantoms.folder], file, [viewer.case_id("head")], ViewSettings(state_dir=tmp_path / "other"))
    review = new_page(browser, file.as_uri(), size=(1000, 640))
    review.page.goto(f"{file.as_uri()}?renderer=slices#/case/out/{viewer.case_id('head')}")
    review.wait_for_picture(viewer.case_id("head"))
    cursor = go_to_marker(review)
    assert not coloured(review.picture()).any()
    labels_and_boxes = colour_of(review)
    review.press("s")
    boxes = colour_of(review)

    review.press("h")
    check_place_of_heat(review, cursor)

    assert boxes > 50
    assert labels_and_boxes > boxes + 500
    assert [url for url in review.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert not review.problems, review.problems
    review.page.context.close()


def check_place_of_heat(review: ReviewPage, cursor: list[int]) -> None:
    """The phantom's map is a disc about its marker, in all planes."""
    picture = wait_for_colour(review)
    spacing_mm = review.evaluate("app.caseView.picture.spacing")
    for plane, tile in review.cells().items():
        rows, columns = np.nonzero(coloured(in_cell(picture, tile["cell"])))
        for found, origin, axis, px, at in (
            (columns, tile["cell"]["x"], tile["horizontal"], tile["pxPerI"], tile["x0"]),
            (rows, tile["cell"]["y"], tile["vertical"], tile["pxPerJ"], tile["y0"]),
        ):
            px_per_mm = abs(px) / spacing_mm[axis]
            centre = at + px * cursor[axis]
            # The map has voxels of twice the image's, drawn as they are.
            allowed = 2 * spacing_mm[axis] * px_per_mm
            assert abs((found.min() + found.max() + 1) / 2 + origin - centre) <= allowed, plane
            assert abs((found.max() + 1 - found.min()) / 2 - HEAT_RADIUS_MM * px_per_mm) <= allowed, plane


def test_a_map_that_its_checks_speak_against_is_drawn_only_for_who_asks(
    tmp_path: Path, serve: Serve, open_page: OpenPage
) -> None:
    viewer = serve(with_unsupported_heat(write_out(tmp_path / "out")))
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")
    go_to_marker(review)

    review.press("h")
    review.settle()
    review.page.locator(".panel[aria-label=Maps]").get_by_text("Not drawn").wait_for()
    assert not coloured(review.picture()).any()
    assert not [url for url in review.asked if "heat=" in url or "/volume/heat" in url]

    review.page.get_by_text("Draw it all the same").click()
    wait_for_colour(review)
    assert "unsupported" in review.page.locator(".panel[aria-label=Maps]").inner_text().lower()

    # What was asked for is this case's map, and not the first map of every case to come.
    other = viewer.case_id("radiograph")
    review.evaluate(f"location.hash = '#/case/out/{other}?ov=heat'")
    review.wait_for_picture(other)
    assert "Not drawn" in review.page.locator(".panel[aria-label=Maps]").inner_text()


def with_reasons(phantoms: Phantoms, *reasons: str) -> Phantoms:
    text = replace(phantoms.reports["head"], review_first=True, review_reasons=reasons).to_json()
    (phantoms.case_folder("head") / "case.json").write_text(text, encoding="utf-8")
    return phantoms


def with_unsupported_heat(phantoms: Phantoms) -> Phantoms:
    report = phantoms.reports["head"]
    maps = tuple(replace(one, trust="unsupported") for one in report.heatmaps or ())
    text = replace(report, heatmaps=maps).to_json()
    (phantoms.case_folder("head") / "case.json").write_text(text, encoding="utf-8")
    return phantoms


def test_many_reasons_to_look_first_push_no_plane_and_no_verdict_off_the_screen(
    tmp_path: Path, serve: Serve, open_page: OpenPage
) -> None:
    reasons = tuple(f"network_{n}: nothing says that the image is what it was made for" for n in range(9))
    viewer = serve(with_reasons(write_out(tmp_path / "out"), *reasons))
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")

    assert review.page.locator(".case-title .why").get_attribute("title") == "; ".join(reasons)
    for part in (".viewport", ".verdict", ".decide >> nth=3", ".steps"):
        box = review.page.locator(part).first.bounding_box()
        assert box is not None
        assert box["x"] >= 0, part
        assert box["x"] + box["width"] <= 1280, part


def test_a_distance_is_in_millimetres_also_where_voxels_are_no_cubes(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")
    spacing_mm = viewer.phantoms.reports["head"].images[0].spacing_mm
    assert spacing_mm is not None
    assert max(spacing_mm) > 1.5 * min(spacing_mm)
    review.press("q")

    for plane, tile in review.cells().items():
        start = review.evaluate("app.caseView.picture.view.cursor")
        end = [at + {tile["horizontal"]: 5, tile["vertical"]: -3}.get(axis, 0) for axis, at in enumerate(start)]
        drag_between(review, plane, start, end)
        (measured,) = review.evaluate("app.caseView.picture.measured")
        wanted = math.hypot(5 * spacing_mm[tile["horizontal"]], 3 * spacing_mm[tile["vertical"]])
        # A mouse points at whole pixels, at either end.
        px_mm = spacing_mm[tile["horizontal"]] / abs(tile["pxPerI"])
        assert measured["text"].endswith(" mm")
        assert float(measured["text"].removesuffix(" mm")) == pytest.approx(wanted, abs=2 * px_mm + 0.05), plane

    review.press("Escape")
    assert review.evaluate("app.caseView.picture.tool") is None


def drag_between(review: ReviewPage, plane: str, start: list[int], end: list[int]) -> None:
    """Drag with the left button from one voxel of a plane to another."""
    (x0, y0), (x1, y1) = review.evaluate(
        """argument.ends.map((ijk) => { const { picture } = app.caseView, box = picture.marks.getBoundingClientRect();
            const [x, y] = picture.tiles().find((tile) => tile.plane === argument.plane).toCanvas(ijk);
            return [box.x + x, box.y + y]; })""",
        {"plane": plane, "ends": [start, end]},
    )
    review.page.mouse.move(x0, y0)
    review.page.mouse.down()
    review.page.mouse.move(x1, y1, steps=3)
    review.page.mouse.up()


def test_the_prior_stands_beside_and_follows_the_crosshair_by_place(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("followup"), "slices")

    review.press("j")
    review.page.locator(".prior-title").get_by_text("91 days before").wait_for()
    go_to_marker(review)
    review.page.wait_for_function(
        """() => { const { prior } = globalThis.diascope.caseView;
            return prior.cursor && prior.stage.tiles().every((tile) => prior.stage.latest[tile.plane]); }"""
    )
    review.settle()

    assert review.evaluate("app.caseView.prior.caseData.case_id") == viewer.case_id("head")
    mm = review.evaluate(
        """import("./static/js/geometry.js").then(
            ({ toMm }) => toMm(app.caseView.prior.affine, app.caseView.prior.cursor))"""
    )
    assert mm == pytest.approx(review.evaluate("app.caseView.picture.cursorMm()"), abs=1e-3)
    here, mirrored = review.evaluate(grey_at_marker())
    assert here > 200
    assert mirrored < here - 50
    review.press("j")
    assert review.page.locator(".prior").count() == 0


def grey_at_marker() -> str:
    """The prior's brightness at its crosshair, and at the same distance on the other side of its picture."""
    return """(() => { const { stage } = app.caseView.prior, tile = stage.tiles()[0];
        const [x, y] = tile.toCanvas(app.caseView.prior.cursor), { cell } = tile;
        const context = stage.canvas.getContext("2d");
        const grey = (at) => context.getImageData(Math.round(at), Math.round(y), 1, 1).data[0];
        return [grey(x), grey(2 * cell.x + cell.width - x)]; })()"""


def test_the_view_in_3d_comes_when_it_is_asked_for_and_goes_again(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(800, 520))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "webgl")
    assert drawn_in_3d(review) is None

    review.press("z")
    review.page.wait_for_function(
        "(count) => globalThis.diascope.caseView.picture.stage.nv.meshes.length === count",
        arg=len(viewer.phantoms.reports["head"].findings or ()),
    )
    shown = drawn_in_3d(review)
    assert shown is not None
    assert (shown.max(axis=-1) > 40).mean() > 0.05

    review.press("z")
    review.settle()
    assert drawn_in_3d(review) is None
    assert set(review.cells()) == {"axial", "coronal", "sagittal"}


def drawn_in_3d(review: ReviewPage) -> NDArray[np.uint8] | None:
    """What is in the cell of the 3-D view; None without one."""
    cells: list[dict[str, Any]] = review.evaluate(
        "app.caseView.picture.stage.cells.filter((one) => one.plane === '3d')"
    )
    if not cells:
        return None
    picture = review.picture()
    (rows, columns), cell = picture.shape[:2], cells[0]
    px = {
        "x": cell["x"] * columns,
        "y": cell["y"] * rows,
        "width": cell["width"] * columns,
        "height": cell["height"] * rows,
    }
    return in_cell(picture, px)
