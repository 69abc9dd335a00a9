"""What a browser gets from a real server: session, worklist, case, files."""

import gzip
import json

import nibabel as nib
import numpy as np

from tests.viewer.conftest import Serve, Viewer


def test_the_printed_address_signs_in_and_its_token_leaves_the_address(viewer: Viewer) -> None:
    browser = viewer.browser("")

    session = browser.get("/api/session").json

    assert session["needs_name"]
    assert session["role"] == "reviewer"
    assert [out["cases"] for out in session["outs"]] == [7]


def test_nobody_sees_anything_without_the_token(viewer: Viewer) -> None:
    from tests.viewer.browser import Browser

    stranger = Browser(viewer.url)

    assert stranger.get("/api/worklist").status == 401
    assert stranger.get(viewer.address("head")).code == "no_session"
    assert stranger.get("/?token=guessed").status == 401
    assert stranger.get("/healthz").json == {"ok": True}


def test_the_worklist_holds_every_case_in_its_list(viewer: Viewer) -> None:
    browser = viewer.browser()

    page = browser.get("/api/worklist?list=all").json

    assert page["counts"]["open"] == 5
    assert page["counts"]["failed"] == page["counts"]["nothing_to_do"] == 1
    assert page["counts"]["refused"] == 11
    assert {row["case_id"] for row in page["rows"]} == {one.case_id for one in viewer.phantoms.reports.values()}


def test_a_case_tells_everything_that_is_drawn(viewer: Viewer) -> None:
    case = viewer.browser().get(viewer.address("head")).json

    assert [one["bundle"] for one in case["segmentations"]] == [
        "brain_structures_segmentation",
        "flair_glioma_detection",
        "flair_glioma_detection",
    ]
    # The second map of the overlapping pair holds the value 2: the page is given 1, and told of the 2.
    assert [(one["value"], one["source_value"]) for one in case["segmentations"][2]["labels"]] == [(1, 2)]
    assert case["findings"][0]["finding_id"] == "flair_glioma_detection-1"
    assert case["heatmaps"][0]["trust"] == "doubtful"
    assert case["position"]["of"] == 5


def test_every_file_of_every_case_is_served_as_it_was_described(viewer: Viewer) -> None:
    browser = viewer.browser()
    seen = 0
    for role, report in viewer.phantoms.reports.items():
        case = browser.get(viewer.address(role)).json
        for one in (*case["images"], *case["segmentations"], *case["heatmaps"]):
            answer = browser.get(one["url"][1:])
            image = nib.Nifti1Image.from_bytes(gzip.decompress(answer.body))
            expected = one.get("shape_ijk") or case["images"][0]["shape_ijk"]
            assert list(image.shape) == expected, (role, one["url"])
            seen += 1
        assert case["case_id"] == report.case_id
    assert seen >= 10


def test_a_browser_that_has_the_file_is_told_so_and_a_range_is_a_range(viewer: Viewer) -> None:
    browser = viewer.browser()
    url = browser.get(viewer.address("head")).json["images"][0]["url"][1:]
    whole = browser.get(url)

    again = browser.get(url, If_None_Match=whole.headers["etag"])
    part = browser.get(url, Range="bytes=100-199")

    assert "immutable" in whole.headers["cache-control"]
    assert (again.status, again.body) == (304, b"")
    assert (part.status, part.body) == (206, whole.body[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.body)}"


def test_next_goes_through_the_queue_once_and_around(viewer: Viewer) -> None:
    browser = viewer.browser()
    order, after = [], ""
    for _ in range(6):
        found = browser.get(f"/api/next?after={after}").json
        order.append((found["case_id"], found["index"]))
        after = found["case_id"]

    assert [index for _, index in order] == [1, 2, 3, 4, 5, 1]
    assert len({case for case, _ in order}) == 5
    # The doubtful ones stand first, the least sure of them at the head.
    assert [case for case, _ in order[:2]] == [viewer.case_id("followup"), viewer.case_id("radiograph")]
    back = browser.get(f"/api/next?after={order[1][0]}&direction=previous").json
    assert back["case_id"] == order[0][0]


def test_the_prior_study_of_the_patient_is_found_and_its_image_that_is_alike(viewer: Viewer) -> None:
    viewer.desk.index.fill()
    browser = viewer.browser()

    prior = browser.get(viewer.address("followup")).json["prior"]

    head = viewer.case_id("head"), viewer.image_id("head")
    assert prior == {"out": "out", "case_id": head[0], "image_id": head[1], "days_before": 91}
    assert browser.get(viewer.address("head")).json["prior"] is None


def test_what_a_run_writes_while_the_viewer_is_open_appears(viewer: Viewer) -> None:
    browser = viewer.browser()
    before = browser.get("/api/worklist").json
    folder = viewer.phantoms.folder / "cases" / "case-0123456789abcde"
    report = json.loads((viewer.phantoms.case_folder("no_geometry") / "case.json").read_text())

    folder.mkdir()
    (folder / "case.json").write_text(json.dumps({**report, "case_id": folder.name}))
    viewer.desk.index.refresh(force=True)
    after = browser.get("/api/worklist").json

    assert after["counts"]["open"] == before["counts"]["open"] + 1
    assert after["version"] > before["version"]


def test_several_output_folders_are_one_worklist(serve: Serve, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from tests.phantoms import write_out

    first, second = write_out(tmp_path / "monday"), write_out(tmp_path / "tuesday")
    viewer = serve(first, [first.folder, second.folder])
    browser = viewer.browser()

    session = browser.get("/api/session").json
    monday = browser.get("/api/worklist?list=all&out=monday").json

    assert [out["id"] for out in session["outs"]] == ["monday", "tuesday"]
    assert monday["total"] == 7
    assert browser.get("/api/worklist?list=all").json["total"] == 14


def test_slices_are_drawn_with_the_overlay_where_it_belongs(viewer: Viewer) -> None:
    import io

    from PIL import Image

    browser, address = viewer.browser(), viewer.address("head")
    image = viewer.image_id("head")
    planes = browser.get(f"{address}/slices/{image}").json["planes"]
    bare = browser.get(f"{address}/slice/{image}/axial/11.png")
    drawn = browser.get(f"{address}/slice/{image}/axial/11.png?seg=brain_structures_segmentation&alpha=1")

    pictures = [np.asarray(Image.open(io.BytesIO(one.body)).convert("RGB")).astype(int) for one in (bare, drawn)]
    assert pictures[0].shape == (planes["axial"]["height_px"], planes["axial"]["width_px"], 3)
    assert planes["axial"]["letters"] == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    left = np.abs(pictures[1] - [0x33, 0x66, 0xFF]).sum(axis=2) < 6
    # Label 1 is where x < 0, the patient's left: on the right of the picture.
    assert left.sum() > 1000
    assert np.nonzero(left)[1].mean() > pictures[0].shape[1] / 2
