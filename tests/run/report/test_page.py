"""report.html: what stands on it, and what must not."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from diascope.run.record import write_cases
from diascope.run.report.page import render_report, write_report
from diascope.run.report.summary import read_cases, summarise
from diascope.run.tracking.pixels import without_pictures
from tests.run.finished import GLIOMA, RECORD, case_id, write_finished_run


class Page(HTMLParser):
    """Every address and every text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]
        if tag not in {"meta", "img", "link", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_tells_how_the_run_went(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path)

    page = Page(write_report(out, summarise(out, {"read": 3.25, "infer": 100.0})).read_text())

    assert page.open == []
    for fact in (
        "brain_mri: 5 cases",
        "no_geometry",
        "give a header",
        "slices 4 and 5 of 20 are 10.00 mm apart",
        "send the series again",
        "flair_glioma_segmentation drew nothing",
        "white matter",
        "402\N{NARROW NO-BREAK SPACE}000",
        "CC BY-NC-SA 4.0",
        "1 min 40 s",
        "Of 5 studies, 3 gave results",
        "not a medical device",
    ):
        assert fact in page.text, fact


def test_the_page_holds_everything_it_shows(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path)

    html = write_report(out, summarise(out)).read_text()

    page = Page(html)
    assert sum(address.startswith("data:image/jpeg;base64,") for address in page.addresses) == 3
    others = [address for address in page.addresses if not address.startswith("data:")]
    assert others == [f"cases/{case_id(number)}/preview.png" for number in (1, 2, 3)]
    assert "<script" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_a_network_for_research_only_is_marked_where_it_cannot_be_missed(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path / "with")
    without = write_finished_run(tmp_path / "without", record=replace(RECORD, bundles=RECORD.bundles[:1]))

    html = write_report(out, summarise(out)).read_text()

    assert html.count("RESEARCH ONLY</span>") == 2
    assert html.index("RESEARCH ONLY</span>") < html.index('class="counts"')
    assert GLIOMA.name in html[: html.index('class="counts"')]
    assert "RESEARCH ONLY" not in write_report(without, summarise(without)).read_text()


def test_what_came_from_files_cannot_become_markup(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path)
    out.rejects_csv.write_text(
        "file_id,kind,code,reason,cure\nfile-000000000000001,refused,x,<script>alert(1)</script>,<img src=x>\n"
    )

    html = write_report(out, summarise(out)).read_text()

    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "<img src=x>" not in html


def test_where_pixels_may_not_go_the_pictures_are_taken_out(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path)
    html = write_report(out, summarise(out)).read_text()

    bare = without_pictures(html)

    assert "data:image" in html
    assert "data:image" not in bare
    assert bare.count("The picture stays in the output folder.") == 3
    assert Page(bare).text.replace("The picture stays in the output folder.", "").split() == Page(html).text.split()


def test_settings_of_an_earlier_run_stand_below_those_of_this_one(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path)
    write_cases(out, [replace(row, settings="0123456789ab") for row in read_cases(out)])

    page = Page(write_report(out, summarise(out)).read_text()).text

    assert "of an earlier run, SHA-256 0123456789ab: 3 cases" in " ".join(page.split())


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path)

    assert write_report(out, summarise(out)).read_bytes() == write_report(out, summarise(out)).read_bytes()


def test_a_run_in_which_nothing_worked_has_a_report_too(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path, done=0)
    for table in (out.measurements_csv, out.rejects_csv):
        table.unlink()

    html = render_report(summarise(out), {})

    assert "<b>0</b>done" in html
    assert "<b>1</b>failed" in html
    assert re.search(r"<h2[^>]*>Measurements", html) is None


def test_numbers_are_written_for_people(tmp_path: Path) -> None:
    from diascope.run.report.page import _duration, _number

    assert [_number(value) for value in (None, 0.0, 0.123456, 999.94, 1_234_567.8)] == [
        "–",
        "0",
        "0.1235",
        "999.9",
        "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}568",
    ]
    assert [_duration(seconds) for seconds in (0.04, 59.9, 61, 3725)] == ["0.0 s", "59.9 s", "1 min 01 s", "1 h 02 min"]
