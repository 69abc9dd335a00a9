"""Links from MLflow's page of a run to the viewer."""

import re

import pytest

from diascope.io.outfolder import OutFolder
from diascope.run.report.case_address import case_path
from diascope.run.report.summary import summarise
from diascope.run.report.viewer_links import MOST_CHARACTERS, links_note
from diascope.run.tracking.settings import TrackingSettings
from tests.phantoms import Phantoms, write_out


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    return write_out(tmp_path_factory.mktemp("DOE^JANE") / "DOE^JANE")


def note(phantoms: Phantoms, viewer_url: str = "") -> str:
    out = OutFolder(phantoms.folder)
    return links_note(out, summarise(out, {}, {}), viewer_url)


def test_every_case_that_is_done_is_linked_with_its_findings_and_its_highest_slice(phantoms: Phantoms) -> None:
    text = note(phantoms, "https://reading.example/diascope/")

    done = [one for one in phantoms.reports.values() if one.status == "done"]
    links = re.findall(r"\[([^\]]+)\]\((\S+)\)", text)
    assert ("worklist", "https://reading.example/diascope/#/worklist") in links
    for report in done:
        assert (report.case_id, f"https://reading.example/diascope/#/case/-/{report.case_id}") in links
    head = phantoms.reports["head"]
    of_head = [url for _, url in links if head.case_id in url]
    image_id = head.images[0].image_id
    assert of_head[2].endswith("?finding=flair_glioma_detection-2")
    shape = head.images[0].shape
    assert shape is not None
    best = max(head.predictions or (), key=lambda one: one.score)
    assert f"?image={image_id}&i={shape[0] // 2}&j={shape[1] // 2}&k={best.slice_k}" in of_head[3]
    assert not any(phantoms.reports[role].case_id in text for role in ("failed", "nothing_to_do"))


def test_what_is_to_be_reviewed_first_stands_first_with_its_reason(phantoms: Phantoms) -> None:
    lines = [line for line in note(phantoms, "http://127.0.0.1:8765").splitlines() if line.startswith("* ")]

    first = {phantoms.reports[role].case_id for role in ("followup", "radiograph")}
    assert {line.split("]")[0].removeprefix("* [") for line in lines[:2]} == first
    assert any(line.endswith("(confidence 0.41 is below 0.5)") for line in lines[:2])


def test_without_an_address_the_paths_are_told_and_no_folder_is_named(phantoms: Phantoms) -> None:
    text = note(phantoms)

    assert f"`#/case/-/{phantoms.reports['head'].case_id}`" in text
    assert "](" not in text
    assert "DOE" not in text


def test_what_does_not_fit_is_counted(phantoms: Phantoms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diascope.run.report.viewer_links.MOST_CHARACTERS", 400)

    text = note(phantoms)

    lines = [line for line in text.splitlines() if line.startswith("* ")]
    assert lines[-1] == f"* and {5 - (len(lines) - 1)} more, in the worklist"
    assert len(note(phantoms, "http://" + "a" * 60)) < MOST_CHARACTERS + 300


def test_a_label_cannot_break_out_of_its_address() -> None:
    assert case_path("case-1", finding="a b&c=#/..") == "#/case/-/case-1?finding=a%20b%26c%3D%23%2F.."


@pytest.mark.parametrize("address", ["javascript:alert(1)", "http://user:secret@host", "https://host/#/x", "host"])
def test_an_address_that_is_none_or_holds_a_password_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="viewer_url"):
        TrackingSettings(viewer_url=address)
