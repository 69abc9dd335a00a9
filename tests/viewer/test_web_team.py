"""Several readers, a chair that was left, and a case that was done again meanwhile."""

import pytest

from tests.viewer.conftest import OpenPage, Serve, verdict
from tests.viewer.test_record import redo
from tests.viewer.test_web_review import saved

pytestmark = pytest.mark.real


def test_a_case_is_claimed_and_given_to_another_reader(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    head = viewer.case_id("head")
    other = viewer.browser("Reader Two")
    address = viewer.address("radiograph")
    assert other.post(f"{address}/verdict", verdict(other, address)).status == 200
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    row = review.page.locator(f"tr[data-case='{head}']")

    row.locator("button.claim").click()
    row.locator("button.claim", has_text="release").wait_for()
    held = other.get(viewer.address("head")).json["claimed_by"]
    ahead = {other.get(f"/api/next?open=1&out=out&after={case}").json["case_id"] for case in all_cases(viewer)}
    row.locator("button.claim").click()
    row.locator("button.claim", has_text="claim").wait_for()
    row.locator("select.assign").select_option("Reader Two")
    review.page.wait_for_function(
        "(id) => globalThis.diascope.list.rows.some((row) => row.case_id === id && row.assigned_to === 'Reader Two')",
        arg=head,
    )

    assert held == "Reader One"
    assert head not in ahead
    assert ahead
    assert [one["case_id"] for one in other.get("/api/worklist?list=mine").json["rows"]] == [head]
    assert other.get(viewer.address("head")).json["claimed_by"] == ""


def all_cases(viewer) -> list[str]:  # type: ignore[no-untyped-def]
    return [report.case_id for report in viewer.phantoms.reports.values()]


def test_a_page_that_was_left_alone_locks_and_shows_nothing_until_it_is_unlocked(
    serve: Serve, open_page: OpenPage
) -> None:
    viewer = serve()
    review = open_page(viewer.url)
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")
    review.press("c")
    review.page.keyboard.type("seen so far")
    review.press("Escape")

    review.evaluate("(app.session.idle_lock_s = 1, 0)")
    review.page.get_by_role("heading", name="Locked").wait_for()
    review.page.wait_for_function("async () => (await fetch('./api/worklist')).status === 423")
    review.press("a", "n")

    assert review.page.locator("main.case").count() == 0
    assert saved(viewer) == {}
    # The browser itself writes a line for every 423.
    review.problems[:] = [one for one in review.problems if "423" not in one]

    review.page.get_by_role("button", name="Unlock").click()
    review.wait_for_picture(viewer.case_id("head"))
    assert review.page.locator("textarea.comment").input_value() == "seen so far"


def test_a_case_that_was_done_again_returns_and_no_verdict_lands_on_the_wrong_result(
    serve: Serve, open_page: OpenPage
) -> None:
    viewer = serve()
    head = viewer.case_id("head")
    same_reader = viewer.browser("Reader One")
    said = verdict(same_reader, viewer.address("head"))
    assert same_reader.post(f"{viewer.address('head')}/verdict", said).status == 200
    review = open_page(viewer.url, size=(1280, 800))
    review.enter(viewer.url)
    review.open_case(head, "slices")
    assert "Accepted" in review.page.locator(".case-title").inner_text()

    redo(viewer, "head")
    review.press("r")
    review.page.locator(".toast").get_by_text("Here is the case as it is now").wait_for()
    review.page.locator(".case-title").get_by_text("stale verdict").wait_for()
    assert saved(viewer)[head]["verdict"] == "accept"
    assert saved(viewer)[head]["is_stale"]

    review.go("/worklist?list=open", "slices")
    row = review.page.locator(f"tr[data-case='{head}']")
    row.get_by_text("stale").wait_for()
    row.click()
    review.wait_for_picture(head)
    review.press("e")
    review.page.locator(".toast").get_by_text("Needs edit").wait_for()

    assert (saved(viewer)[head]["verdict"], bool(saved(viewer)[head]["is_stale"])) == ("needs_edit", False)
    review.problems[:] = [one for one in review.problems if "409" not in one]
