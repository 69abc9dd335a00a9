"""What `diascope models` says of a network."""

from dataclasses import replace
from pathlib import Path

from diascope.bundles.find import find_bundle
from diascope.cli.bundle_text import bundle_table, bundle_text, limits_text, stranger_lines
from diascope.geometry import FieldOfView
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
