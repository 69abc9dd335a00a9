"""A section is measured after the training and put into the card, with everything else left as it was."""

from pathlib import Path

import pytest

from diascope.bundles.card import remark_of, with_section, write_section
from diascope.bundles.lock import verify_bundle, write_lock
from diascope.errors import BundleError

CARD = "# net\n\nWords.\n\n## Results\n\n0.9\n\n## What is not calibrated\n\n- all\n\n## Licence\n\nCC0\n"
TABLE = "| | a |\n|---|---|\n| cases | 3 |"


def test_a_new_section_goes_before_what_ends_every_card() -> None:
    found = with_section(CARD, "Heatmaps", f"Intro.\n\n{TABLE}\n")

    assert [line for line in found.splitlines() if line.startswith("## ")] == [
        "## Results",
        "## Heatmaps",
        "## What is not calibrated",
        "## Licence",
    ]
    assert found.replace(f"## Heatmaps\n\nIntro.\n\n{TABLE}\n\n", "") == CARD


def test_a_section_is_replaced_where_it_stands_and_the_last_one_too() -> None:
    before = with_section(CARD, "Heatmaps", "old words\n\n### and a part")

    assert with_section(before, "Heatmaps", "new") == with_section(CARD, "Heatmaps", "new")
    assert with_section(CARD, "Licence", "MIT").endswith("- all\n\n## Licence\n\nMIT\n\n")


def test_the_remark_below_the_table_is_found_again() -> None:
    card = with_section(CARD, "Heatmaps", f"Intro.\n\n{TABLE}\n\nOne says this.\n\nAnd this.")

    assert remark_of(card, "Heatmaps") == "One says this.\n\nAnd this."
    assert remark_of(CARD, "Heatmaps") == ""
    assert remark_of(with_section(CARD, "Heatmaps", TABLE), "Heatmaps") == ""


def test_the_bundle_is_locked_anew_and_the_others_stay(tmp_path: Path) -> None:
    for name in ("net", "other"):
        (tmp_path / name / "docs").mkdir(parents=True)
        (tmp_path / name / "docs" / "README.md").write_text(CARD)
        write_lock(tmp_path / "bundles.lock", tmp_path / name)
    before = verify_bundle(tmp_path / "other", tmp_path / "bundles.lock")

    digest = write_section(tmp_path / "net", tmp_path / "bundles.lock", "Heatmaps", TABLE)

    assert verify_bundle(tmp_path / "net", tmp_path / "bundles.lock") == digest != before
    assert verify_bundle(tmp_path / "other", tmp_path / "bundles.lock") == before


def test_a_bundle_without_a_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="net has no card"):
        write_section(tmp_path / "net", tmp_path / "bundles.lock", "Heatmaps", TABLE)
