import csv
from pathlib import Path

import pytest

from diascope.evaluation.proportions import wilson
from diascope.explain.checks import QUESTIONS
from diascope.findings import Check, HeatmapRecord, Trust
from diascope.io.outfolder import OutFolder
from diascope.run.report.heatmap_table import CHECKS, COLUMNS, read_heatmaps, sum_up, write_heatmaps


def record(trust: Trust, *checks: Check, target: str = "tumour", evidence: bool = True) -> HeatmapRecord:
    return HeatmapRecord(
        "glioma", "img-1", target, "hires_cam", "f.nii.gz", (-0.5, 2.0), evidence, trust, "why", checks
    )


def hits(value: float) -> Check:
    return Check("depends_on_weights", value < 0.5, value, "similarity")


def written(tmp_path: Path, *records: HeatmapRecord) -> OutFolder:
    out = OutFolder(tmp_path)
    write_heatmaps(out, [(f"case-{n}", one) for n, one in enumerate(records)])
    return out


def rows(out: OutFolder) -> list[dict[str, str]]:
    with out.heatmaps_csv.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_map_that_was_not_asked_has_the_rate_of_the_batch_beside_it(tmp_path: Path) -> None:
    out = written(tmp_path, record("supported", hits(0.1)), record("unsupported", hits(0.9)), record("unchecked"))

    (_, _, unchecked) = rows(out)
    assert unchecked["trust"] == "unchecked"
    assert (unchecked["batch_checked"], unchecked["batch_supported"]) == ("2", "1")
    assert unchecked["depends_on_weights"] == ""
    assert (unchecked["lowest"], unchecked["highest"]) == ("-0.5", "2")


def test_rates_and_means_are_those_of_the_maps_that_were_asked(tmp_path: Path) -> None:
    out = written(
        tmp_path,
        record("supported", hits(0.1)),
        record("supported", hits(0.2)),
        record("doubtful", hits(0.6)),
        record("unchecked", evidence=False),
        record("unchecked", target="oedema"),
    )

    tumour, oedema = sum_up(read_heatmaps(out))

    assert (tumour.maps, tumour.checked, tumour.without_evidence) == (4, 3, 1)
    assert tumour.supported == pytest.approx(2 / 3)
    assert (tumour.low, tumour.high) == pytest.approx(wilson(2 / 3, 3))
    assert tumour.means == {"depends_on_weights": pytest.approx(0.3)}
    assert (oedema.supported, oedema.low, oedema.high) == (None, None, None)


def test_a_check_without_a_number_keeps_its_answer(tmp_path: Path) -> None:
    locked = Check("weights_as_locked", True, None, "the weights are the locked ones")

    (row,) = rows(written(tmp_path, record("unchecked", locked)))

    assert row["weights_as_locked"] == "true"
    assert read_heatmaps(OutFolder(tmp_path))[0].numbers == {}


def test_every_question_has_its_column_and_every_map_its_reason(tmp_path: Path) -> None:
    (row,) = rows(written(tmp_path, record("unchecked")))

    assert {name for names in QUESTIONS.values() for name in names} <= CHECKS.keys()
    assert tuple(row) == COLUMNS
    assert row["reason"] == "why"


def test_a_batch_without_maps_leaves_no_table_of_an_earlier_one(tmp_path: Path) -> None:
    out = written(tmp_path, record("unchecked"))

    write_heatmaps(out, [])

    assert not out.heatmaps_csv.exists()
    assert read_heatmaps(out) == ()
