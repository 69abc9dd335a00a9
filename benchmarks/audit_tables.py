"""Tables and plans of the worked audits: `python benchmarks/audit_tables.py lgg_flair|chest_xray DATA OUT`.

DATA is the folder of the manifest. OUT gets `scans.csv` (the test split, as an input of
`diascope run`), `truth.csv` (for `diascope evaluate`) and a plan for each network. The
commands that follow are in docs/audit.md.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]

GLIOMA_GROUPS = ("gender_code", "age_years", "race_code", "site")
CHEST_GROUPS = ("sex", "age_years", "view")
BANDS = {"age_years": [40, 60]}


def main() -> None:
    """Write everything for one data set."""
    name, data, out = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3])
    with (REPOSITORY / "data_manifests" / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    out.mkdir(parents=True, exist_ok=True)
    {"lgg_flair": glioma, "chest_xray": chest}[name](rows, data, out)


def glioma(rows: Sequence[dict[str, str]], data: Path, out: Path) -> None:
    """Outlines are the truth of all three networks."""
    images = [{**row, "image": str(data / row["image"]), "truth": str(data / row["label"])} for row in rows]
    _write(out / "scans.csv", images, ("case", "patient", "image", *GLIOMA_GROUPS))
    _write(out / "truth.csv", images, ("case", "truth"))
    for file, task, network, limits in (
        ("outlines", "segmentation", "segmentation", ("dice",)),
        ("slices", "classification", "classification", ("sensitivity", "specificity")),
        ("boxes", "detection", "detection", ("sensitivity",)),
    ):
        plan = {
            "task": task,
            "where": {"bundle": f"flair_glioma_{network}"},
            "groups": list(GLIOMA_GROUPS),
            "bands": BANDS,
            "gate": {"max_gap": dict.fromkeys(limits, 0.10)},
            "title": f"flair_glioma_{network} on the {len(rows)} test patients of lgg_flair",
        }
        _plan(out / f"{file}.yaml", plan | ({"unit": "slice"} if task == "classification" else {}))


def chest(rows: Sequence[dict[str, str]], data: Path, out: Path) -> None:
    """COVID-19 or another pneumonia, as the training says which is which; pictures of neither are left out."""
    config = REPOSITORY / "configs" / "train_chest_xray_covid_classification.yaml"
    classes = yaml.safe_load(config.read_text(encoding="utf-8"))["source"]["classes"]
    images = [{**row, "image": str(data / row["image"])} for row in rows if row["finding"] in classes]
    _write(out / "scans.csv", images, ("case", "patient", "image", *CHEST_GROUPS))
    truth = [{"case": row["image"], "target": "covid_19", "positive": str(classes[row["finding"]])} for row in images]
    _write(out / "truth.csv", truth, ("case", "target", "positive"))
    plan = {
        "task": "classification",
        "groups": list(CHEST_GROUPS),
        "bands": BANDS,
        "gate": {"max_gap": {"sensitivity": 0.15, "specificity": 0.15}},
        "title": f"chest_xray_covid_classification on {len(images)} test pictures",
    }
    _plan(out / "plan.yaml", plan)


def _write(path: Path, rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _plan(path: Path, plan: Mapping[str, object]) -> None:
    path.write_text(yaml.safe_dump(dict(plan), sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
