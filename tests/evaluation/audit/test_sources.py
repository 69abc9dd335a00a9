"""Where an audit's table comes from: anybody's csv, an output folder, two folders of masks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diascope.errors import ConfigError, InputError
from diascope.evaluation.audit.audit import audit
from diascope.evaluation.audit.settings import AuditSettings, Join, Masks
from diascope.evaluation.audit.sources import clinical_table, masks_table, table_of, with_features
from diascope.evaluation.feature_file import ImageFeatures, feature_file, write_features
from diascope.findings import read_report
from diascope.geometry import Grid
from diascope.io.write_nifti import write_mask
from diascope.volume import Mask
from tests.evaluation.batches import write_batch

GRID = Grid((5, 7, 3), np.diag([0.7, 0.8, 2.5, 1.0]))
PLAN = AuditSettings(groups=("sex",))


def write(path: Path, filled: int) -> None:
    path.parent.mkdir(exist_ok=True)
    data = np.zeros(GRID.shape, dtype=np.uint8)
    data[1, :filled, 1] = 1
    write_mask(path, Mask(data, GRID, {1: "tumour"}))


def test_a_csv_is_read_with_its_digest(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("y,score,sex\n1,0.5,F\n")

    table, digest = table_of(tmp_path / "t.csv", PLAN, tmp_path)

    assert list(table.columns) == ["y", "score", "sex"]
    assert len(digest) == 64


def test_an_output_folder_gives_what_evaluate_wrote(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no evaluated classification"):
        table_of(tmp_path, PLAN, tmp_path)
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "classification.csv").write_text("y,score,sex\n1,0.5,F\n")

    table, _ = table_of(tmp_path, PLAN, tmp_path)

    assert len(table) == 1


def test_two_folders_of_masks_are_compared_file_by_file(tmp_path: Path) -> None:
    for name, drawn, true in (("a", 4, 4), ("b", 0, 4), ("c", 0, 0)):
        write(tmp_path / "predicted" / f"{name}.nii.gz", drawn)
        write(tmp_path / "truth" / f"{name}.nii.gz", true)
    plan = AuditSettings(groups=("sex",), task="segmentation", masks=Masks(truth="truth", labels={1: "tumour"}))

    table, digest = table_of(tmp_path / "predicted", plan, tmp_path)

    assert table["case_id"].tolist() == ["a", "b", "c"]
    assert table["outcome"].tolist() == ["found", "missed", "absent"]
    assert len(digest) == 64


def test_masks_without_a_partner_are_refused_by_number(tmp_path: Path) -> None:
    masks = Masks(truth="truth", labels={1: "tumour"})
    write(tmp_path / "truth" / "a.nii.gz", 4)
    (tmp_path / "predicted").mkdir()
    with pytest.raises(InputError, match="1 of 1 truths have no prediction"):
        masks_table(tmp_path / "predicted", tmp_path / "truth", masks)

    write(tmp_path / "predicted" / "x.nii.gz", 4)
    with pytest.raises(InputError, match="1 predicted label maps have no truth"):
        masks_table(tmp_path / "predicted", tmp_path / "truth", masks)
    with pytest.raises(InputError, match="is empty"):
        masks_table(tmp_path / "predicted", tmp_path / "nowhere", masks)


def test_a_clinical_table_lies_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "clinical.csv").write_text("case_id,smoker\na,yes\n")
    plan = AuditSettings(groups=("smoker",), join=Join(file="clinical.csv", on="case_id"))

    assert clinical_table(plan, tmp_path)["smoker"].tolist() == ["yes"]
    assert clinical_table(PLAN, tmp_path) is None
    with pytest.raises(ConfigError, match=r"names clinical\.csv, which is not there"):
        clinical_table(plan, tmp_path / "elsewhere")


def evaluated(root: Path, patients: int = 40) -> Path:
    """A batch with features that give the manufacturer away, and its evaluated table."""
    out = write_batch(root, 0, patients, shifted=True)
    rows = []
    for folder in sorted(out.cases.iterdir()):
        report = read_report(folder / "case.json")
        is_new = report.images[0].facts.manufacturer == "NEW"
        seen = ImageFeatures("net", "img", np.full(3, float(is_new), np.float32), "bottleneck", np.zeros(9, np.float32))
        write_features(folder / feature_file("net"), [seen])
        rows.append(
            {
                "case_id": folder.name,
                "image_id": "img",
                "bundle": "net",
                "patient": folder.name,
                "y": len(rows) % 2,
                "score": 0.5,
                "manufacturer": "NEW" if is_new else "OLD",
            }
        )
    (root / "evaluation").mkdir()
    pd.DataFrame(rows).to_csv(root / "evaluation" / "classification.csv", index=False)
    return root


def test_what_the_network_saw_is_joined_and_probed(tmp_path: Path) -> None:
    plan = AuditSettings(groups=("manufacturer",), rounds=5)
    table, _ = table_of(evaluated(tmp_path), plan, tmp_path)

    (probed,) = audit(table, plan).probes

    assert probed.auc == pytest.approx(1.0)
    assert probed.patients == 40


def test_features_are_left_out_where_they_are_not_all_there_or_of_several_networks(tmp_path: Path) -> None:
    plan = AuditSettings(groups=("manufacturer",), rounds=5)
    source = evaluated(tmp_path)
    frame = pd.read_csv(source / "evaluation" / "classification.csv")

    two = with_features(frame.assign(bundle=["net", *["other"] * 39]), source, plan)
    (source / "cases" / "case-007" / feature_file("net")).unlink()
    torn = with_features(frame, source, plan)
    some = with_features(frame, source, plan.model_copy(update={"where": {"case_id": "case-003"}}))

    assert not [name for name in (*two.columns, *torn.columns) if name.startswith("feature_")]
    assert some["feature_0"].notna().sum() == 1
