"""What the page draws, and what it is told where there is nothing to draw."""

import contextlib
import gzip
import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from diascope.findings import Label
from diascope.geometry import Grid, IndexGrid
from diascope.io.write_nifti import write_mask, write_volume
from diascope.viewer.answers import Problem
from diascope.viewer.volumes import PREVIEW_SIDE, as_volume, dense, dense_file, label_parts, preview_file
from diascope.viewer.voxels import Scratch, read_header
from diascope.volume import Mask, Volume
from tests.phantoms import oblique_grid
from tests.viewer.conftest import Serve, Viewer


def test_stored_voxels_are_those_that_nibabel_reads(viewer: Viewer) -> None:
    files = sorted(viewer.phantoms.folder.glob("cases/*/**/*.nii.gz"))
    assert len(files) >= 9
    with Scratch() as scratch:
        for file in files:
            assert np.array_equal(scratch.voxels(file), nib.load(file).dataobj.get_unscaled()), file.name


def test_a_map_of_300_labels_comes_in_two_files_that_add_up(viewer: Viewer) -> None:
    browser = viewer.browser()
    case = browser.get(viewer.address("many_labels")).json
    source = np.asarray(
        nib.load(viewer.phantoms.case_folder("many_labels") / "whole_body_structures.seg.nii.gz").dataobj
    )

    together = np.zeros_like(source)
    for one in case["segmentations"]:
        image = nib.Nifti1Image.from_bytes(gzip.decompress(browser.get(one["url"][1:]).body))
        part = np.asarray(image.dataobj)
        assert part.dtype == np.uint8
        assert image.header.get_intent()[0] == "label"
        for label in one["labels"]:
            together[part == label["value"]] = label["source_value"]

    assert [len(one["labels"]) for one in case["segmentations"]] == [255, 45]
    assert np.array_equal(together, source)


def test_dense_values_follow_the_order_that_is_asked_for() -> None:
    stored = np.array([[[0, 5, 700, 9, 5]]], np.uint16)

    assert dense(stored, [9, 700]).tolist() == [[[0, 0, 2, 1, 0]]]
    assert dense(np.array([[[-3.0, 9.0]]]), [9]).tolist() == [[[0, 1]]]


def test_a_preview_lies_where_its_image_lies(tmp_path: Path) -> None:
    grid = oblique_grid((300, 140, 33), (0.7, 0.8, 2.5))
    data = np.zeros(grid.shape, np.int16)
    data[200:230, 30:60, 20:26] = 1000
    volume = Volume(data, grid, facts := _facts(), "img-1", (500.0, 1000.0))
    write_volume(tmp_path / "i.nii.gz", volume)
    record = _record("img-1", facts, (500.0, 1000.0))

    with Scratch() as scratch:
        small = sitk.ReadImage(str(preview_file(record, tmp_path / "i.nii.gz", scratch)))

    large = sitk.ReadImage(str(tmp_path / "i.nii.gz"))
    assert max(small.GetSize()) <= PREVIEW_SIDE
    for image in (small, large):
        image.SetOrigin(image.GetOrigin())
    centres = [_centre_of_bright(image) for image in (small, large)]
    assert np.linalg.norm(centres[0] - centres[1]) < 2.0  # under one voxel of the preview


def test_a_preview_of_a_small_image_leaves_no_voxel_out(viewer: Viewer) -> None:
    browser = viewer.browser()
    image = browser.get(viewer.address("head")).json["images"][0]

    small = nib.Nifti1Image.from_bytes(gzip.decompress(browser.get(image["preview_url"][1:]).body))

    assert list(small.shape) == image["preview_shape_ijk"] == image["shape_ijk"]
    assert np.allclose(small.affine, image["affine"])
    assert small.get_data_dtype() == np.uint8


def test_without_a_frame_nothing_claims_one(viewer: Viewer) -> None:
    browser = viewer.browser()
    image = browser.get(viewer.address("no_geometry")).json["images"][0]

    served = nib.Nifti1Image.from_bytes(gzip.decompress(browser.get(image["preview_url"][1:]).body))
    planes = browser.get(image["slices_url"][1:]).json["planes"]

    assert image["space"] == "index"
    assert image["affine"] == np.eye(4).tolist()
    assert int(served.header["sform_code"]) == int(served.header["qform_code"]) == 0
    assert all(plane["letters"] is None and plane["mm_per_px"] is None for plane in planes.values())


