"""Corrections over the wire: painted, undone, saved as a new version, never over the old."""

import gzip
import json
import shutil
import uuid
from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from diascope.io.outfolder import file_digest, folder_in_the_making
from diascope.viewer.corrections import merged
from tests.phantoms import ball
from tests.viewer.browser import Answer, Browser
from tests.viewer.conftest import Serve, Viewer

STRUCTURES = "seg-0-1"


def paint(browser: Browser, address: str, name: str = STRUCTURES, **changed: Any) -> Answer:
    body = {"name": name, "op": "paint", "label": 3, "shape": "ball", "radius_mm": 14.0, "plane": "axial"}
    points = {"points_ijk": [[20.0, 24.0, 9.0]], "key": uuid.uuid4().hex}
    return browser.post(f"{address}/stroke", body | points | changed)


def volume(browser: Browser, url: str) -> np.ndarray:
    answer = browser.get(url.removeprefix("."))
    assert answer.status == 200, answer.body
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(answer.body)).dataobj)


def test_a_stroke_is_saved_voxel_for_voxel_on_the_oblique_grid_of_the_source(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    folder = viewer.phantoms.case_folder("head")
    source = nib.load(folder / "brain_structures_segmentation.seg.nii.gz")
    before = file_digest(folder / "brain_structures_segmentation.seg.nii.gz")
    browser.post(f"{address}/draft", {"name": STRUCTURES})

    painted = paint(browser, address).json
    saved = browser.post(f"{address}/draft/save", {"name": STRUCTURES, "comment": "one lobe more"}).json

    from diascope.geometry import Grid

    grid = Grid(source.shape, source.affine)
    centre = tuple(grid.to_ras_mm(np.array([[20.0, 24.0, 9.0]]))[0])
    expected = np.where(ball(grid, centre, 14.0), 3, np.asarray(source.dataobj))
    version = nib.load(folder / "corrections" / "brain_structures_segmentation.seg.v1.nii.gz")
    assert np.array_equal(np.asarray(version.dataobj), expected)
    assert np.allclose(version.affine, source.affine)
    assert painted["changed_voxels"] == int((expected != np.asarray(source.dataobj)).sum()) > 50
    assert saved["version"] == 1
    assert file_digest(folder / "brain_structures_segmentation.seg.nii.gz") == before


def do_again(viewer: Viewer, role: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Do a case again as a run does it: a new folder takes the old one's place, corrections are carried over."""
    folder = viewer.phantoms.case_folder(role)
    report = json.loads((folder / "case.json").read_text())
    with folder_in_the_making(folder) as new:
        for item in folder.iterdir():
            if item.name != "corrections":
                (shutil.copytree if item.is_dir() else shutil.copy)(item, new / item.name)
        change(report)
        for drawn in report["segmentations"]:
            if not (new / drawn["file"]).is_file():
                shutil.copy(new / "brain_structures_segmentation.seg.nii.gz", new / drawn["file"])
        (new / "case.json").write_text(json.dumps(report))


def network_in_front(report: dict[str, Any]) -> None:
    """Another network comes first, and draws what could be mistaken for the map of the one behind it."""
    first = report["segmentations"][0]
    report["segmentations"].insert(0, first | {"bundle": "a_new_network", "file": "a_new_network.seg.nii.gz"})


def on_another_image(report: dict[str, Any]) -> None:
    report["segmentations"][0]["image_id"] = report["images"][1]["image_id"]


def correct(browser: Browser, address: str, name: str = STRUCTURES, base: str = "ai") -> None:
    browser.post(f"{address}/draft", {"name": name, "base": base})
    assert paint(browser, address, name, label=1).status == 200
    assert browser.post(f"{address}/draft/save", {"name": name}).status == 200


def test_a_correction_follows_its_label_map_when_another_network_comes_in_front(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    correct(browser, address)
    correct(browser, address, base="1")

    do_again(viewer, "head", network_in_front)
    fixes = browser.get(address).json["corrections"]

    told = [(one["segmentation"], one["bundle"], one["version"], one["name"]) for one in fixes]
    assert told == [
        (1, "brain_structures_segmentation", 1, "fix-1-1-1"),
        (1, "brain_structures_segmentation", 2, "fix-1-2-1"),
    ]
    assert (volume(browser, fixes[0]["url"]) != volume(browser, f"{address}/volume/seg-1-1.nii.gz")).any()
    assert browser.get(f"{address}/volume/fix-0-1-1.nii.gz").status == 404


def test_a_correction_of_another_image_or_of_another_map_is_none_of_this_result(viewer: Viewer) -> None:
    browser, head, followup = viewer.browser(), viewer.address("head"), viewer.address("followup")
    correct(browser, head)
    correct(browser, followup)
    correct(browser, followup, base="1")
    drawn = viewer.phantoms.case_folder("followup") / "brain_structures_segmentation.seg.nii.gz"

    do_again(viewer, "head", on_another_image)
    image = nib.load(drawn)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[::-1].copy(), image.affine), drawn)

    assert browser.get(head).json["corrections"] == browser.get(followup).json["corrections"] == []
    # What was saved stays on the disk, and the next number is free.
    correct(browser, followup)
    assert [one["version"] for one in browser.get(followup).json["corrections"]] == [3]


def test_a_correction_without_an_image_in_its_file_counts_until_the_case_is_done_again(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    correct(browser, address)
    file = viewer.phantoms.case_folder("head") / "corrections" / "brain_structures_segmentation.seg.v1.json"
    kept = json.loads(file.read_text())
    assert kept.pop("image_id") == viewer.image_id("head")
    file.write_text(json.dumps(kept))

    before = browser.get(address).json["corrections"]
    do_again(viewer, "head", lambda report: report.update(diascope_version="0.1.1"))

    assert [one["version"] for one in before] == [1]
    assert browser.get(address).json["corrections"] == []


def test_a_draft_is_of_its_label_map_and_of_no_other_that_takes_its_place(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    browser.post(f"{address}/draft", {"name": STRUCTURES})
    paint(browser, address)

    do_again(viewer, "head", network_in_front)

    assert browser.get(f"{address}/draft?name=seg-0-1").json["draft"] is None
    kept = browser.get(f"{address}/draft?name=seg-1-1").json["draft"]
    assert (kept["bundle"], kept["undo"], kept["is_stale"]) == ("brain_structures_segmentation", 1, True)


def test_the_next_version_begins_with_the_last_and_both_stay(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    for base in ("ai", "1"):
        browser.post(f"{address}/draft", {"name": STRUCTURES, "base": base})
        paint(browser, address, points_ijk=[[10.0 + 5 * int(base == "1"), 24.0, 9.0]])
        assert browser.post(f"{address}/draft/save", {"name": STRUCTURES}).status == 200

    fixes = browser.get(address).json["corrections"]

    assert [(one["version"], one["base"], one["who"]) for one in fixes] == [
        (1, "ai", "Reader One"),
        (2, "1", "Reader One"),
    ]
    one, two = (volume(browser, fix["url"]) for fix in fixes)
    assert (one == 3).sum() < (two == 3).sum()
    kept = browser.get(f"{address}/volume/fix-0-2.nii.gz")
    assert kept.headers["content-disposition"].endswith('"brain_structures_segmentation.seg.v2.nii.gz"')


def test_a_draft_goes_on_in_another_server_and_belongs_to_its_reader(serve: Serve) -> None:
    first = serve()
    browser, address = first.browser(), first.address("head")
    browser.post(f"{address}/draft", {"name": STRUCTURES})
    paint(browser, address)
    shown = volume(browser, browser.get(f"{address}/draft?name={STRUCTURES}").json["url"])

    second = serve(first.phantoms)
    same, other = second.browser("Reader One"), second.browser("Reader Two")

    assert np.array_equal(volume(same, same.get(f"{address}/draft?name={STRUCTURES}").json["url"]), shown)
    assert same.post(f"{address}/draft/undo", {"name": STRUCTURES}).json["redo_left"] == 1
    assert other.get(f"{address}/draft?name={STRUCTURES}").json["draft"] is None
    assert other.post(f"{address}/draft/undo", {"name": STRUCTURES}).code == "no_draft"


def test_of_a_map_of_300_labels_the_others_stay_as_they_are(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("many_labels")
    browser.post(f"{address}/draft", {"name": "seg-0-2"})

    paint(browser, address, "seg-0-2", label=45, radius_mm=9.0, points_ijk=[[10.0, 15.0, 7.0]])
    browser.post(f"{address}/draft/save", {"name": "seg-0-2"})

    folder = viewer.phantoms.case_folder("many_labels")
    before = np.asarray(nib.load(folder / "whole_body_structures.seg.nii.gz").dataobj)
    after = np.asarray(nib.load(folder / "corrections" / "whole_body_structures.seg.v1.nii.gz").dataobj)
    assert set(np.unique(after[after != before])) == {300}
    assert (after != before).any()


def test_erasing_part_of_a_map_leaves_background_and_not_what_was_there_before() -> None:
    whole = np.array([[[0, 300, 7, 260]]], np.uint16)

    corrected = merged(whole, np.array([[[0, 0, 0, 2]]], np.uint8), [260, 300])

    assert corrected.tolist() == [[[0, 0, 7, 300]]]
    assert corrected.dtype == np.uint16


def test_a_draft_outlives_a_run_that_does_the_case_again_but_is_not_saved_to_its_result(viewer: Viewer) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    browser.post(f"{address}/draft", {"name": STRUCTURES})
    paint(browser, address)
    do_again(viewer, "head", lambda report: report.update(diascope_version="0.1.1"))

    told = browser.get(f"{address}/draft?name={STRUCTURES}").json["draft"]

    assert told["is_stale"]
    assert told["undo"] == 1
    refused = browser.post(f"{address}/draft/save", {"name": STRUCTURES})
    assert (refused.status, refused.code) == (409, "stale")
    assert refused.json["error"]["cure"]
    assert refused.json["digest"] == browser.get(address).json["result_digest"]
    assert browser.get(address).json["corrections"] == []
    assert browser.get(f"{address}/draft?name={STRUCTURES}").json["draft"]["undo"] == 1
    browser.post(f"{address}/draft/discard", {"name": STRUCTURES})
    correct(browser, address)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"label": 4}, "bad_request"),
        ({"points_ijk": []}, "bad_request"),
        ({"points_ijk": [[1e9, 0, 0]]}, "bad_request"),
        ({"radius_mm": -1}, "bad_request"),
        ({"name": "seg-9-1"}, "no_such_image"),
        ({"name": "../../etc"}, "no_such_image"),
        ({"name": "", "bundle": "flair_glioma_detection", "image_id": "x"}, "no_such_image"),
    ],
)
def test_a_stroke_that_makes_no_sense_is_refused(viewer: Viewer, changed: dict[str, Any], code: str) -> None:
    browser, address = viewer.browser(), viewer.address("head")
    browser.post(f"{address}/draft", {"name": STRUCTURES})

    assert paint(browser, address, **changed).code == code
    assert browser.get(f"{address}/draft?name={STRUCTURES}").json["undo_left"] == 0
