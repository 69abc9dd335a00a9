"""Every input file is in exactly one row, and names stay in private/."""

import csv
import dataclasses
import json
import stat
from pathlib import Path

import pytest

from diascope.errors import ConfigError, InputError
from diascope.findings import ImageFacts
from diascope.identity import IdentityKey
from diascope.io.outfolder import OutFolder
from diascope.io.private import (
    check_key,
    fates_after,
    read_identities,
    read_inputs,
    record_use,
    write_tables,
)
from diascope.io.selection import Choice
from diascope.io.series import CaseIdentity, Catalogue, FileRecord, Series

KEY = IdentityKey(bytes(range(32)))


def record(path: str, fate: str = "used", case: str = "", image: str = "", code: str = "") -> FileRecord:
    return FileRecord(
        path=path,
        file_id=KEY.file_id(path),
        fate=fate,  # type: ignore[arg-type]
        code=code,
        reason="why, in words" if code else "",
        cure="what to do" if code else "",
        case_id=case,
        image_id=image,
        size_bytes=132,
    )


def series(case: str, image: str) -> Series:
    return Series(case, image, "dicom", (Path("x"),), ImageFacts())


def identity(uid: str, name: str = "Meyer^Anna") -> CaseIdentity:
    return CaseIdentity(
        case_id=KEY.case_id(uid),
        patient_key=KEY.patient_key("17"),
        patient_id="17",
        patient_name=name,
        study_uid=uid,
        study_date="20260102",
    )


def catalogue(uid: str = "1.2.3.4.5") -> Catalogue:
    case = KEY.case_id(uid)
    return Catalogue(
        series=(series(case, f"img-{uid}-1"), series(case, f"img-{uid}-2")),
        refused=(),
        files=(
            record(f"/in/Meyer Anna/{uid}/a.dcm", case=case, image=f"img-{uid}-1"),
            record(f'/in/Meyer Anna/{uid}/b, "b"\n.dcm', case=case, image=f"img-{uid}-2"),
            record(f"/in/{uid}/readme.txt", "not_an_image", code="text"),
            record(f"/in/{uid}/\udcff.dcm", "refused", case, code="gap"),
            record(f"/in/{uid}/sr.dcm", "skipped", code="no_pixels"),
        ),
        identities=(identity(uid),),
    )


@pytest.fixture
def out(tmp_path: Path) -> OutFolder:
    folder = OutFolder(tmp_path / "out")
    folder.create()
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        return list(csv.DictReader(stream))


def test_every_file_is_in_exactly_one_row_and_comes_back_unchanged(out: OutFolder) -> None:
    found = catalogue()

    write_tables(out, found)

    assert read_inputs(out) == found.files
    assert read_identities(out) == found.identities


def test_rejects_name_files_by_their_id_and_leave_out_what_is_used(out: OutFolder) -> None:
    found = catalogue()

    write_tables(out, found)

    rejects = rows(out.rejects_csv)
    assert [row["kind"] for row in rejects] == ["not_an_image", "refused", "skipped"]
    assert [row["file_id"] for row in rejects] == [one.file_id for one in found.files[2:]]
    text = out.rejects_csv.read_text()
    assert "Meyer" not in text
    assert "1.2.3" not in text


def test_only_the_owner_can_read_the_private_tables(out: OutFolder) -> None:
    write_tables(out, catalogue())
    record_use(out, "whois", asked="case-1")

    files = sorted(out.private.iterdir())

    assert [path.name for path in files] == ["identity.csv", "inputs.csv", "uses.jsonl"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(out.private.stat().st_mode) == 0o700


def test_a_file_in_two_rows_is_told_and_nothing_is_written(out: OutFolder) -> None:
    found = catalogue()
    doubled = dataclasses.replace(found, files=(*found.files, found.files[0]))

    with pytest.raises(InputError, match="1 of 6 files are in two rows") as caught:
        write_tables(out, doubled)

    assert "Meyer" not in str(caught.value)
    assert not (out.private / "inputs.csv").exists()


def test_a_second_run_keeps_the_rows_of_cases_it_did_not_see(out: OutFolder) -> None:
    write_tables(out, catalogue("1.2.3.4.5"))
    write_tables(out, catalogue("9.8.7.6.5"))

    paths = [row.path for row in read_inputs(out)]

    assert len(paths) == len(set(paths))
    assert sum("1.2.3.4.5" in path for path in paths) == 3, "the two images and the refused file of the first case"
    assert sum("9.8.7.6.5" in path for path in paths) == 5
    assert len(read_identities(out)) == 2


def test_the_same_run_again_leaves_the_same_tables(out: OutFolder) -> None:
    write_tables(out, catalogue())
    before = {path.name: path.read_bytes() for path in out.private.iterdir()}

    write_tables(out, catalogue())

    assert {path.name: path.read_bytes() for path in out.private.iterdir()} == before


def test_files_of_images_that_no_network_got_are_not_selected_with_the_reason() -> None:
    found = catalogue()
    first, second = found.series
    choices = [
        Choice("brain", (first,), ((second.image_id, "thinner slices preferred: 5.0 mm instead of 1.0 mm"),)),
        Choice("flair", (), ((first.image_id, "modality is CT, asked for: MR"), (second.image_id, "no"))),
    ]

    fates = fates_after(found, choices)

    assert [row.fate for row in fates] == ["used", "not_selected", "not_an_image", "refused", "skipped"]
    assert fates[1].reason == "brain: thinner slices preferred: 5.0 mm instead of 1.0 mm; flair: no"


def test_another_key_is_refused() -> None:
    check_key([identity("1.2.3.4.5")], KEY)

    with pytest.raises(ConfigError, match="another key"):
        check_key([identity("1.2.3.4.5")], IdentityKey(bytes(32)))


def test_every_use_of_the_key_is_a_line(out: OutFolder) -> None:
    record_use(out, "whois", asked="case-1", found=1)
    record_use(out, "pseudonymise", rows=12)

    lines = [json.loads(line) for line in (out.private / "uses.jsonl").read_text().splitlines()]

    assert [line["command"] for line in lines] == ["whois", "pseudonymise"]
    assert lines[0]["asked"] == "case-1"
    assert all(line["at"] and line["user"] for line in lines)


def test_a_table_of_another_version_is_refused(out: OutFolder) -> None:
    (out.private / "inputs.csv").write_text("path,fate\n/a,used\n")

    with pytest.raises(InputError, match=r"inputs\.csv has not the columns"):
        read_inputs(out)
