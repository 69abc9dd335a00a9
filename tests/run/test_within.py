"""A network that looks only where another one found something."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.config import parse_settings
from diascope.errors import ConfigError, UnsupportedInput
from diascope.findings import ImageFacts
from diascope.geometry import FieldOfView, Grid
from diascope.identity import IdentityKey
from diascope.imaging.places import Part, Place
from diascope.io.catalogue import catalogue
from diascope.io.outfolder import OutFolder
from diascope.io.reader import Context, IngestSettings
from diascope.io.selection import SelectRule, choose
from diascope.io.write_nifti import write_volume
from diascope.run.case import CaseJob, read, run_case
from diascope.run.settings import BundleUse, RunConfig
from diascope.run.within import places_of
from diascope.volume import Volume
from tests.tiny_bundle import write_tiny_bundle

IN_BLOCK = {"bundle": "finder", "label": "bright", "margin_mm": 0}
SHAPE = (40, 36, 28)
AFFINE = np.array([[-1.0, 0, 0, 20.0], [0, 1.2, 0, -18.0], [0, 0, 1.5, -20.0], [0, 0, 0, 1.0]])
HALVES = (Part("left", (0.0, 0.5)), Part("right", (0.5, 1.0)))


def head() -> Volume:
    """A bright block of 200, in it two dots of 300; one more dot far outside of it."""
    data = np.zeros(SHAPE, dtype=np.float32)
    data[8:32, 10:26, 8:20] = 200
    data[12, 18, 14] = data[28, 18, 14] = 300
    data[36, 32, 25] = 300
    return Volume(data, Grid(SHAPE, AFFINE), ImageFacts(), "head")


def networks(folder: Path) -> tuple[BundleInfo, BundleInfo]:
    """One that draws the block and one that draws the dots."""
    for name, threshold in (("finder", 150.0), ("dots", 250.0)):
        write_tiny_bundle(folder / "models", name, threshold=threshold)
    return find_bundle("finder", folder / "models"), find_bundle("dots", folder / "models")


def job(folder: Path, bundles: tuple[BundleInfo, ...], place: Place) -> CaseJob:
    (folder / "scans").mkdir()
    write_volume(folder / "scans" / "head.nii.gz", head())
    out = OutFolder(folder / "out")
    out.create()
    found = catalogue([folder / "scans"], Context(IdentityKey(bytes(range(32))), IngestSettings()))
    choices = tuple(choose(bundle.name, bundle.block.needs, SelectRule(), found.series) for bundle in bundles)
    return CaseJob(found.series[0].case_id, found.series, (), choices, bundles, out, places={"dots": place})


def test_dots_are_drawn_in_both_parts_of_the_block_in_one_map_and_none_outside(tmp_path: Path) -> None:
    report = run_case(job(tmp_path, networks(tmp_path), Place("finder", "bright", 0.0, HALVES)))

    drawn = next(one for one in report.segmentations or () if one.bundle == "dots")
    values = np.asarray(nib.load(tmp_path / "out" / "cases" / report.case_id / drawn.file).dataobj)
    assert np.argwhere(values).tolist() == [[12, 18, 14], [28, 18, 14]]
    volumes = [one.value for one in report.measurements or () if (one.bundle, one.quantity) == ("dots", "volume")]
    assert volumes == [pytest.approx(2 * 1.0 * 1.2 * 1.5)]


def test_only_the_part_that_is_asked_for_is_looked_at(tmp_path: Path) -> None:
    # i runs to the left, so the dot at i = 28 is the left one.
    report = run_case(job(tmp_path, networks(tmp_path), Place("finder", "bright", 0.0, HALVES[:1])))

    drawn = next(one for one in report.segmentations or () if one.bundle == "dots")
    values = np.asarray(nib.load(tmp_path / "out" / "cases" / report.case_id / drawn.file).dataobj)
    assert np.argwhere(values).tolist() == [[28, 18, 14]]


def test_a_part_may_be_that_of_a_label_of_its_own(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models", "sides", threshold=150.0, brighter=250.0)
    _, dots = networks(tmp_path)
    sides = find_bundle("sides", tmp_path / "models")
    dot = Part("dot", label="brighter")

    report = run_case(job(tmp_path, (sides, dots), Place("sides", "", 0.0, (dot,))))

    # Of the three dots, all of one voxel, the box of the first piece is looked at and not that of the block.
    drawn = next(one for one in report.segmentations or () if one.bundle == "dots")
    values = np.asarray(nib.load(tmp_path / "out" / "cases" / report.case_id / drawn.file).dataobj)
    assert values.sum() == 1


def test_what_is_said_of_all_of_a_place_names_no_part(tmp_path: Path) -> None:
    bundles = networks(tmp_path)
    uses = [BundleUse(name="finder"), BundleUse.model_validate({"name": "dots", "within": IN_BLOCK})]
    whole = job(tmp_path, bundles, places_of(uses, bundles)["dots"])

    assert read(whole).parts() == ["", ""]
    assert read(replace(whole, places={"dots": Place("finder", "bright", 0.0, HALVES)})).parts() == [
        "",
        "left",
        "right",
    ]


def test_where_the_place_was_not_found_the_case_says_so(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models", "blind", threshold=1000.0)
    blind = find_bundle("blind", tmp_path / "models")
    _, dots = networks(tmp_path)

    with pytest.raises(UnsupportedInput, match=r"blind found no bright in .*, so dots does not know where to look"):
        run_case(job(tmp_path, (blind, dots), Place("blind", "bright", 0.0, HALVES)))


def test_a_place_larger_than_the_network_was_made_for_is_refused_with_its_size(tmp_path: Path) -> None:
    finder, dots = networks(tmp_path)
    small = dots.block.model_copy(update={"field_of_view": FieldOfView(most_extent_mm=(10.0, 50.0, 50.0))})

    with pytest.raises(UnsupportedInput, match=r"left of bright in .* is not what dots was made for: .*12"):
        run_case(job(tmp_path, (finder, replace(dots, block=small)), Place("finder", "bright", 0.0, HALVES)))


def test_a_label_that_the_other_network_does_not_draw_is_named(tmp_path: Path) -> None:
    bundles = networks(tmp_path)
    uses = (
        BundleUse(name="finder"),
        parse_settings(BundleUse, {"name": "dots", "within": {"bundle": "finder", "label": "dark"}}),
    )

    with pytest.raises(ConfigError, match="dots is to look within dark, which finder does not draw"):
        places_of(uses, bundles)


def test_a_part_names_its_label_and_the_place_need_not() -> None:
    left = {"label": "bright"}
    told = {"bundle": "finder", "parts": {"left": left, "right": {}}}

    with pytest.raises(ConfigError, match="within: name the label, or one for every part"):
        parse_settings(BundleUse, {"name": "dots", "within": told})
    with pytest.raises(ConfigError, match="within: name the label"):
        parse_settings(BundleUse, {"name": "dots", "within": {"bundle": "finder"}})
    use = parse_settings(BundleUse, {"name": "dots", "within": {**told, "parts": {"left": left}}})
    assert use.within is not None
    assert use.within.parts["left"].label == "bright"


def test_a_label_of_a_part_that_the_other_network_does_not_draw_is_named(tmp_path: Path) -> None:
    within = {"bundle": "finder", "label": "bright", "parts": {"left": {"label": "left_bright"}}}
    uses = (BundleUse(name="finder"), parse_settings(BundleUse, {"name": "dots", "within": within}))

    with pytest.raises(ConfigError, match="dots is to look within left_bright, which finder does not draw"):
        places_of(uses, networks(tmp_path))


def test_the_network_that_finds_the_place_stands_before_the_one_that_looks_there() -> None:
    within = {"bundle": "finder", "label": "bright"}

    with pytest.raises(ConfigError, match="dots looks within finder, which must stand before it"):
        parse_settings(RunConfig, {"bundles": [{"name": "dots", "within": within}, {"name": "finder"}]})
