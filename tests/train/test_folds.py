"""Cross-validation deals patients, not scans, holds each out once, and never touches the test."""

from collections import Counter
from pathlib import Path

import pytest

from diascope.config import parse_settings
from diascope.errors import ConfigError
from diascope.train.cross_validation import cross_validate
from diascope.train.folds import deal, held_out, training_cases
from diascope.train.manifest import ManifestCase
from diascope.train.parts import Part
from diascope.train.recipe import FoldSettings
from diascope.train.scoring import read_scores
from diascope.train.settings import TrainConfig
from tests.train.training_phantoms import write_slices

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
