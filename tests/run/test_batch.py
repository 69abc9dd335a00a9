"""A run over many cases: accounting, resume, and no bad case that kills the others."""

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from diascope.errors import ConfigError, InputError, OutputError
from diascope.findings import read_report
from diascope.identity import IdentityKey
from diascope.io.outfolder import OutFolder
from diascope.io.write_nifti import write_volume
from diascope.run import case
from diascope.run.batch import BatchOrder, Books, run_batch
from diascope.run.found import found_in
from diascope.run.record import CaseRow, RunRecord, read_record
from diascope.run.request import make_request, run_config
from diascope.run.session import make_order, new_record
from diascope.tasks.device import Device
from diascope.volume import Volume
from tests.phantom_volumes import asymmetric_head, oblique_grid
from tests.tiny_bundle import write_tiny_bundle

KEY = IdentityKey(bytes(range(32)))
CPU = Device("cpu", "cpu, for a test")


class Remembering:
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def started(self, record: RunRecord) -> str:
        self.told.append("started")
        return "tracking-run-1"

    def case_ended(self, row: CaseRow, stage_seconds: Mapping[str, float]) -> None:
        self.told.append(f"{row.status} {sorted(stage_seconds)}")

    def ended(self, record: RunRecord, books: Books) -> None:
        self.told.append(f"ended with {len(books.rows)}")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_bundle(folder)
    return folder


def scans(folder: Path, n: int = 2) -> Path:
    """Write n small heads, each a little different, a corrupt image and a text."""
    folder.mkdir()
    for at in range(n):
        head = asymmetric_head(oblique_grid((20, 22, 12), (8.0, 9.0, 12.0), (9.0, -4.0, 6.0), (2.0 + at, -9.0, 12.0)))
        write_volume(folder / f"head{at}.nii.gz", head.volume)
    return folder


def order_in(tmp_path: Path, models: Path, inputs: Path, *settings: str) -> BatchOrder:
    config, name = run_config(None, "tiny_bright", [f"models.dir={models}", *settings])
    request = make_request([inputs], config, name)
    out = OutFolder(tmp_path / "out")
    out.create()
    with found_in(request.inputs, request.config.ingest, KEY, out.private) as found:
        return make_order(request, found, KEY, out, CPU)


