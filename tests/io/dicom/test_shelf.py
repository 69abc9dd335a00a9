"""Many headers are put away on disk, and a scan finds the same as with few."""

from pathlib import Path

import pytest

from diascope.io.dicom import shelf
from diascope.io.dicom.headers import Common, Frame, Header, Layout
from diascope.io.dicom.shelf import HeaderShelf
from diascope.io.reader import FoundFile
from tests.io.dicom_phantoms import Phantom, save, slice_of, write_series
from tests.io.reading import read


def header(number: int) -> Header:
    return Header(
        file=FoundFile(Path(f"/in/{number}"), f"/in/{number}", 1, 0),
        common=Common(study_uid="1.2", series_uid=f"1.2.{number // 3}"),
        layout=Layout(7, 5, bits_stored=12),
        frames=(Frame(position_lps_mm=(1.0, 2.0, float(number)), slope=0.5),),
        sop_uid=f"1.2.3.{number}",
        instance=number,
        notes=("a note",),
    )


@pytest.mark.parametrize("expected", [1, 100])
def test_headers_come_back_as_they_were_in_any_order(monkeypatch: pytest.MonkeyPatch, expected: int) -> None:
    monkeypatch.setattr(shelf, "MOST_IN_MEMORY", 50)
    every = [header(number) for number in range(9)]

    with HeaderShelf(expected) as kept:
        for one in every:
            kept.put(one)

        assert kept.take([8, 0, 4]) == [every[8], every[0], every[4]]
        assert kept.take(range(9)) == every
        assert kept.commons == [one.common for one in every]


def test_what_headers_share_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "MOST_IN_MEMORY", 0)

    with HeaderShelf(9) as kept:
        for number in (0, 1, 3, 4, 2):
            kept.put(header(number))

        assert len({id(common) for common in kept.commons}) == 2
        assert len({id(one.layout) for one in kept.take(range(5))}) == 1


def test_a_scan_of_many_files_finds_what_a_scan_of_few_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "in" / "a", Phantom(name="one"))
    write_series(tmp_path / "in" / "b", Phantom(name="other", origin_lps_mm=(5.0, 6.0, 7.0)))
    stranger = slice_of(Phantom(name="third"), 0)
    stranger.PatientID = "another patient in the same study"
    save(stranger, tmp_path / "in" / "c")
    few = read(tmp_path / "in", processes=1)
    monkeypatch.setattr(shelf, "MOST_IN_MEMORY", 3)

    many = read(tmp_path / "in", processes=1)

    assert len(few.cases()) == 2
    assert repr(many) == repr(few)
