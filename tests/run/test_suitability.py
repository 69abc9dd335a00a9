"""A part of a body is not the whole that a network was made for, and is told so."""

from dataclasses import replace
from pathlib import Path

import pytest

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.errors import UnsupportedInput
from diascope.geometry import FieldOfView
from diascope.image_facts import AgeRange
from diascope.io.selection import Choice
from diascope.run.suitability import check_suits, not_shown_to_suit, outside_limits
from diascope.volume import Volume
from tests.phantom_volumes import asymmetric_head, oblique_grid
from tests.tiny_bundle import write_tiny_bundle

WHOLE = FieldOfView(least_extent_mm=(110.0, 110.0, 110.0))


def head_network(folder: Path) -> BundleInfo:
    bundle = find_bundle(write_tiny_bundle(folder).name, folder)
    return replace(bundle, block=bundle.block.model_copy(update={"field_of_view": WHOLE}))


def head() -> Volume:
    """152 x 171 x 130 mm along its own axes, turned a little."""
    return asymmetric_head(oblique_grid((19, 19, 13), (8.0, 9.0, 10.0))).volume


def crop() -> Volume:
    """35 x 51 x 35 mm, as the crops of a hippocampus are."""
    return asymmetric_head(oblique_grid((35, 51, 35), (1.0, 1.0, 1.0))).volume


def test_a_whole_head_suits(tmp_path: Path) -> None:
    bundle = head_network(tmp_path)

    check_suits(bundle, bundle.block.field_of_view, head())

    assert outside_limits([(bundle, head())]) == ()


def test_a_crop_is_refused_with_its_size_and_the_cure(tmp_path: Path) -> None:
    bundle = head_network(tmp_path)

    with pytest.raises(UnsupportedInput, match=r"shows 35 x 51 x 35 mm .*at least 110 x 110 x 110 mm") as caught:
        check_suits(bundle, bundle.block.field_of_view, crop())

    assert caught.value.code == "field_of_view"
    assert "any_field_of_view: true" in caught.value.hint


def test_a_crop_that_was_let_pass_is_a_doubt(tmp_path: Path) -> None:
    bundle = head_network(tmp_path)

    check_suits(bundle, FieldOfView(), crop())

    (reason,) = outside_limits([(bundle, crop())])
    assert reason.startswith("tiny_bright was not made for this image: it shows 35 x 51 x 35 mm")


def test_an_image_that_nothing_shows_to_suit_is_a_doubt_with_what_is_not_stated() -> None:
    choices = (Choice("brain", (), ()), Choice("flair", (), (), unstated=(("img-1", "inversion time"),)))

    (reason,) = not_shown_to_suit(choices)

    assert reason == "flair: nothing says that img-1 is what it was made for (not stated: inversion time)"


def test_networks_that_miss_the_same_fact_of_an_image_say_so_once() -> None:
    missed = (("img-1", "inversion time"),)
    choices = (Choice("outlines", (), (), unstated=missed), Choice("boxes", (), (), unstated=missed))

    (reason,) = not_shown_to_suit(choices)

    assert reason == (
        "outlines, boxes: nothing says that img-1 is what they were made for (not stated: inversion time)"
    )


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (
            "7",
            "the patient is 7 years old, it was shown none younger than 18",
        ),
        (
            "90+",
            "the patient is 90+ years old, it was shown none older than 80",
        ),
        ("18", None),
        ("80", None),
        (None, None),
    ],
)
def test_the_case_of_a_patient_of_another_age_is_doubtful_and_one_of_unknown_age_is_not(
    age: str | None, reason: str | None, tmp_path: Path
) -> None:
    bundle = head_network(tmp_path)
    bundle = replace(bundle, block=bundle.block.model_copy(update={"ages": AgeRange(18, 80)}))
    volume = replace(head(), facts=replace(head().facts, age_years=age))

    # Looked at part by part, it is said once.
    assert outside_limits([(bundle, volume), (bundle, volume)]) == (
        (f"tiny_bright was not made for this patient: {reason}",) if reason else ()
    )


def test_the_size_of_a_whole_image_is_not_asked_of_a_network_that_looks_at_a_part(tmp_path: Path) -> None:
    bundle = head_network(tmp_path)

    assert outside_limits([(bundle, crop())], places={bundle.name}) == ()
