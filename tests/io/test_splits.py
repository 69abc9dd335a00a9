"""Patients are dealt out the same way everywhere, and evenly."""

import random
from collections import Counter

import pytest

from diascope.config import parse_settings
from diascope.errors import ConfigError
from diascope.io.splits import SplitSettings, split_patients, strata_of

PATIENTS = {f"pat-{n:03d}": ("F" if n % 3 else "M") for n in range(100)}


def test_the_parts_have_the_sizes_asked_for() -> None:
    dealt = split_patients(PATIENTS, SplitSettings(train=0.7, calibration=0.1, test=0.2))

    assert Counter(dealt.values()) == {"train": 70, "calibration": 10, "test": 20}


def test_each_stratum_is_spread_over_the_parts() -> None:
    dealt = split_patients(PATIENTS, SplitSettings())

    men = Counter(dealt[patient] for patient, sex in PATIENTS.items() if sex == "M")
    assert abs(men["train"] - 0.7 * 34) <= 1
    assert abs(men["test"] - 0.2 * 34) <= 1


def test_many_small_strata_still_give_the_sizes_asked_for() -> None:
    dealt = split_patients({f"pat-{n}": f"stratum {n // 2}" for n in range(60)}, SplitSettings())

    assert Counter(dealt.values()) == {"train": 42, "calibration": 6, "test": 12}


def test_the_split_depends_on_the_seed_and_not_on_the_order() -> None:
    shuffled = list(PATIENTS.items())
    random.Random(3).shuffle(shuffled)

    assert split_patients(dict(shuffled), SplitSettings()) == split_patients(PATIENTS, SplitSettings())
    assert split_patients(PATIENTS, SplitSettings(seed=1)) != split_patients(PATIENTS, SplitSettings())


def test_a_part_of_nothing_stays_empty() -> None:
    dealt = split_patients(PATIENTS, SplitSettings(train=0, calibration=0, test=1))

    assert set(dealt.values()) == {"test"}


def test_shares_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"add up to 1\.1"):
        parse_settings(SplitSettings, {"train": 0.8})


def test_a_stratum_is_named_by_its_columns() -> None:
    groups = {"a": {"sex": "F", "age": "40"}, "b": {"sex": "M"}}

    assert strata_of(groups, ["sex", "age"]) == {"a": "F | 40", "b": "M | "}