def run_all(order: BatchOrder) -> tuple[list[CaseRow], Books, list[str]]:
    listener, books = Remembering(), Books()
    rows = list(run_batch(order, listener, books))
    return rows, books, listener.told


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_good_cases_are_done_beside_a_corrupt_image_and_every_file_is_accounted_for(
    tmp_path: Path, models: Path
) -> None:
    inputs = scans(tmp_path / "scans")
    whole = (inputs / "head0.nii.gz").read_bytes()
    (inputs / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (inputs / "readme.txt").write_text("no image")

    rows, _, told = run_all(order_in(tmp_path, models, inputs))

    assert sorted(row.status for row in rows) == ["done", "done", "failed"]
    out = tmp_path / "out"
    accounted = {Path(row["path"]).name: row["fate"] for row in table(out / "private" / "inputs.csv")}
    assert accounted.keys() == {"head0.nii.gz", "head1.nii.gz", "cut.nii.gz", "readme.txt"}
    assert accounted["readme.txt"] == "not_an_image"
    assert [row["status"] for row in table(out / "cases.csv")].count("done") == 2
    assert {row["case_id"] for row in table(out / "measurements.csv")} == {
        row.case_id for row in rows if row.status == "done"
    }
    assert told[0] == "started"
    assert told[-1] == "ended with 3"
    assert (record := read_record(OutFolder(out))) is not None
    assert record.tracking_run == "tracking-run-1"
    assert record.finished
    (failed,) = [row for row in rows if row.status == "failed"]
    assert read_report(out / "cases" / failed.case_id / "case.json").failure is not None


def test_the_same_command_again_does_nothing_twice(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = scans(tmp_path / "scans")
    run_all(order_in(tmp_path, models, inputs))
    before = (tmp_path / "out" / "measurements.csv").read_bytes()

    def refuse(_job: object) -> None:
        raise AssertionError("a case that is done was read again")

    monkeypatch.setattr("diascope.run.local.read", refuse)
    rows, books, _ = run_all(order_in(tmp_path, models, inputs))

    assert books.resumed == 2
    assert {row.status for row in rows} == {"done"}
    assert (tmp_path / "out" / "measurements.csv").read_bytes() == before


def test_after_an_interruption_only_the_rest_is_done(tmp_path: Path, models: Path) -> None:
    inputs = scans(tmp_path / "scans", 3)
    interrupted = run_batch(order_in(tmp_path, models, inputs), Remembering(), Books())
    first = next(interrupted)
    interrupted.close()  # what Ctrl-C does to a generator

    rows, books, _ = run_all(order_in(tmp_path, models, inputs))

    assert 1 <= books.resumed <= 2
    assert first.case_id in {row.case_id for row in rows}
    assert [row.status for row in rows] == ["done"] * 3


@pytest.mark.parametrize("what", ["changed scan", "altered result", "other setting"])
def test_what_changed_is_done_again(tmp_path: Path, models: Path, what: str) -> None:
    inputs = scans(tmp_path / "scans", 1)
    rows, _, _ = run_all(order_in(tmp_path, models, inputs))
    settings = ["precision=bfloat16"] if what == "other setting" else []
    if what == "changed scan":
        scans(tmp_path / "again", 2)
        (tmp_path / "again" / "head1.nii.gz").replace(inputs / "head0.nii.gz")
    if what == "altered result":
        (tmp_path / "out" / "cases" / rows[0].case_id / "tiny_bright.seg.nii.gz").write_bytes(b"not what was written")

    _, books, _ = run_all(order_in(tmp_path, models, inputs, *settings))

    assert books.resumed == 0


def test_a_bug_in_one_case_is_that_case_s_failure(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = scans(tmp_path / "scans", 3)
    seen: list[str] = []

    def sometimes(volume: Volume) -> Volume:
        seen.append(volume.image_id)
        if len(seen) == 2:
            raise ZeroDivisionError("a bug")
        return volume

    monkeypatch.setattr(case, "straighten", sometimes)
    rows, _, _ = run_all(order_in(tmp_path, models, inputs))

    assert sorted(row.status for row in rows) == ["done", "done", "failed"]
    assert [row.code for row in rows if row.status == "failed"] == ["bug"]


def test_a_full_disk_stops_the_batch_and_leaves_nothing_half_written(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = scans(tmp_path / "scans", 3)
    order = order_in(tmp_path, models, inputs)
    written: list[Path] = []

    def fill_up(path: Path, mask: object) -> None:
        written.append(path)
        if len(written) == 2:
            path.write_bytes(b"half a ma")
            raise OSError(28, "No space left on device")
        path.write_bytes(b"a mask")

    monkeypatch.setattr(case, "write_mask", fill_up)
    with pytest.raises(OutputError, match="the disk is full"):
        run_all(order)

    assert len(list((tmp_path / "out" / "cases").iterdir())) == 1
    assert len(table(tmp_path / "out" / "cases.csv")) == 1


def test_a_folder_made_with_another_key_is_refused(tmp_path: Path, models: Path) -> None:
    inputs = scans(tmp_path / "scans", 1)
    run_all(order_in(tmp_path, models, inputs))
    config, name = run_config(None, "tiny_bright", [f"models.dir={models}"])
    request = make_request([inputs], config, name)
    other = IdentityKey(bytes(range(1, 33)))

    with (
        found_in(request.inputs, request.config.ingest, other) as found,
        pytest.raises(ConfigError, match="made with the key"),
    ):
        make_order(request, found, other, OutFolder(tmp_path / "out"), CPU)


def test_results_that_the_disk_cannot_hold_are_refused_before_the_first_case(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = scans(tmp_path / "scans", 1)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 1000})())

    with pytest.raises(OutputError, match=r"need about 0\.0 GB, the disk of the output folder has 0\.0 GB free"):
        order_in(tmp_path, models, inputs)


def test_an_empty_folder_and_a_folder_without_images_are_told_apart(tmp_path: Path, models: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "readme.txt").write_text("no image")

    with pytest.raises(InputError, match="the inputs hold no file"):
        order_in(tmp_path, models, tmp_path / "empty")
    with pytest.raises(InputError, match="none of 1 files is an image"):
        order_in(tmp_path, models, tmp_path / "texts")


def test_a_study_that_fits_no_network_is_nothing_to_do_with_the_reason(tmp_path: Path, models: Path) -> None:
    inputs = scans(tmp_path / "scans", 1)

    rows, _, _ = run_all(order_in(tmp_path, models, inputs, "bundles.0.select.slices={min: 100}"))

    assert [row.status for row in rows] == ["nothing_to_do"]
    assert "12" in rows[0].reason
    report = read_report(tmp_path / "out" / "cases" / rows[0].case_id / "case.json")
    assert report.images[0].not_chosen[0].startswith("tiny_bright: ")


def test_measurements_are_the_same_in_the_table_and_in_the_report(tmp_path: Path, models: Path) -> None:
    inputs = scans(tmp_path / "scans", 1)
    rows, _, _ = run_all(order_in(tmp_path, models, inputs))

    report = read_report(tmp_path / "out" / "cases" / rows[0].case_id / "case.json")
    in_table = [float(row["value"]) for row in table(tmp_path / "out" / "measurements.csv") if row["value"]]
    in_report = [number.value for number in report.measurements or () if number.value is not None]
    assert in_table == pytest.approx(in_report)
    assert np.isfinite(in_table).all()


def test_a_second_run_of_an_archive_finds_its_cases_done(tmp_path: Path, models: Path) -> None:
    folder = scans(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)

    resumed = []
    for _ in range(2):
        config, name = run_config(None, "tiny_bright", [f"models.dir={models}"])
        request = make_request([tmp_path / "in.zip"], config, name)
        out = OutFolder(tmp_path / "out")
        out.create()
        with found_in(request.inputs, request.config.ingest, KEY, out.private) as found:
            rows, books, _ = run_all(make_order(request, found, KEY, out, CPU))
        assert [row.status for row in rows] == ["done", "done"]
        resumed.append(books.resumed)

    assert resumed == [0, 2]


@pytest.mark.parametrize(
    ("error", "code"), [(FileNotFoundError(2, "No such file"), "system"), (MemoryError(), "out_of_memory")]
)
def test_what_the_machine_refuses_is_no_fault_of_the_program(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def refused(_volume: Volume) -> Volume:
        raise error

    inputs = scans(tmp_path / "scans", 1)
    monkeypatch.setattr(case, "straighten", refused)

    rows, _, _ = run_all(order_in(tmp_path, models, inputs))

    assert [(row.status, row.code) for row in rows] == [("failed", code)]


def test_a_bundle_that_is_named_by_its_path_is_recorded_by_its_name(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "of_meyer_anna")
    config, name = run_config(None, str(folder), [])

    record = new_record(config, KEY, command="run", config_name=name, inputs=1)

    assert record.config["bundles"][0]["name"] == "tiny_bright"
    assert "meyer" not in str(record)


def test_a_network_that_is_named_twice_is_refused(tmp_path: Path, models: Path) -> None:
    inputs = scans(tmp_path / "scans", 1)

    with pytest.raises(ConfigError, match="tiny_bright is named twice"):
        order_in(tmp_path, models, inputs, "bundles=[{name: tiny_bright}, {name: tiny_bright}]")


def test_cases_of_an_earlier_run_stay_in_the_tables_of_a_run_on_other_scans(tmp_path: Path, models: Path) -> None:
    first, _, _ = run_all(order_in(tmp_path, models, scans(tmp_path / "monday", 1)))
    second, _, _ = run_all(order_in(tmp_path, models, scans(tmp_path / "tuesday", 1)))

    ids = {row.case_id for row in (*first, *second)}
    assert len(ids) == 2
    assert {row["case_id"] for row in table(tmp_path / "out" / "cases.csv")} == ids
    assert {row["case_id"] for row in table(tmp_path / "out" / "measurements.csv")} == ids


def test_a_run_that_was_interrupted_is_not_called_finished(tmp_path: Path, models: Path) -> None:
    interrupted = run_batch(order_in(tmp_path, models, scans(tmp_path / "scans", 2)), Remembering(), Books())
    next(interrupted)
    interrupted.close()

    assert (record := read_record(OutFolder(tmp_path / "out"))) is not None
    assert record.started
    assert not record.finished


def test_results_of_another_network_are_not_replaced(tmp_path: Path, models: Path) -> None:
    inputs = scans(tmp_path / "scans", 1)
    run_all(order_in(tmp_path, models, inputs))
    write_tiny_bundle(tmp_path / "others", "tiny_other")
    config, name = run_config(None, "tiny_other", [f"models.dir={tmp_path / 'others'}"])
    request = make_request([inputs], config, name)

    with (
        found_in(request.inputs, request.config.ingest, KEY) as found,
        pytest.raises(ConfigError, match="holds results of tiny_bright"),
    ):
        make_order(request, found, KEY, OutFolder(tmp_path / "out"), CPU)
