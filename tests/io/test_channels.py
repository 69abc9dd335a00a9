"""Which images of a study become the channels of one network, and when none do."""

from pathlib import Path

import numpy as np
import pytest

from diascope.findings import ImageFacts
from diascope.geometry import Grid, IndexGrid, Space
from diascope.io.channels import choose_channels, lies_on
from diascope.io.select_rule import Patterns, SelectRule
from diascope.io.selection import Choice
from diascope.io.series import FRAME, Series

RULES = {
    "t1": SelectRule(description=Patterns(include=("t1",))),
    "flair": SelectRule(description=Patterns(include=("flair",))),
}


def grid(shape: tuple[int, int, int] = (50, 60, 20), shift_mm: float = 0.0, step_mm: float = 5.0) -> Grid:
    affine = np.diag([0.9, 0.9, step_mm, 1.0])
    affine[:3, 3] = [-20.0 + shift_mm, 7.0, 3.0]
    return Grid(shape, affine)


def series(image_id: str, description: str, space: Space | None = None, frame: str = "frame 1") -> Series:
    said = {"series_description": description, **({FRAME: frame} if frame else {})}
    return Series("case-1", image_id, "nifti", (Path("x"),), ImageFacts(), space or grid(), selection=said)


def chosen(*images: Series) -> Choice:
    return choose_channels("two", "grid", RULES, images)


def test_each_channel_gets_its_image_in_the_order_of_the_channels() -> None:
    choice = chosen(series("img-1", "t2"), series("img-2", "flair"), series("img-3", "t1"))

    assert choice.channels == ("t1", "flair")
    assert choice.chosen_ids == ("img-3", "img-2")
    assert [[one.image_id for one in group] for group in choice.groups] == [["img-3", "img-2"]]
    assert dict(choice.why_not) == {
        "img-1": "t1: its description is none of those asked for; flair: its description is none of those asked for"
    }


def test_a_study_that_lacks_a_channel_is_nothing_to_do_and_says_which() -> None:
    choice = chosen(series("img-1", "t1"), series("img-2", "t1 again"))

    assert choice.chosen == choice.channels == choice.groups == ()
    assert "no image is flair" in dict(choice.why_not)["img-1"]


def test_images_of_different_frames_of_reference_are_never_combined() -> None:
    choice = chosen(series("img-1", "t1", frame="before"), series("img-2", "flair", frame="after"))

    assert choice.chosen == ()
    assert "frames of reference or fields differ" in dict(choice.why_not)["img-1"]


def test_a_second_best_t1_is_taken_where_the_best_has_no_flair_beside_it() -> None:
    # The first session was broken off: its T1 is the better one, its FLAIR was never made.
    best = series("img-1", "t1", grid(step_mm=1.0), frame="first session")
    second, flair = series("img-2", "t1", frame="second session"), series("img-3", "flair", frame="second session")

    choice = chosen(best, second, flair)

    assert choice.chosen_ids == ("img-2", "img-3")
    assert "another frame of reference" in dict(choice.why_not)["img-1"]


def test_where_no_frame_is_stated_the_affines_are_believed() -> None:
    assert chosen(series("img-1", "t1", frame=""), series("img-2", "flair")).chosen_ids == ("img-1", "img-2")


def test_another_region_is_not_a_channel_of_this_one() -> None:
    away = series("img-2", "flair", grid(shift_mm=30.0))  # a third of the field is left
    beside = series("img-3", "flair", grid(shift_mm=9.0))

    assert chosen(series("img-1", "t1"), away).chosen == ()
    assert chosen(series("img-1", "t1"), away, beside).chosen_ids == ("img-1", "img-3")
    assert "covers only" in dict(chosen(series("img-1", "t1"), away, beside).why_not)["img-2"]


def test_images_without_a_place_need_the_same_shape() -> None:
    def flat(image_id: str, description: str, *shape: int) -> Series:
        return series(image_id, description, IndexGrid(shape), frame="")  # type: ignore[arg-type]

    fits = choose_channels("two", "index", RULES, [flat("img-1", "t1", 5, 7, 11), flat("img-2", "flair", 5, 7, 11)])
    differs = choose_channels("two", "index", RULES, [flat("img-1", "t1", 5, 7, 11), flat("img-2", "flair", 5, 7, 10)])

    assert fits.chosen_ids == ("img-1", "img-2")
    assert differs.chosen == ()


def test_one_image_is_not_two_channels() -> None:
    rules = {"a": SelectRule(), "b": SelectRule()}

    assert choose_channels("two", "grid", rules, [series("img-1", "t1")]).chosen == ()
    assert len(choose_channels("two", "grid", rules, [series("img-1", "t1"), series("img-2", "t2")]).chosen) == 2


@pytest.mark.parametrize(("shift_mm", "expected"), [(0.0, True), (0.03, True), (0.5, False)])
def test_rounded_positions_are_the_same_grid(shift_mm: float, expected: bool) -> None:
    assert lies_on(series("img-2", "flair", grid(shift_mm=shift_mm)), series("img-1", "t1")) is expected
