"""A reviewer at work: from the first case to the last by keyboard, and what must not get lost on the way."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diascope.findings import Label
from tests.phantoms import Phantoms, write_out
from tests.viewer.chromium import ReviewPage
from tests.viewer.conftest import OpenPage, Serve, Viewer

pytestmark = pytest.mark.real

SCRIPT = "<img src=x onerror=\"document.title='broken in'\">"


def saved(viewer: Viewer, name: str = "Reader One") -> dict[str, dict[str, Any]]:
    """The newest verdict of a reader on each case, as the server's table has it."""
    rows = viewer.browser("Somebody Else").get("/api/export/verdicts.json?out=out").json
    return {row["case_id"]: row for row in sorted(rows, key=lambda row: row["when"])}


def open_with_n(review: ReviewPage) -> str:
    """Go to the first open case from the worklist."""
    review.press("n")
    return wait_for_case(review, "")


def wait_for_case(review: ReviewPage, before: str) -> str:
    """Wait for another case than the one before to be drawn; its id."""
    review.page.wait_for_function(
        """(before) => {
            const view = globalThis.diascope.caseView;
            return view.caseData && view.caseData.case_id !== before && document.querySelector("main.case");
        }""",
        arg=before,
    )
    case_id: str = review.evaluate("app.caseView.caseData.case_id")
    review.wait_for_picture(case_id)
    return case_id


# Each wait has the page's own patience; the sum of six cases drawn on a busy processor is no fault.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("renderer", ["webgl", "slices"])
def test_a_batch_is_reviewed_from_first_to_last_case_by_keyboard_only(
    serve: Serve, open_page: OpenPage, renderer: str
) -> None:
    viewer = serve()
    # WebGL is computed on the processor, pixel by pixel.
    review = open_page(viewer.url, size=(700, 460) if renderer == "webgl" else (1000, 640))
    review.enter(viewer.url)
    review.page.goto(f"{review.base}/?renderer={renderer}")
    review.page.locator(".worklist tbody tr").first.wait_for()
    verdicts = ["a", "r", "e", "k", "a"]
    words = {"a": "accept", "r": "reject", "e": "needs_edit", "k": "skip"}
    given: dict[str, str] = {}

    case_id = open_with_n(review)
    for at, key in enumerate(verdicts):
        given[case_id] = words[key]
        review.press("f", "y", f"Shift+Digit{at + 1}", "s", "s", "ArrowUp")
        review.press("c")
        review.page.keyboard.type(f"case {at}: N and A are letters here")
        review.press("Escape", key)
        if at + 1 < len(verdicts):
            case_id = wait_for_case(review, case_id)
    # What was skipped comes again at the end.
    skipped = wait_for_case(review, case_id)
    assert given[skipped] == "skip"
    given[skipped] = "accept"
    review.press("a")
    review.page.get_by_text("The queue is empty").wait_for()

    found = saved(viewer)
    assert {case: row["verdict"] for case, row in found.items()} == given
    assert len(given) == 5
    assert sorted(row["score"] for row in found.values()) == [1, 2, 3, 4, 5]
    assert all(row["comment"].endswith("N and A are letters here") for row in found.values())
    judged = viewer.browser("Somebody Else").get("/api/export/judged.json?out=out").json
    assert len([row for row in judged if row["verdict"] == "true"]) >= 4


def test_a_verdict_is_taken_back_and_the_case_is_there_again(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url)
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")

    review.press("x", "a")
    wait_for_case(review, viewer.case_id("head"))
    assert saved(viewer)[viewer.case_id("head")]["urgent"]
    review.press("u")
    review.page.wait_for_function(
        "(id) => globalThis.diascope.caseView.caseData.case_id === id", arg=viewer.case_id("head")
    )

    assert saved(viewer) == {}


def test_keys_stay_alive_after_a_drop_down_and_are_silent_while_typing(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")

    review.page.locator("select[aria-label=window]").select_option("4")
    review.press("b")
    assert review.evaluate("app.caseView.overlays.show.box") is False
    review.press("3")
    assert review.evaluate("app.caseView.picture.grey.name") == "Dark"

    review.page.locator("textarea.comment").click()
    review.page.keyboard.type("big area, S and B")
    assert review.evaluate("app.caseView.overlays.show.seg") is True
    assert review.evaluate("app.caseView.overlays.show.box") is False
    assert review.evaluate("app.caseView.draft.comment") == "big area, S and B"

    # A comment is not left behind without a word.
    review.press("Escape", "n")
    review.page.locator(".toast").get_by_text("Not saved yet").wait_for()
    assert review.evaluate("app.caseView.caseData.case_id") == viewer.case_id("head")
    review.press("n")
    wait_for_case(review, viewer.case_id("head"))
    review.evaluate("app.openCase('out', argument)", viewer.case_id("head"))
    review.wait_for_picture(viewer.case_id("head"))
    assert review.page.locator("textarea.comment").input_value() == "big area, S and B"


def test_space_hides_everything_while_it_is_held(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url)
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")
    coloured = colour_of(review)

    review.page.keyboard.down("Space")
    hidden = colour_of(review)
    review.page.keyboard.up("Space")

    assert hidden < coloured / 20
    assert colour_of(review) == pytest.approx(coloured, rel=0.02)


def colour_of(review: ReviewPage) -> int:
    """How many pixels of the marks are neither grey nor the blue of the crosshair."""
    marks = review.marks().astype(int)
    spread = marks[..., :3].max(axis=-1) - marks[..., :3].min(axis=-1)
    cross = abs(marks[..., :3] - (92, 200, 255)).max(axis=-1) < 60
    return int(((spread > 60) & (marks[..., 3] > 60) & ~cross).sum())


def test_labels_and_comments_that_are_scripts_are_shown_as_text(
    tmp_path: Path, serve: Serve, open_page: OpenPage
) -> None:
    viewer = serve(with_script_names(write_out(tmp_path / "out")))
    other = viewer.browser("Reader Two")
    digest = other.get(viewer.address("head")).json["result_digest"]
    said = {"verdict": "reject", "digest": digest, "key": "k" * 16, "comment": SCRIPT}
    other.post(f"{viewer.address('head')}/verdict", said)
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)

    review.open_case(viewer.case_id("head"), "slices")
    review.page.locator(".others summary").click()
    page_text = review.page.locator("main").inner_text()

    assert page_text.count("onerror") >= 3  # a label, a finding and the comment
    assert review.page.locator("main img").count() == 0
    assert review.page.title() == f"diascope: {viewer.case_id('head')}"
    review.go("/worklist?list=all", "slices")
    review.page.locator(".worklist tbody tr").first.wait_for()
    assert review.page.locator("main img").count() == 0