@pytest.mark.parametrize("role", ["head", "radiograph", "no_geometry", "many_labels"])
def test_a_missing_file_is_told_in_its_place_and_the_rest_is_drawn(viewer: Viewer, role: str) -> None:
    folder = viewer.phantoms.case_folder(role)
    browser = viewer.browser()
    whole = browser.get(viewer.address(role)).json
    gone = next(folder.glob("*.nii.gz"))
    gone.unlink()

    case = browser.get(viewer.address(role)).json

    parts = [one for kind in ("segmentations", "heatmaps", "uncertainty") for one in case[kind]]
    missing = [one for one in parts if one["url"] is None]
    assert missing
    assert {one["error"]["code"] for one in missing} == {"missing_file"}
    assert all(one["error"]["cure"] for one in missing)
    assert case["images"] == whole["images"]


@pytest.mark.parametrize("left", [0, 30, 400])
def test_a_file_that_was_cut_short_says_so(viewer: Viewer, left: int) -> None:
    folder, image = viewer.phantoms.case_folder("head"), viewer.image_id("head")
    file = folder / "images" / f"{image}.nii.gz"
    file.write_bytes(file.read_bytes()[:left])
    browser, address = viewer.browser(), viewer.address("head")

    case = browser.get(address).json
    drawn = browser.get(f"{address}/slice/{image}/axial/3.png")

    assert case["segmentations"][0]["url"] is not None
    assert drawn.code in {"truncated", "bad_header"}
    assert drawn.json["error"]["reason"]
    assert "again" in drawn.json["error"]["cure"]
    if left < 100:
        assert case["images"][0]["error"]["code"] == "bad_header"


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"case_id": 1}', b"\xff\xfe", b"[]", b'{"case_id": "x", "status": "done", "format": 99}']
)
def test_a_half_written_report_says_so_and_the_worklist_goes_on(viewer: Viewer, content: bytes) -> None:
    (viewer.phantoms.case_folder("head") / "case.json").write_bytes(content)
    viewer.desk.index.refresh(force=True)
    browser = viewer.browser()

    answer = browser.get(viewer.address("head"))

    assert answer.status == 422
    assert answer.code == "bad_report"
    assert answer.json["error"]["cure"]
    assert browser.get("/api/worklist?list=all").json["total"] == 7


def test_a_case_whose_folder_is_gone_is_told(viewer: Viewer) -> None:
    shutil.rmtree(viewer.phantoms.case_folder("head"))

    assert viewer.browser().get(viewer.address("head")).code == "no_such_case"


def test_a_failed_case_tells_why_and_what_to_do(viewer: Viewer) -> None:
    case = viewer.browser().get(viewer.address("failed")).json

    assert case["failure"]["code"] == "incomplete_series"
    assert case["failure"]["cure"]
    assert case["images"] == []


def test_more_than_the_disk_holds_is_refused_with_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Volume(np.zeros((50, 60, 70), np.int16), IndexGrid((50, 60, 70)), _facts(), "img-1")
    write_volume(tmp_path / "i.nii.gz", volume)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))  # type: ignore[attr-defined]

    with Scratch() as scratch, pytest.raises(Problem, match="GiB"):
        scratch.voxels(tmp_path / "i.nii.gz")


def test_what_is_unpacked_is_dropped_when_it_becomes_too_much(tmp_path: Path) -> None:
    with Scratch(most_bytes=100_000) as scratch:
        kept = []
        for at in range(4):
            volume = Volume(np.full((30, 40, 25), at, np.int16), IndexGrid((30, 40, 25)), _facts(), "img-1")
            write_volume(tmp_path / f"{at}.nii.gz", volume)
            kept.append(scratch.voxels(tmp_path / f"{at}.nii.gz"))
            assert sum(file.stat().st_size for file in scratch._folder.iterdir()) <= 120_000
        # What is still looked at stays whole.
        assert [int(one.max()) for one in kept] == [0, 1, 2, 3]
        folder = scratch._folder
    assert not folder.exists()


