"""What `diascope models` says of a network."""

from dataclasses import replace
from pathlib import Path

from diascope.bundles.find import find_bundle
from diascope.cli.bundle_text import ages_text, bundle_table, bundle_text, card_limits, limits_text, stranger_lines
from diascope.geometry import FieldOfView
from diascope.image_facts import AgeRange
from tests.tiny_bundle import write_tiny_bundle


def test_the_list_has_a_header_above_its_columns(tmp_path: Path) -> None:
    bundle = find_bundle(write_tiny_bundle(tmp_path).name, tmp_path)

    header, row = bundle_table([bundle]).splitlines()

    assert header.split() == ["NAME", "VERSION", "TASK", "LICENCE"]
    assert row.split() == ["tiny_bright", "1.0.0", "segment", "Apache-2.0"]
    assert header.index("TASK") == row.index("segment")


def test_limits_are_told_in_one_line_with_their_axes() -> None:
    limits = FieldOfView((110.0, 110.0, 120.0), (400.0, 400.0, 400.0), most_voxel_mm=8.0)

    assert limits_text(limits) == (
        "at least 110 x 110 x 120 mm, at most 400 x 400 x 400 mm (left to right, back to front, foot to head),"
        " voxels of at most 8 mm"
    )
    assert limits_text(FieldOfView()) == ""


def test_a_network_that_does_not_come_with_diascope_is_announced_and_ours_is_not(tmp_path: Path) -> None:
    stranger = find_bundle(write_tiny_bundle(tmp_path).name, tmp_path)
    ours = replace(stranger, name="ours", is_shipped=True)

    (line,) = stranger_lines([stranger, ours])

    assert line.startswith("warning: tiny_bright does not come with diascope")
    assert "warning" in bundle_text(stranger)
    assert "warning" not in bundle_text(ours)


def test_ages_are_told_with_the_ends_that_are_known() -> None:
    assert ages_text(AgeRange(18, 80)) == "from 18 to 80 years"
    assert ages_text(AgeRange(least_years=18)) == "from 18 years"
    assert ages_text(AgeRange()) == ""


def test_what_a_network_cannot_do_is_taken_from_its_card_point_by_point() -> None:
    card = (
        "# name\n\n## What it cannot do\n\n- Children\n  and infants.\n- Whole - bodies.\n\n## Labels\n\n- no limit\n"
    )

    assert card_limits(card) == ("Children and infants.", "Whole - bodies.")
    assert card_limits("# name\n\n## Labels\n") == ()


def test_a_shipped_network_says_its_limits_and_where_its_card_lies(repository: Path) -> None:
    bundle = find_bundle("flair_glioma_segmentation", repository / "models")

    lines = bundle_text(bundle).splitlines()

    assert "- Not a medical device; research only by the licence of its data." in lines
    assert lines[-1] == f"card:     {bundle.folder / 'docs' / 'README.md'}"


def test_a_network_without_a_card_says_nothing_of_one(tmp_path: Path) -> None:
    assert "card:" not in bundle_text(find_bundle(write_tiny_bundle(tmp_path).name, tmp_path))
