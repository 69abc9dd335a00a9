"""What the page is told of a case."""

from diascope.findings import CaseReport, ImageFacts, ImageRecord
from diascope.image_facts import slice_runs
from diascope.viewer.case_page import source_of
from tests.viewer.conftest import Viewer

BOX = ((2, 3, 4), (5, 9, 8))  # slices 4 to 7, the middle one is 5


def report(image: ImageRecord) -> CaseReport:
    return CaseReport("case-1", "done", images=(image,))


def test_a_finding_names_the_series_and_the_images_it_lies_on() -> None:
    image = ImageRecord(
        "img-1",
        ImageFacts(),
        series_number=301,
        slices_named_by="instance_number",
        slice_runs=slice_runs([20 - k for k in range(12)]),
    )

    assert source_of(report(image), "img-1", BOX) == {
        "image_id": "img-1",
        "series_number": 301,
        "named_by": "instance_number",
        "centre": 15,
        "ranges": [[13, 16]],
    }


def test_numbers_that_do_not_follow_each_other_are_all_told_and_a_slice_of_no_file_has_none() -> None:
    numbers = [1, 3, 5, 7, 9, None, 2, 4]
    image = ImageRecord("img-1", ImageFacts(), slices_named_by="instance_number", slice_runs=slice_runs(numbers))

    found = source_of(report(image), "img-1", BOX)

    assert (found["centre"], found["ranges"]) == (None, [[2, 2], [4, 4], [9, 9]])


def test_a_source_without_numbers_says_that_these_are_indices() -> None:
    found = source_of(report(ImageRecord("img-1", ImageFacts())), "img-1", BOX)

    assert (found["named_by"], found["centre"], found["ranges"]) == ("slice_index", 5, [[4, 7]])
    assert source_of(report(ImageRecord("other", ImageFacts())), "img-1", BOX)["series_number"] is None


def test_the_page_is_told_it_of_every_finding(viewer: Viewer) -> None:
    case = viewer.browser().get(viewer.address("head")).json

    last = case["images"][0]["shape_ijk"][2]
    for finding in case["findings"]:
        (low, high) = (corner[2] for corner in finding["box_ijk"])
        assert finding["source"]["ranges"] == [[last - high + 1, last - low]]
        assert finding["source"]["series_number"] == case["images"][0]["series_number"] == 4