def test_the_truth_is_drawn_on_the_voxels_of_its_image(serve: Serve, tmp_path: Path) -> None:
    viewer = serve(truth=tmp_path / "truth.csv")
    folder = viewer.phantoms.case_folder("head")
    drawn = nib.load(folder / "brain_structures_segmentation.seg.nii.gz")
    # Stored the other way round along two axes, as another program might: the same places.
    turned = nib.as_closest_canonical(drawn)
    nib.save(turned, tmp_path / "truth.nii.gz")
    (tmp_path / "truth.csv").write_text(
        f"case,truth,image_id\n{viewer.case_id('head')},truth.nii.gz,{viewer.image_id('head')}\n"
        f"{viewer.case_id('followup')},nothing.nii.gz,\n"
    )
    browser = viewer.browser()

    (one,) = browser.get(viewer.address("head")).json["truth"]
    (broken,) = browser.get(viewer.address("followup")).json["truth"]
    served = nib.Nifti1Image.from_bytes(gzip.decompress(browser.get(one["url"][1:]).body))

    assert np.array_equal(np.asarray(served.dataobj), np.asarray(drawn.dataobj))
    assert broken["url"] is None
    assert broken["error"]["reason"]


@pytest.mark.torture
def test_a_volume_of_two_gigabytes_is_previewed_and_cut_without_being_held_in_memory(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 3 * 2**30:
        pytest.skip("the disk has no 3 GiB free")
    shape = (1024, 1024, 1024)
    # Rising along each axis, and no more memory than one row: the file is written slice by slice.
    rows = np.add.outer(np.arange(1024), 3 * np.arange(1024)).astype(np.int16)
    data = np.broadcast_to(rows[:, :, None], shape)
    record = _record("img-1", _facts(), (2000.0, 4000.0))
    write_volume(tmp_path / "i.nii.gz", Volume(data, oblique_grid(shape, (0.3, 0.3, 0.4)), _facts(), "img-1"))
    with little_memory(), Scratch() as scratch:
        small = np.asarray(nib.load(preview_file(record, tmp_path / "i.nii.gz", scratch)).dataobj)
        volume, _ = as_volume(record, tmp_path / "i.nii.gz", scratch)
        cut = np.asarray(volume.data[:, :, 1000])

    assert small.shape == (128, 128, 128)
    assert np.array_equal(cut, rows)


@pytest.mark.torture
def test_a_label_map_of_two_gigabytes_is_numbered_and_cut_without_being_held_in_memory(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 6 * 2**30:
        pytest.skip("the disk has no 6 GiB free")
    shape = (1024, 1024, 1024)
    # The same slice everywhere, of labels above what eight bits hold.
    rows = np.where(np.add.outer(np.arange(1024), np.arange(1024)) % 512 < 256, 700, 0).astype(np.uint16)
    rows[:7, :11] = 5
    data = np.broadcast_to(rows[:, :, None], shape)
    names = {5: "corner", 700: "stripes"}
    write_mask(tmp_path / "seg.nii.gz", Mask(data, oblique_grid(shape, (0.3, 0.3, 0.4)), names))
    labels = tuple(Label(value, name, "#33cc66") for value, name in names.items())
    (part,) = label_parts("seg-0", tmp_path / "seg.nii.gz", labels)
    with little_memory(), Scratch() as scratch:
        served = nib.load(dense_file(part, scratch))
        cut = np.asarray(served.dataobj[:, :, 3])
        stored = scratch.voxels(part.file)[:, :, 1000]
        assert np.array_equal(stored, rows)

    assert served.header.get_data_dtype() == np.uint8
    assert np.array_equal(cut, np.where(rows == 5, 1, np.where(rows == 700, 2, 0)))


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Allow half a gigabyte more than is held now."""
    allowed = resource.getrlimit(resource.RLIMIT_DATA)
    held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (held + 2**29, allowed[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, allowed)


def test_json_says_the_same_as_the_header(viewer: Viewer) -> None:
    for role in ("head", "radiograph", "no_geometry"):
        record = json.loads((viewer.phantoms.case_folder(role) / "case.json").read_text())["images"][0]
        header = read_header(viewer.phantoms.case_folder(role) / record["stored"])
        assert list(header.shape) == record["shape"]
        assert isinstance(header.space, Grid) == (record["space"] == "grid")


def _facts():  # type: ignore[no-untyped-def]
    from diascope.findings import ImageFacts

    return ImageFacts()


def _record(image_id, facts, window):  # type: ignore[no-untyped-def]
    from diascope.findings import ImageRecord

    return ImageRecord(image_id, facts, display_window=window)


def _centre_of_bright(image: sitk.Image) -> np.ndarray:
    found = np.argwhere(sitk.GetArrayFromImage(image) > 200)[:, ::-1].mean(axis=0)
    return np.array(image.TransformContinuousIndexToPhysicalPoint(found.tolist()))