def with_script_names(phantoms: Phantoms) -> Phantoms:
    """The head's labels and findings carry a name that would run, if it were taken for HTML."""
    report = phantoms.reports["head"]
    first, *others = report.segmentations or ()
    labels = (replace(first.labels[0], name=SCRIPT), Label(2, "right_brain", "#33cc66"))
    changed = replace(
        report,
        segmentations=(replace(first, labels=labels), *others),
        findings=tuple(replace(one, label=SCRIPT) for one in report.findings or ()),
    )
    (phantoms.case_folder("head") / "case.json").write_text(changed.to_json(), encoding="utf-8")
    return phantoms


def test_a_link_leads_to_case_slice_finding_and_window(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url)
    review.enter(viewer.url)
    finding = (viewer.phantoms.reports["head"].findings or ())[1].finding_id

    query = f"finding={finding}&x=-10.5&y=3.0&z=20.0&wl=10,90&ov=box"
    review.open_case(viewer.case_id("head"), "slices", query)

    assert review.evaluate("app.caseView.selectedId") == finding
    place = review.evaluate("app.caseView.picture.cursorMm()")
    assert place == pytest.approx([-10.5, 3.0, 20.0], abs=4.5)  # the nearest voxel, 4.1 x 4.4 x 8 mm
    assert review.evaluate("app.caseView.picture.grey.limits") == [10, 90]
    assert review.evaluate("app.caseView.overlays.show.seg") is False
    # And the address that the page shows then leads to the same place.
    review.press("ArrowUp")
    review.page.wait_for_function("() => location.hash === globalThis.diascope.caseView.address()")
    shown = review.evaluate("location.hash")
    assert f"finding={finding}" in shown
    assert "wl=10.0,90.0" in shown
    place = review.evaluate("app.caseView.picture.cursorMm()")
    review.open_case(viewer.case_id("head"), "slices", shown.partition("?")[2])
    assert review.evaluate("app.caseView.picture.cursorMm()") == pytest.approx(place, abs=0.1)


def test_what_was_not_done_says_why(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url)
    review.enter(viewer.url)

    review.go("/worklist?list=failed", "slices")
    review.page.get_by_text("slices 4 and 5 of 11").first.wait_for()
    review.go("/worklist?list=refused", "slices")
    review.page.get_by_text("missing_slices").first.wait_for()
    review.go(f"/case/out/{viewer.case_id('failed')}", "slices")
    review.page.locator(".stage-message").get_by_text("send the series again").wait_for()
    review.go("/case/out/case-0000000000000000", "slices")
    review.page.get_by_text("This case cannot be shown").wait_for()
    # The browser itself writes a line for every 404.
    review.problems[:] = [one for one in review.problems if "404" not in one]


def test_a_missing_overlay_leaves_the_others(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    (viewer.phantoms.case_folder("head") / "brain_structures_segmentation.seg.nii.gz").unlink()
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)

    review.open_case(viewer.case_id("head"), "slices")

    review.page.locator(".panels .problem").first.wait_for()
    assert review.evaluate("app.caseView.overlays.maps.size") == 2
    assert colour_of(review) > 500


def test_a_blinded_reader_sees_the_network_after_the_first_read_only(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve(blinded=True)
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")
    assert colour_of(review) < 100  # the soft edges of crosshair and letters
    assert "glioma" not in review.page.locator(".sidebar").inner_text()
    review.page.locator(".notice").get_by_text("First read").wait_for()

    review.press("r")
    review.page.locator(".finding").first.wait_for()
    review.wait_for_picture(viewer.case_id("head"))

    assert review.evaluate("app.caseView.caseData.case_id") == viewer.case_id("head")
    assert colour_of(review) > 500
    review.press("a")
    wait_for_case(review, viewer.case_id("head"))


def test_one_of_300_labels_is_found_hidden_and_shown(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    review.open_case(viewer.case_id("many_labels"), "slices")
    assert review.page.locator(".label").count() == 300
    all_shown = int((review.marks()[..., 3] > 60).sum())

    review.page.locator(".label-search").fill("structure 07")
    assert review.page.locator(".label").count() == 10
    review.page.get_by_text("none", exact=True).click()
    none_shown = int((review.marks()[..., 3] > 60).sum())
    review.page.locator(".label[data-label=structure_075] .eye").click()
    review.press("b")
    review.evaluate("app.caseView.picture.moveTo([8, 14, 3])")

    # Label 75 = 1 + i // 2 + 10 * (j // 2) with i // 2 = 4 and j // 2 = 7: in the slice of the crosshair.
    one_shown = int((review.marks()[..., 3] > 60).sum())
    assert none_shown < one_shown < all_shown / 10 + none_shown
