"""Agreement of readers, against examples that were worked out by hand elsewhere."""

import pytest

from diascope.viewer.agreement import agreement, cohen_kappa, krippendorff_alpha


def test_kappa_is_that_of_cohens_own_kind_of_table() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: agreed 0.7, by chance 0.5, so 0.4.
    said = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15

    assert cohen_kappa(said) == pytest.approx(0.4)


def test_kappa_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    one = ["a", "b", "a", "c", "b", "a", "c", "c", "a"]
    other = ["a", "b", "b", "c", "a", "a", "c", "b", "a"]

    assert cohen_kappa(list(zip(one, other, strict=True))) == pytest.approx(cohen_kappa_score(one, other))


def test_alpha_is_that_of_krippendorffs_worked_example() -> None:
    # Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), C: four observers, twelve units, gaps.
    table = {
        "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        "C": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    }
    units = [[row[at] for row in table.values() if row[at] is not None] for at in range(12)]

    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(units, "interval") == pytest.approx(0.849, abs=5e-4)


def test_where_nothing_can_be_said_nothing_is() -> None:
    assert cohen_kappa([]) is None
    assert cohen_kappa([("a", "a")] * 5) is None
    assert krippendorff_alpha([["a"], ["b"]]) is None
    assert agreement({"one": {"c1": "a"}}).pairs == ()


def test_cases_that_only_one_reader_read_do_not_count() -> None:
    found = agreement({"one": {"c1": "a", "c2": "b", "c3": "a"}, "two": {"c2": "b", "c3": "b", "c9": "a"}})

    assert found.cases == 2
    assert found.pairs[0].cases == 2
    assert found.pairs[0].agreed == 0.5
