"""What is read ahead, so that nobody waits: the next case, and the next slices."""

import pytest

from tests.viewer.conftest import OpenPage, Serve
from tests.viewer.test_web_review import open_with_n, wait_for_case

pytestmark = pytest.mark.real


@pytest.mark.parametrize("renderer", ["slices", "webgl"])
def test_the_next_case_is_shown_without_waiting_for_the_server(
    serve: Serve, open_page: OpenPage, renderer: str
) -> None:
    viewer = serve()
    review = open_page(viewer.url, size=(1000, 640))
    review.enter(viewer.url)
    review.page.goto(f"{review.base}/?renderer={renderer}")
    review.page.locator(".worklist tbody tr").first.wait_for()
    shown, planes = open_with_n(review), 0

    for _ in range(2):
        review.page.wait_for_function("(id) => globalThis.diascope.readAhead.after === id", arg=shown)
        ahead = review.evaluate("app.readAhead.case_id")
        asked = len(review.asked)
        review.press("n")
        shown = wait_for_case(review, shown)
        assert shown == ahead
        drawn = review.evaluate(
            """app.caseView.picture.stage.tiles().map((tile) =>
                `/slice/${app.caseView.imageId}/${tile.plane}/${app.caseView.picture.view.cursor[tile.normal]}.png`)"""
        )
        planes += len(drawn)
        late = review.asked[asked:]
        # Slices further on are asked for, and the case after this one.
        assert not [url for url in late for one in drawn if one in url]
        assert not [url for url in late if f"{shown}/volume/" in url]
        if renderer == "slices":
            assert all(any(one in url for url in review.asked[:asked]) for one in drawn)

    assert planes >= 4  # one case with three planes, and perhaps a radiograph with one


def test_a_slice_of_an_earlier_result_is_not_taken_for_one_of_now(serve: Serve, open_page: OpenPage) -> None:
    viewer = serve()
    review = open_page(viewer.url)
    review.enter(viewer.url)
    review.open_case(viewer.case_id("head"), "slices")

    addresses = review.evaluate(
        """["a", "b"].map((digest) => app.caseView.picture.slices.address({...app.caseView.caseData,
            result_digest: digest.repeat(64)}, "img", {plane: "axial", index: 3, limits: [0, 1], query: {}}))"""
    )

    assert len(set(addresses)) == 2
