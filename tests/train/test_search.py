"""A search finds the setting that was planted, ends poor trials early, and survives a kill."""

import csv
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from diascope.config import parse_settings
from diascope.errors import ConfigError
from diascope.train.handlers import EpochCallback
from diascope.train.parts import Part, PartEndedError
from diascope.train.progress import read_log
from diascope.train.search import changed, search_settings
from diascope.train.settings import TrainConfig, load_train_config
from tests.train.training_phantoms import write_slices

pytest.importorskip("optuna", reason="a search needs the extra: pip install diascope[search]; `make test` installs it")

# With 1e-7 nothing is learnt within two epochs, with 0.02 a bright ball is.
RATES = [1e-7, 1e-6, 0.02]


def searching(root: Path, **search: Any) -> TrainConfig:
    told = {"space": {"optimiser.learning_rate": {"choices": RATES}}, "trials": 6, "epochs": 2, **search}
    return parse_settings(TrainConfig, {**write_slices(root), "steps_per_epoch": 6, "search": told})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[Part, bool]]]:
    root = tmp_path_factory.mktemp("search")
    entered: list[tuple[Part, bool]] = []

    @contextmanager
    def watch(part: Part) -> Iterator[Sequence[EpochCallback]]:
        if len(entered) == 2 and not (root / "killed").exists():
            (root / "killed").touch()
            raise KeyboardInterrupt  # a trial that was begun and never ended
        try:
            yield []
        except PartEndedError:
            entered.append((part, True))
            raise
        entered.append((part, False))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's config parser, and Optuna's experimental parts
        config = searching(root, prune_after_epochs=None)
        with pytest.raises(KeyboardInterrupt):
            search_settings(config, root / "out", watch)
        search_settings(config, root / "out", watch)
    return root, entered


def test_the_planted_best_setting_is_found_and_written_as_a_config(searched: tuple[Path, Any]) -> None:
    root, _ = searched

    best = load_train_config(root / "out" / "best.yaml")

    assert best.optimiser.learning_rate == 0.02
    assert best.search is None
    assert best.epochs == 4  # the training's own length, not that of a trial


def test_a_search_that_was_killed_goes_on_to_its_number_of_trials(searched: tuple[Path, Any]) -> None:
    root, entered = searched

    trials = table(root / "out" / "trials.csv")

    assert [one["state"] for one in trials].count("complete") == 6
    assert [one["state"] for one in trials].count("fail") == 1
    assert len(entered) == 6


def test_each_trial_is_told_with_what_it_tries(searched: tuple[Path, Any]) -> None:
    _, entered = searched

    assert {part.settings["optimiser.learning_rate"] for part, _ in entered} <= set(RATES)
    assert len({part.name for part, _ in entered}) == 6


def test_a_trial_worse_than_the_others_is_ended_before_its_last_epoch(tmp_path: Path) -> None:
    space = {"optimiser.learning_rate": {"choices": [0.02, 0.02, 0.02, 1e-7]}}
    config = searching(tmp_path, space=space, trials=9, epochs=3, prune_after_epochs=1)
    ended = []

    @contextmanager
    def watch(part: Part) -> Iterator[Sequence[EpochCallback]]:
        try:
            yield []
        except PartEndedError:
            ended.append(part)
            raise

    search_settings(config, tmp_path / "out", watch)

    assert ended
    for part in ended:
        epochs = read_log(tmp_path / "out" / part.name / "log.jsonl")
        assert part.settings["optimiser.learning_rate"] == 1e-7 or len(epochs) < 3
    states = [one["state"] for one in table(tmp_path / "out" / "trials.csv")]
    assert states.count("pruned") == len(ended)
    assert len(states) == 9


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"optimiser.learning_rat": {"choices": [1]}}, "learning_rat is not a setting"),
        ({"network.args.dropout": {"low": 0.5, "high": 0.1}}, "is no range"),
        ({"optimiser.learning_rate": {"low": -1.0, "high": 0.1}}, "learning_rate"),
        ({"seed": {"low": 1, "high": 3, "scale": "whole"}}, "seed cannot be searched"),
    ],
)
def test_a_space_that_no_training_takes_is_refused_before_the_first_trial(
    tmp_path: Path, space: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        search_settings(searching(tmp_path, space=space), tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_the_same_search_goes_on_with_more_trials(searched: tuple[Path, Any]) -> None:
    root, _ = searched
    longer = searching(root, prune_after_epochs=None, trials=7)

    search_settings(longer, root / "out")

    assert [one["state"] for one in table(root / "out" / "trials.csv")].count("complete") == 7


def test_another_search_in_the_same_folder_is_refused(searched: tuple[Path, Any]) -> None:
    root, _ = searched
    other = parse_settings(TrainConfig, {**searching(root).model_dump(mode="json"), "seed": 99})

    with pytest.raises(ConfigError, match="holds another search"):
        search_settings(other, root / "out")


def test_a_setting_is_changed_by_its_key_and_the_others_stay(tmp_path: Path) -> None:
    config = parse_settings(TrainConfig, write_slices(tmp_path))

    other = changed(config, {"network.args.num_res_units": 2, "loss.name": "focal"})

    assert other.network.args["num_res_units"] == 2
    assert other.loss.name == "focal"
    assert other.optimiser == config.optimiser
