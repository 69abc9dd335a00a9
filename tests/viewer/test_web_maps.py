"""Where a finding is in its source, and how unsure each voxel is, as a reader sees them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from diascope.viewer.page_export import write_page
from diascope.viewer.settings import ViewSettings
from tests.phantoms import Phantoms
from tests.viewer.chromium import ReviewPage
from tests.viewer.conftest import OpenPage, Serve

pytestmark = pytest.mark.real


def sources(review: ReviewPage) -> list[str]:
    found: list[str] = review.page.locator(".finding .source").all_inner_texts()
    return found


def coloured(review: ReviewPage) -> int:
    """Count the pixels of the picture that are not grey."""
    picture: NDArray[Any] = review.picture().astype(int)
    return int(np.count_nonzero(picture.max(axis=-1) - picture.min(axis=-1) > 24))


def wait_for_colours(review: ReviewPage, *, more_than: int = 0, fewer_than: int = 10**9) -> int:
    """Wait until the picture has that many coloured pixels; how many it has."""
    for _ in range(200):
        found = coloured(review)
        if more_than < found < fewer_than:
            return found
        review.page.wait_for_timeout(100)
    raise AssertionError(f"{found} pixels are coloured, expected {more_than} to {fewer_than}")


def slide(review: ReviewPage, name: str, value: float) -> None:
    review.page.locator(f"input[aria-label='{name}']").evaluate(
        "(field, value) => { field.value = value; field.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )


def test_every_finding_names_the_series_and_the_images_it_lies_on(
    serve: Serve, open_page: OpenPage, tmp_path: Path
) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1000, 640))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")
    case = viewer.browser().get(viewer.address("head")).json
    last = case["images"][0]["shape_ijk"][2]
    expected = []
    for finding in case["findings"]:
        low, high = (corner[2] for corner in finding["box_ijk"])
        middle = last - (low + high - 1) // 2
        expected.append(f"series 4 \N{MIDDLE DOT} image {middle} (spans {last - high + 1} to {last - low})")
    shown = [" ".join(text.split()) for text in sources(review)]
    review.open_case(viewer.case_id("no_geometry"), "slices")
    without = [" ".join(text.split()) for text in sources(review)]
    page = tmp_path / "page.html"
    write_page([viewer.phantoms.folder], page, [viewer.case_id("head")], ViewSettings(mirror=False))
    review.page.goto(f"file://{page}#/case/out/{viewer.case_id('head')}")
    review.page.locator(".finding .source").first.wait_for()
    exported = [" ".join(text.split()) for text in sources(review)]
    review.asked[:] = [url for url in review.asked if not url.startswith("file:")]

    assert shown == expected
    assert len(expected) == 2
    # Slices 4 to 8 of a file that numbers none: the middle one is 6.
    assert without == ["slice index 6 (spans 4 to 8, from 0)"]
    assert exported == expected


@pytest.mark.parametrize("renderer", ["webgl", "slices"])
def test_doubt_is_drawn_from_a_threshold_on_with_its_own_eye_and_says_what_it_is(
    serve: Serve, open_page: OpenPage, renderer: str
) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1100, 900))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), renderer)
    review.press("b")
    assert coloured(review) == 0

    review.press("i")
    from_a_fifth = wait_for_colours(review, more_than=300)
    panel = " ".join(review.page.locator("section[aria-label=Maps]").inner_text().split())
    slide(review, "uncertainty from", 0.8)
    from_four_fifths = wait_for_colours(review, fewer_than=from_a_fifth - 100)
    legend = " ".join(review.page.locator(".ramp.is-viridis").inner_text().split())
    review.page.locator("select[aria-label='map of uncertainty']").select_option(index=1)
    review.page.get_by_text("the highest").wait_for()
    other = " ".join(review.page.locator("section[aria-label=Maps]").inner_text().split())
    review.press("i")
    wait_for_colours(review, more_than=-1, fewer_than=1)

    assert "Entropy of the probabilities of a single answer." in panel
    assert "not calibrated" in panel.lower()
    assert from_four_fifths > 50
    assert legend == "from 0.80 bit 1.00 bit, a coin flip"
    assert "By how much 3 answers (an ensemble, mirrored images) disagree (mutual information)." in other
    assert "0.10 bit, the highest" in other


def middle_of_colours(review: ReviewPage) -> tuple[float, float]:
    """Find the middle of what is coloured in the axial plane, in voxels along its two axes."""
    picture = review.picture().astype(int)
    cell = review.cells()["axial"]
    left, top, width, height = (round(cell["cell"][name]) for name in ("x", "y", "width", "height"))
    part = picture[top : top + height, left : left + width]
    rows, columns = np.nonzero(part.max(axis=-1) - part.min(axis=-1) > 24)
    x, y = (columns.min() + columns.max()) / 2 + left, (rows.min() + rows.max()) / 2 + top
    return (x - cell["x0"]) / cell["pxPerI"], (y - cell["y0"]) / cell["pxPerJ"]


def hot_spot(phantoms: Phantoms) -> tuple[float, float]:
    """Give the radiograph a heatmap that speaks in one place; the middle of it in pixels of the film."""
    report, folder = phantoms.reports["radiograph"], phantoms.case_folder("radiograph")
    (record,) = report.heatmaps or ()
    stored = nib.load(folder / record.file)
    data = np.zeros(stored.shape, np.float32)
    data[5, 2, 0] = 2.0
    nib.save(nib.Nifti1Image(data, None, stored.header), folder / record.file)
    seen = replace(record, raw_range=(0.0, 2.0), has_positive_evidence=True, trust="supported")
    (folder / "case.json").write_text(replace(report, heatmaps=(seen,)).to_json())
    columns, rows, _ = report.images[0].shape or (0, 0, 0)
    # Its cells tile the film: 7 by 9 of them.
    return (5.5 * columns / 7) - 0.5, (2.5 * rows / 9) - 0.5


@pytest.mark.parametrize("renderer", ["webgl", "slices"])
def test_a_map_of_an_image_without_a_frame_covers_it_from_edge_to_edge(
    serve: Serve, open_page: OpenPage, renderer: str
) -> None:
    viewer = serve()
    expected = hot_spot(viewer.phantoms)
    review = open_page(viewer.url, size=(1000, 640))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("radiograph"), renderer, "ov=heat")
    wait_for_colours(review, more_than=100)

    found = middle_of_colours(review)

    assert found == pytest.approx(expected, abs=1.5)


def test_an_exported_page_draws_its_maps_without_a_graphics_card(
    serve: Serve, open_page: OpenPage, tmp_path: Path
) -> None:
    viewer = serve()
    expected = hot_spot(viewer.phantoms)
    chosen = [viewer.case_id("head"), viewer.case_id("radiograph")]
    page = tmp_path / "page.html"
    write_page([viewer.phantoms.folder], page, chosen, ViewSettings(mirror=False))
    review = open_page(viewer.url, size=(1000, 640))
    review.enter(viewer.url)
    found = {}
    for role, shown in (("head", "uncertainty"), ("radiograph", "heat")):
        review.page.goto("about:blank")
        # A link as MLflow has it: it names no folder.
        review.page.goto(f"file://{page}?renderer=slices#/case/-/{viewer.case_id(role)}?ov={shown}")
        review.wait_for_picture(viewer.case_id(role))
        wait_for_colours(review, more_than=100)
        found[role] = middle_of_colours(review)
        centre = review.evaluate("app.caseView.selected.centre_ijk")
        axes = [review.cells()["axial"][name] for name in ("horizontal", "vertical")]
        if role == "head":
            lesion = tuple(centre[axis] for axis in axes)
    address = review.evaluate("location.hash")
    review.asked[:] = [url for url in review.asked if not url.startswith("file:")]

    assert found["head"] == pytest.approx(lesion, abs=1.0)
    assert found["radiograph"] == pytest.approx(expected, abs=1.5)
    assert address.startswith(f"#/case/out/{viewer.case_id('radiograph')}")


def test_both_renderers_draw_the_same_doubt_at_the_same_place(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1000, 640))
    review.enter(viewer.url)
    found: dict[str, list[float]] = {}
    for renderer in ("webgl", "slices"):
        review.open_case(viewer.case_id("head"), renderer, "ov=uncertainty")
        wait_for_colours(review, more_than=200)
        centre = review.evaluate("app.caseView.selected.centre_ijk")
        axes = [review.cells()["axial"][name] for name in ("horizontal", "vertical")]
        found[renderer] = [at - centre[axis] for at, axis in zip(middle_of_colours(review), axes, strict=True)]

    # A shell around the lesion: its middle is the lesion's, within a voxel.
    for renderer, off_voxels in found.items():
        assert max(map(abs, off_voxels)) < 1.0, (renderer, found)
