"""Cross-validation deals patients, not scans, holds each out once, and never touches the test."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from diascope.config import parse_settings
from diascope.errors import ConfigError
from diascope.evaluation.detection import Lesion, Mark, Scan
from diascope.run.training_tracking import _score_metrics
from diascope.train.cross_validation import cross_validate
from diascope.train.folds import deal, fold_config, held_out, training_cases
from diascope.train.manifest import ManifestCase
from diascope.train.parts import Part
from diascope.train.recipe import FoldSettings
from diascope.train.scoring import read_scores
from diascope.train.settings import TrainConfig, load_train_config
from diascope.train.slice_scoring import BoxScore, read_box_scans, write_box_scores
from tests.train.recipe_phantoms import write_radiographs, write_tumours
from tests.train.training_phantoms import slice_config, write_slices

HERE = Path()


def case(number: int, patient: str, split: str) -> ManifestCase:
    return ManifestCase(f"case-{number}", patient, split, HERE, HERE, {}, {})  # type: ignore[arg-type]


# Eleven patients with one to three scans, two of them of the test.
CASES = tuple(
    case(10 * patient + scan, f"p{patient}", "test" if patient > 8 else "train" if patient % 2 else "calibration")
    for patient in range(11)
    for scan in range(1 + patient % 3)
)


def test_every_patient_is_held_out_once_with_all_scans_and_test_patients_never() -> None:
    seen: Counter[str] = Counter()
    for fold in range(1, 5):
        dealt = held_out(CASES, FoldSettings(count=4, only=fold), seed=7)
        by_patient: dict[str, set[str]] = {}
        for one in dealt:
            by_patient.setdefault(one.patient, set()).add(one.split)
        assert all(len(splits) == 1 for splits in by_patient.values())
        seen.update(patient for patient, splits in by_patient.items() if splits == {"calibration"})
        assert {patient for patient, splits in by_patient.items() if splits == {"test"}} == {"p9", "p10"}

    assert seen == {f"p{number}": 1 for number in range(9)}


def test_folds_are_of_equal_size_and_the_same_for_a_seed() -> None:
    patients = [f"p{number}" for number in range(11)]

    sizes = Counter(deal(patients, 4, seed=1).values())

    assert sorted(sizes) == [1, 2, 3, 4]
    assert sorted(sizes.values()) == [2, 3, 3, 3]
    assert deal(patients, 4, seed=1) == deal(patients, 4, seed=1) != deal(patients, 4, seed=2)


def test_more_folds_than_patients_and_a_fold_that_is_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="9 patients cannot be dealt into 10 folds"):
        held_out(CASES, FoldSettings(count=10, only=1), seed=0)
    with pytest.raises(ConfigError, match=r"folds\.only is 5: expected 1 to 4"):
        held_out(CASES, FoldSettings(count=4, only=5), seed=0)


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainConfig, list[Part]]:
    root = tmp_path_factory.mktemp("folds")
    values = {**write_slices(root), "epochs": 2, "optimiser": {"learning_rate": 0.02}, "folds": {"count": 2}}
    config = parse_settings(TrainConfig, values)
    entered: list[Part] = []

    import contextlib
    import warnings

    @contextlib.contextmanager
    def watch(part: Part):  # type: ignore[no-untyped-def]
        entered.append(part)
        yield []

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns at each `_target_` that a config is a program
        cross_validate(config, root / "out", watch)
    return root, config, entered


def test_all_folds_together_score_every_patient_but_those_of_the_test_once(
    validated: tuple[Path, TrainConfig, list[Part]],
) -> None:
    root, config, entered = validated

    together = read_scores(root / "out" / "out_of_fold_scores.csv")
    by_fold = [read_scores(root / "out" / f"fold_{number}" / "out_of_fold_scores.csv") for number in (1, 2)]

    assert sorted(one.patient for one in together) == ["case-0", "case-1", "case-2", "case-3"]
    assert [list(one) for one in by_fold] == [list(together[:2]), list(together[2:])]
    assert [part.name for part in entered] == ["fold_1", "fold_2"]
    for number, scores in enumerate(by_fold, start=1):
        fold = parse_settings(TrainConfig, {**config.model_dump(mode="json"), "folds": {"count": 2, "only": number}})
        held = {one.case for one in training_cases(fold) if one.split == "calibration"}
        assert {one.case for one in scores} == held
    summary = (root / "out" / "cross_validation.json").read_text()
    assert '"patients": 4' in summary


def test_a_cross_validation_that_is_done_is_not_done_again(validated: tuple[Path, TrainConfig, list[Part]]) -> None:
    root, config, entered = validated

    cross_validate(config, root / "out", lambda part: pytest.fail(f"{part.name} begins again"))

    assert len(entered) == 2


def small_recipe(repository: Path, name: str, phantom: Callable[[Path], Path], root: Path, *more: str) -> TrainConfig:
    settings = [
        f"manifest={phantom(root)}", f"data_root={root}", "init_from=null", "network.args.filters=[8,8,16,16,16]",
        "batch_size=4", "steps_per_epoch=4", "epochs=1", "precision=fp32", "schedule.warmup_steps=1", "data_workers=0",
        "optimiser.learning_rate=0.01", "folds={count: 2}", *more,
    ]  # fmt: skip
    return load_train_config(repository / "configs" / f"train_{name}.yaml", settings)


@pytest.mark.parametrize(
    ("name", "phantom", "more", "measure"),
    [
        ("flair_glioma_classification", write_tumours, (), "auc"),
        ("flair_glioma_detection", write_tumours, ("network.args.pyramid_channels=16",), "sensitivity"),
        ("chest_xray_covid_classification", write_radiographs, (), "auc"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # MONAI: a config is a program
def test_classes_and_boxes_are_cross_validated_too(
    name: str, phantom: Callable[[Path], Path], more: tuple[str, ...], measure: str, repository: Path, tmp_path: Path
) -> None:
    config = small_recipe(repository, name, phantom, tmp_path, *more)

    summary = json.loads(cross_validate(config, tmp_path / "out").read_text())

    held = [
        {one.patient for one in training_cases(fold_config(config, number)) if one.split == "calibration"}
        for number in (1, 2)
    ]
    together = scored_patients(tmp_path / "out" / "out_of_fold_scores.csv")
    assert [scored_patients(tmp_path / "out" / f"fold_{n}" / "out_of_fold_scores.csv") for n in (1, 2)] == held
    assert together == held[0] | held[1]
    assert not held[0] & held[1]
    assert summary["patients"] == len(together)
    assert 0 <= summary[measure]["mean"]["value"] <= 1
    assert set(summary[f"{measure}_by_fold"]) == {"1", "2"}
    told = _score_metrics(config, tmp_path / "out" / "out_of_fold_scores.csv")
    assert told[f"out_of_fold.{measure}"] == summary[measure]["mean"]["value"]


def test_folds_of_a_pre_training_are_refused_because_nothing_scores_them(tmp_path: Path) -> None:
    values = {**slice_config(tmp_path), "source": {"kind": "masked_reconstruction"}, "folds": {"count": 2}}

    with pytest.raises(ConfigError, match="a pre-training answers no question"):
        cross_validate(parse_settings(TrainConfig, values), tmp_path / "out")


def scored_patients(table: Path) -> set[str]:
    with table.open(newline="") as stream:
        return {row["patient"] for row in csv.DictReader(stream)}


def test_every_fold_has_its_share_of_each_class() -> None:
    patients = [f"p{number:02}" for number in range(24)]
    rare = dict.fromkeys(patients[:5], 1)

    for seed in range(20):
        dealt = deal(patients, 4, seed, rare)
        sizes = Counter(dealt.values())
        assert sorted(sizes.values()) == [6, 6, 6, 6]
        assert sorted(Counter(dealt[one] for one in rare).values()) == [1, 1, 1, 2]


def test_a_table_of_boxes_keeps_scans_without_any_and_reads_back_as_it_was(tmp_path: Path) -> None:
    lesions = (Lesion((1.0, 2.0, 0.0), (5.0, 6.5, 3.0), 140.0), Lesion((9.0, 9.0, 1.0), (10.0, 10.0, 2.0), 1.0, False))
    scans = (
        Scan("scan-a", "p1", lesions, (Mark((1.0, 2.0, 0.0), (5.0, 6.0, 3.0), 0.75),)),
        Scan("scan-b", "p2"),
    )
    cases = [replace(CASES[at], case=scan.scan_id, patient=scan.patient) for at, scan in enumerate(scans)]

    write_box_scores([BoxScore(*pair, (), 1.0) for pair in zip(cases, scans, strict=True)], tmp_path / "boxes.csv")

    assert read_box_scans(tmp_path / "boxes.csv") == scans
