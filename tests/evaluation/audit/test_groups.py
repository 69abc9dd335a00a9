"""Columns as groups: one spelling, bands, missing as a group, and identifiers refused."""

import numpy as np
import pandas as pd
import pytest

from diascope.errors import InputError
from diascope.evaluation.audit.groups import Attribute, attribute_of, intersection_of


def attribute(name: str, values: list[object], patient: list[int] | None = None, **kwargs: object) -> Attribute:
    code = np.array(patient if patient is not None else range(len(values)))
    return attribute_of(pd.Series(values, name=name), code, kwargs.get("bands"), int(kwargs.get("largest", 20)))[0]


def groups(found: Attribute) -> list[str]:
    return [found.levels[code] for code in found.code]


def test_sexes_manufacturers_and_ages_are_spelt_one_way() -> None:
    assert groups(attribute("sex", ["M", "male", "F", "female", "O"])) == ["M", "M", "F", "F", "O"]
    assert groups(attribute("manufacturer", ["SIEMENS", "Siemens Healthineers", "GE MEDICAL SYSTEMS"])) == [
        "SIEMENS",
        "SIEMENS",
        "GE",
    ]
    ages = ["045Y", "018M", "90+", 17.0, "59", "60", None]
    assert groups(attribute("age_years", ages, bands=(18.0, 60.0))) == [
        "18 to below 60",
        "below 18",
        "60 and over",
        "below 18",
        "18 to below 60",
        "60 and over",
        "missing",
    ]


def test_missing_is_a_group_of_its_own_however_it_is_spelt_and_stands_last() -> None:
    found = attribute("site", ["zurich", None, "n/a", float("nan"), "", "Unknown", "bern"])

    assert found.levels == ("bern", "zurich", "missing")
    assert groups(found).count("missing") == 5


def test_numbers_stand_in_their_order_and_whole_ones_lose_their_point() -> None:
    found = attribute("field_strength_t", [3.0, 1.5, 10.0, None, "3"])

    assert found.levels == ("1.5", "3", "10", "missing")
    assert groups(found)[0] == groups(found)[4]


def test_bands_stand_in_their_order() -> None:
    found = attribute("age_years", [80, 5, 30, 65], bands=(18.0, 60.0, 75.0))

    assert found.levels == ("below 18", "18 to below 60", "60 to below 75", "75 and over")


def test_values_that_cannot_be_read_are_missing_and_counted() -> None:
    found, notes = attribute_of(pd.Series(["F", "X?", "M"], name="sex"), np.arange(3), None, 20)

    assert groups(found) == ["F", "missing", "M"]
    assert notes == ("sex: 1 values could not be read and count as missing",)


def test_a_patient_with_two_sexes_is_named_but_may_grow_older() -> None:
    found, notes = attribute_of(pd.Series(["F", "M", "F", None], name="sex"), np.array([0, 0, 1, 1]), None, 20)
    older = attribute("age_years", [59, 61], patient=[0, 0], bands=(60.0,))

    assert groups(found) == ["conflicting", "conflicting", "F", "missing"]
    assert notes == ("sex: 1 patients have more than one value and are a group of their own",)
    assert groups(older) == ["below 60", "60 and over"]


def test_a_column_of_identifiers_is_refused_as_one() -> None:
    with pytest.raises(InputError, match="has 50 values in 60 rows: it looks like an identifier"):
        attribute("record", [str(n % 50) for n in range(60)])


def test_a_column_of_many_values_asks_for_bands() -> None:
    with pytest.raises(InputError, match="has 30 values, allowed are 20"):
        attribute("bmi", [str(n % 30) for n in range(300)])


def test_an_intersection_has_only_the_pairs_that_there_are() -> None:
    one, other = attribute("sex", ["F", "M", "F"]), attribute("site", ["a", "a", "b"])

    found = intersection_of(one, other)

    assert (found.name, found.parts, found.is_intersection) == ("sex x site", ("sex", "site"), True)
    assert groups(found) == ["F, a", "M, a", "F, b"]
