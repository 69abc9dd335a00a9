"""Do heatmaps lie on the truth: maps whose place is known, from files to the column that the audit reads."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diascope.cli.evaluate import evaluation_text
from diascope.evaluation.evaluate import as_json, evaluate, scalars, write_evaluation
from diascope.evaluation.heatmap_hits import heatmap_hits, hit_rates
from diascope.evaluation.proportions import wilson
from diascope.evaluation.settings import EvaluationSettings
from diascope.findings import Finding, HeatmapRecord, read_report
from diascope.geometry import Grid, IndexGrid, Space
from diascope.io.outfolder import OutFolder
from diascope.io.write_nifti import write_heatmap
from diascope.volume import Heatmap, Mask
from tests.evaluation.outputs import GRID, map_of, write_case, write_truth

TUMOUR = (1, (1, 1, 1), (4, 4, 3))
TRUTH = Mask(map_of(TUMOUR), GRID, {1: "tumour"})


def add_heatmap(
    out: OutFolder,
    case_id: str,
    hot: tuple[int, int, int],
    space: Space = GRID,
    *,
    evidence: bool = True,
    number: int = 0,
) -> None:
    """Write a map of whole voxels with one hot one beside a case that is there."""
    folder, file = out.case(case_id), f"net.heatmap.tumour-{number}.nii.gz"
    data = np.full(space.shape, 0.0, np.float32)
    data[:, :, 1:4] = 0.1
    data[hot] = 5
    write_heatmap(folder / file, Heatmap(data if evidence else -data, space, "tumour", "hires_cam"))
    report = read_report(folder / "case.json")
    raw_range = (0.0, 5.0) if evidence else (-5.0, 0.0)
    record = HeatmapRecord(
        "net", f"img-{case_id}", "tumour", "hires_cam", file, raw_range, evidence, "supported", "why", ()
    )
    (folder / "case.json").write_text(replace(report, heatmaps=(*(report.heatmaps or ()), record)).to_json())


@pytest.fixture
def out(tmp_path: Path) -> OutFolder:
    folder = OutFolder(tmp_path / "out")
    folder.create()
    return folder


def hits(out: OutFolder, case_id: str = "c0", truth: Mask = TRUTH) -> list[bool]:
    report = read_report(out.case(case_id) / "case.json")
    return [one.where.hit for one in heatmap_hits(out.case(case_id), report, f"img-{case_id}", truth, {})]


def test_a_map_hits_where_its_highest_place_lies_in_the_truth_of_its_label(out: OutFolder) -> None:
    for case_id, hot in (("c0", (2, 3, 2)), ("c1", (7, 8, 2))):
        write_case(out, case_id, map_of(TUMOUR))
        add_heatmap(out, case_id, hot)

    assert hits(out, "c0") == [True]
    assert hits(out, "c1") == [False]
    assert hits(out, "c0", Mask(TRUTH.data, GRID, {1: "edema"})) == []


def test_a_coarse_map_lies_where_its_affine_says_also_on_a_grid_that_runs_the_other_way(out: OutFolder) -> None:
    write_case(out, "c0", map_of(TUMOUR))
    # Four cells along i for nine voxels, and its i runs against the image's.
    coarse = GRID.affine @ np.array([[-2.0, 0, 0, 7], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    add_heatmap(out, "c0", (2, 3, 2), Grid((4, 11, 7), coarse))

    report = read_report(out.case("c0") / "case.json")
    (one,) = heatmap_hits(out.case("c0"), report, "img-c0", TRUTH, {})

    assert one.where.hit
    assert one.where.energy_inside > 0.2
    assert one.truth_mm3 == pytest.approx(4 * 4 * 3 * 0.7 * 0.8 * 2.5)


def test_only_the_slices_that_were_explained_are_compared(out: OutFolder) -> None:
    write_case(out, "c0", map_of(TUMOUR))
    add_heatmap(out, "c0", (2, 3, 2))
    other_slices = Mask(map_of((1, (1, 1, 5), (4, 4, 2))), GRID, {1: "tumour"})

    report = read_report(out.case("c0") / "case.json")
    (one,) = heatmap_hits(out.case("c0"), report, "img-c0", TRUTH, {})

    assert one.where.prevalence == pytest.approx(16 / 99)
    assert hits(out, "c0", other_slices) == [False]


def test_a_map_without_positive_evidence_hits_nothing(out: OutFolder) -> None:
    write_case(out, "c0", map_of(TUMOUR))
    add_heatmap(out, "c0", (2, 3, 2), evidence=False)

    assert hits(out) == [False]


def test_off_a_grid_the_map_tiles_the_image(out: OutFolder) -> None:
    space = IndexGrid(GRID.shape)
    write_case(out, "c0", map_of(TUMOUR), space=space)
    add_heatmap(out, "c0", (2, 3, 2), space)

    assert hits(out, "c0", Mask(TRUTH.data, space, {1: "tumour"})) == [True]


def test_a_healthy_case_gives_no_row(out: OutFolder) -> None:
    write_case(out, "c0", map_of(TUMOUR))
    add_heatmap(out, "c0", (2, 3, 2))

    assert hits(out, "c0", Mask(map_of(), GRID, {1: "tumour"})) == []


def test_evaluate_writes_the_column_that_the_audit_reads_and_the_rate_with_its_interval(
    out: OutFolder, tmp_path: Path
) -> None:
    places = [(2, 3, 2), (7, 8, 2), (3, 2, 3), None]
    for n, hot in enumerate(places):
        write_case(out, f"c{n}", map_of(TUMOUR), patient=f"p{n}", scores={"tumour": 0.7})
        if hot is not None:
            add_heatmap(out, f"c{n}", hot)
    add_heatmap(out, "c1", (2, 2, 2), number=1)  # of another finding: one of two hits
    rows = [{"case": f"c{n}", "truth": map_of(TUMOUR), "label": "tumour"} for n in range(4)]
    classes = [{"case": f"c{n}", "target": "tumour", "positive": 1} for n in range(4)]

    found = evaluate(out, write_truth(tmp_path / "truth", [*rows, *classes]), EvaluationSettings(rounds=20))
    write_evaluation(found, tmp_path / "evaluation")

    for name in ("segmentation", "classification"):
        with (tmp_path / "evaluation" / f"{name}.csv").open() as file:
            column = {row["case_id"]: row["heatmap_hit"] for row in csv.DictReader(file)}
        assert column == {"c0": "1", "c1": "1", "c2": "1", "c3": ""}
    with (tmp_path / "evaluation" / "heatmaps.csv").open() as file:
        maps = list(csv.DictReader(file))
    assert [row["hit"] for row in maps] == ["1", "0", "1", "1"]
    assert {row["truth_mm3"] for row in maps} == {maps[0]["truth_mm3"]}
    assert maps[0]["manufacturer"] == "SIEMENS"
    assert scalars(found)["net.tumour.heatmap_hit_rate.hires_cam"] == 0.75
    (rate,) = as_json(found)["heatmaps"]
    assert (rate["maps"], rate["hits"]) == (4, 3)
    assert (rate["low"], rate["high"]) == pytest.approx(wilson(0.75, 4))


def test_rates_are_told_apart_by_network_label_and_method(out: OutFolder) -> None:
    write_case(out, "c0", map_of(TUMOUR))
    add_heatmap(out, "c0", (2, 3, 2))
    report = read_report(out.case("c0") / "case.json")
    (one,) = heatmap_hits(out.case("c0"), report, "img-c0", TRUTH, {})

    rates = hit_rates([one, one, replace(one, method="occlusion")])

    assert {key[2]: rate.maps for key, rate in rates.items()} == {"hires_cam": 2, "occlusion": 1}


@pytest.mark.parametrize("table", ["lesions", "classification"])
def test_runs_that_only_mark_or_only_classify_have_the_column_and_the_size_of_the_truth(
    out: OutFolder, tmp_path: Path, table: str
) -> None:
    marks = table == "lesions"
    for name, hot in (("c0", (2, 3, 2)), ("c1", (7, 8, 2))):
        found = Finding("net-1", "net", f"img-{name}", "tumour", 0.9, ((1, 1, 1), (5, 5, 4)))
        scores = None if marks else {"tumour": 0.7}
        findings = (found,) if marks else None
        write_case(out, name, None, findings=findings, scores=scores, is_stored=True, chosen_for=("net",))
        add_heatmap(out, name, hot)
    rows = [{"case": name, "truth": map_of(TUMOUR), "label": "tumour"} for name in ("c0", "c1")]

    found = evaluate(out, write_truth(tmp_path / "truth", rows), EvaluationSettings(rounds=20))
    write_evaluation(found, tmp_path / "evaluation")

    with (tmp_path / "evaluation" / f"{table}.csv").open() as file:
        seen = {(row["case_id"], row["heatmap_hit"], float(row["truth_volume"])) for row in csv.DictReader(file)}
    volume = pytest.approx(4 * 4 * 3 * 0.7 * 0.8 * 2.5)
    assert sorted(seen) == [("c0", "1", volume), ("c1", "0", volume)]
    assert "net: heatmaps of tumour by hires_cam" in evaluation_text(found)
    assert "0.500 (0.095 to 0.905), 1 of 2" in evaluation_text(found)
    assert scalars(found)["net.tumour.heatmap_hit_rate.hires_cam"] == 0.5
