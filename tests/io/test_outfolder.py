"""Files and folders that are there whole, or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from diascope.errors import OutputError
from diascope.io.outfolder import OutFolder, folder_in_the_making, output_errors, write_atomic


def test_a_new_folder_keeps_identities_to_its_owner(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "deep" / "out")

    out.create()

    assert stat.S_IMODE(out.private.stat().st_mode) == 0o700
    assert out.cases.is_dir()


def test_what_an_interrupted_run_left_half_written_is_dropped_and_results_stay(tmp_path: Path) -> None:
    out = OutFolder(tmp_path)
    out.create()
    (out.cases / ".case-1.ab12.part").mkdir()
    (out.root / ".cases.csv.ab12.part").write_text("half")
    (out.case("case-2")).mkdir()

    out.create()

    assert sorted(path.name for path in out.cases.iterdir()) == ["case-2"]
    assert not (out.root / ".cases.csv.ab12.part").exists()


def test_a_file_is_replaced_only_when_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "run.json"
    write_atomic(file, "old")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"the disk is full: cannot write run\.json") as caught:
        write_atomic(file, "new")

    assert caught.value.code == "disk_full"
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_case_folder_appears_only_when_all_went_well(tmp_path: Path) -> None:
    def write_half() -> None:
        with folder_in_the_making(tmp_path / "case-1") as folder:
            (folder / "case.json").write_text("{}")
            raise RuntimeError("a bug in the middle")

    with pytest.raises(RuntimeError):
        write_half()

    assert list(tmp_path.iterdir()) == []


def test_doing_a_case_again_replaces_its_results_and_keeps_the_reviewers_work(tmp_path: Path) -> None:
    case = tmp_path / "case-1"
    (case / "corrections").mkdir(parents=True)
    (case / "corrections" / "one.nii.gz").write_text("a reviewer's hour")
    (case / "old.seg.nii.gz").write_text("old")

    with folder_in_the_making(case) as folder:
        (folder / "new.seg.nii.gz").write_text("new")

    assert sorted(path.name for path in case.iterdir()) == ["corrections", "new.seg.nii.gz"]
    assert (case / "corrections" / "one.nii.gz").read_text() == "a reviewer's hour"
    assert [path.name for path in tmp_path.iterdir()] == ["case-1"]


@pytest.mark.parametrize(
    ("code", "words"), [(errno.EROFS, "not allowed"), (errno.EACCES, "not allowed"), (errno.EDQUOT, "disk is full")]
)
def test_the_system_s_refusals_are_told_with_a_cure(code: int, words: str) -> None:
    with pytest.raises(OutputError, match=words) as caught, output_errors("cases.csv"):
        raise OSError(code, os.strerror(code))

    assert caught.value.hint


def test_an_output_folder_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError):
        OutFolder(tmp_path / "file" / "out").create()


def test_a_reviewers_work_survives_a_power_cut_while_its_case_is_replaced(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out")
    out.create()
    old = out.cases / ".case-1.old" / "corrections"
    old.mkdir(parents=True)
    (old / "one.nii.gz").write_text("a reviewer's hour")
    (out.cases / ".case-1.abcd.part").mkdir()
    (out.cases / ".case-2.old").mkdir()
    out.case("case-2").mkdir()

    out.create()

    assert sorted(path.name for path in out.cases.iterdir()) == ["case-1", "case-2"]
    assert (out.case("case-1") / "corrections" / "one.nii.gz").read_text() == "a reviewer's hour"


def test_a_second_run_is_kept_out_until_the_first_has_ended(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out")

    with out.claimed():
        (out.cases / ".case-1.ab12.part").mkdir()
        with pytest.raises(OutputError, match="another run is writing"), OutFolder(out.root).claimed():
            pass
        assert (out.cases / ".case-1.ab12.part").exists()
    with out.claimed():
        assert list(out.cases.iterdir()) == []


def test_an_earlier_result_that_is_kept_lies_in_the_history_with_what_was_there(tmp_path: Path) -> None:
    final = tmp_path / "case-1"
    (final / "history" / "older").mkdir(parents=True)
    (final / "corrections").mkdir()
    (final / "corrections" / "mask").write_text("a reviewer's")
    (final / "images").mkdir()
    (final / "images" / "image").write_bytes(b"voxels")
    (final / "case.json").write_text("good")

    with folder_in_the_making(final, keep_earlier=True) as folder:
        (folder / "case.json").write_text("failed")

    # `printf good | sha256sum` begins so.
    kept = final / "history" / "770e607624d6"
    found = {path.relative_to(final).as_posix() for path in final.rglob("*") if path.is_file()}
    assert found == {
        "case.json",
        "corrections/mask",
        "history/770e607624d6/case.json",
        "history/770e607624d6/images/image",
    }
    assert (kept / "case.json").read_text() == "good"
    assert (final / "case.json").read_text() == "failed"
    assert (final / "history" / "older").is_dir()


def test_a_file_system_without_links_keeps_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_source: object, _target: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    final = tmp_path / "case-1"
    final.mkdir()
    (final / "case.json").write_text("good")

    with folder_in_the_making(final, keep_earlier=True) as folder:
        (folder / "case.json").write_text("failed")

    assert [path.read_text() for path in final.glob("history/*/case.json")] == ["good"]


def test_a_new_folder_goes_again_when_nothing_came_of_it_and_one_with_results_stays(tmp_path: Path) -> None:
    new, used = OutFolder(tmp_path / "new"), OutFolder(tmp_path / "used")

    with pytest.raises(ZeroDivisionError), new.claimed():
        raise ZeroDivisionError
    with used.claimed():
        used.rejects_csv.write_text("file_id")
    with pytest.raises(ZeroDivisionError), used.claimed():
        raise ZeroDivisionError

    assert not new.root.exists()
    assert used.rejects_csv.is_file()
