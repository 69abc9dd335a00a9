"""What leaves the viewer: tables, a manifest that trains, a page without a server."""

import base64
import csv
import gzip
import io
import re
import uuid
from pathlib import Path

import nibabel as nib
import pytest

from diascope.errors import ConfigError, OutputError
from diascope.train.manifest import read_manifest
from diascope.viewer.offline import gathered, table_text, training_manifests, write_manifests
from diascope.viewer.outs import open_outs
from diascope.viewer.page_export import write_page
from diascope.viewer.review_export import tables_of
from diascope.viewer.review_table import COLUMNS
from diascope.viewer.settings import ViewSettings
from tests.viewer.conftest import Viewer
from tests.viewer.test_corrections import correct, do_again, network_in_front, on_another_image
from tests.viewer.test_record import judge


def test_the_table_of_verdicts_has_the_columns_that_the_audit_reads(viewer: Viewer) -> None:
    browser = viewer.browser()
    judge(browser, viewer.address("head"), comment='a "quoted", comment')
    shelf = viewer.desk.record.shelves["out"]

    text = table_text("verdicts.csv", [tables_of(viewer.desk.index.outs["out"], shelf.reviews, shelf.key)])

    (row,) = csv.DictReader(io.StringIO(text))
    assert tuple(row) == COLUMNS
    assert row["reviewer"] == "reader-1"
    assert row["comment"] == 'a "quoted", comment'
    assert row["sampling"] in {"random", "review_first", "chosen"}


def test_what_readers_stand_behind_can_be_trained_from(viewer: Viewer) -> None:
    browser = viewer.browser()
    # Accepted as it is; corrected, though it needs an edit; rejected.
    judge(browser, viewer.address("no_geometry"), verdict="accept")
    judge(browser, viewer.address("head"), verdict="needs_edit")
    judge(browser, viewer.address("followup"), verdict="reject")
    address = viewer.address("head")
    browser.post(f"{address}/draft", {"name": "seg-0-1"})
    stroke = {"op": "paint", "label": 1, "shape": "ball", "radius_mm": 9.0, "points_ijk": [[20, 24, 9]]}
    browser.post(f"{address}/stroke", {"name": "seg-0-1", "key": uuid.uuid4().hex, **stroke})
    browser.post(f"{address}/draft/save", {"name": "seg-0-1"})

    made = training_manifests(viewer.desk.index.outs["out"], viewer.desk.record.shelves["out"])
    files = write_manifests(made, viewer.phantoms.folder / "manifest.csv")

    by_bundle = {one.bundle: [(row.case, row.groups["label_source"]) for row in one.rows] for one in made}
    assert by_bundle == {
        "brain_structures_segmentation": [(viewer.case_id("head"), "corrected")],
        "flair_glioma_detection": [(viewer.case_id("no_geometry"), "accepted")],
    }
    for file in files:
        for row in read_manifest(file, viewer.phantoms.folder):
            assert row.image is not None
            assert nib.load(row.image).shape == nib.load(row.label).shape
    assert {one.left_out for one in made} == {2}


def test_a_redone_case_is_trained_from_with_corrections_of_its_own_maps_only(viewer: Viewer) -> None:
    browser = viewer.browser()
    for role in ("head", "followup"):
        correct(browser, viewer.address(role))
    out, shelf = viewer.desk.index.outs["out"], viewer.desk.record.shelves["out"]
    before = [(one.bundle, len(one.rows)) for one in training_manifests(out, shelf)]

    do_again(viewer, "head", network_in_front)
    do_again(viewer, "followup", on_another_image)
    made = training_manifests(out, shelf)

    assert before == [("brain_structures_segmentation", 2)]
    label = f"cases/{viewer.case_id('head')}/corrections/brain_structures_segmentation.seg.v1.nii.gz"
    assert [(one.bundle, [row.label for row in one.rows]) for one in made] == [
        ("brain_structures_segmentation", [label])
    ]


def test_one_reader_who_rejects_keeps_a_case_out_of_training(viewer: Viewer) -> None:
    judge(viewer.browser("Reader One"), viewer.address("no_geometry"), verdict="accept")
    judge(viewer.browser("Reader Two"), viewer.address("no_geometry"), verdict="reject")

    assert training_manifests(viewer.desk.index.outs["out"], viewer.desk.record.shelves["out"]) == ()


def test_a_gathered_page_holds_every_file_and_no_word_of_a_reader(viewer: Viewer) -> None:
    judge(viewer.browser("Dr Secret"), viewer.address("head"), comment="hidden words")
    outs = open_outs([viewer.phantoms.folder])

    content = gathered(outs, [viewer.case_id("head"), viewer.case_id("radiograph")], {}, 100.0)

    assert len(content["cases"]) == 2
    for case in content["cases"].values():
        for one in (*case["images"], *case["segmentations"], *case["heatmaps"]):
            data = base64.b64decode(content["files"][one["url"].partition("?")[0]])
            assert nib.Nifti1Image.from_bytes(gzip.decompress(data)).header["descrip"] == b""
    spelled = repr(content)
    for telling in ("Dr Secret", "hidden words", *viewer.phantoms.identifiers):
        assert telling not in spelled


def test_the_written_page_is_one_file_that_asks_nobody_for_anything(viewer: Viewer, tmp_path: Path) -> None:
    settings = ViewSettings(mirror=False)

    written = write_page([viewer.phantoms.folder], tmp_path / "page.html", [viewer.case_id("head")], settings)

    text = (tmp_path / "page.html").read_text()
    assert written.cases == 1
    assert viewer.case_id("head") in text
    assert viewer.case_id("followup") not in text
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", text.partition("<script")[0])
    for telling in viewer.phantoms.identifiers:
        assert telling not in text


def test_a_page_that_would_be_too_large_or_of_nothing_is_refused(viewer: Viewer) -> None:
    outs = open_outs([viewer.phantoms.folder])

    with pytest.raises(OutputError, match="larger than"):
        gathered(outs, [], {}, 0.01)
    with pytest.raises(ConfigError, match="1 of 1 cases"):
        gathered(outs, ["case-of-nobody"], {}, 100.0)
