"""Whose gap it is: by hand, against scipy, and with a planted scanner."""

import numpy as np
import pytest
from scipy.stats.contingency import association

from diascope.evaluation.audit.confounding import cramers_v, stratified
from diascope.evaluation.audit.groups import Attribute
from diascope.evaluation.audit.measures import Measure


def attribute(name: str, code: list[int]) -> Attribute:
    return Attribute(name, tuple(f"{name}{n}" for n in range(max(code) + 1)), np.array(code), (name,))


def measure(hits: list[int]) -> Measure:
    top = np.array(hits, dtype=float)
    return Measure("sensitivity", top, np.ones(len(hits)), "share", higher_is_better=True, nothing="", words="")


def test_the_difference_within_strata_has_mantel_and_haenszel_s_weights() -> None:
    # Stratum 0: 1 of 2 against 3 of 4; stratum 1: 2 of 4 against 2 of 2.
    one = [0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1]
    by = [0] * 6 + [1] * 6
    hits = [1, 0, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1]

    found = stratified(measure(hits), attribute("sex", one), 0, attribute("scanner", by), np.arange(12))

    weights = [2 * 4 / 6, 4 * 2 / 6]
    assert found.crude == pytest.approx(3 / 6 - 5 / 6)
    assert found.adjusted == pytest.approx((weights[0] * (1 / 2 - 3 / 4) + weights[1] * (2 / 4 - 1)) / sum(weights))
    assert found.compared == 1.0


def planted(seed: int, *, by_scanner: float, by_sex: float) -> tuple[Measure, Attribute, Attribute]:
    rng = np.random.default_rng(seed)
    sex = rng.integers(0, 2, 4000)
    scanner = (rng.random(4000) < np.where(sex == 0, 0.8, 0.3)).astype(int)
    hit = rng.random(4000) < 0.9 - by_scanner * scanner - by_sex * (sex == 0)
    return measure(hit.astype(int).tolist()), attribute("sex", sex.tolist()), attribute("scanner", scanner.tolist())


def test_a_scanner_explains_the_gap_between_the_sexes_and_not_the_other_way_round() -> None:
    hits, sex, scanner = planted(0, by_scanner=0.4, by_sex=0.0)

    of_sex = stratified(hits, sex, 0, scanner, np.arange(4000))
    of_scanner = stratified(hits, scanner, 1, sex, np.arange(4000))

    assert of_sex.crude < -0.1
    assert of_sex.reading == "explains"
    assert of_scanner.reading == "does not explain"


def test_a_gap_of_its_own_is_not_explained_away() -> None:
    hits, sex, scanner = planted(1, by_scanner=0.0, by_sex=0.2)

    found = stratified(hits, sex, 0, scanner, np.arange(4000))

    assert found.reading == "does not explain"
    assert found.adjusted == pytest.approx(-0.2, abs=0.04)


def test_a_site_with_one_scanner_each_cannot_be_told_from_it() -> None:
    code = [0, 1] * 50

    found = stratified(measure([1, 0] * 50), attribute("site", code), 1, attribute("scanner", code), np.arange(100))

    assert found.reading == "cannot be told apart"
    assert found.adjusted is None


@pytest.mark.parametrize("seed", range(3))
def test_association_is_scipy_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 3, 200), rng.integers(0, 4, 200)
    table = np.zeros((3, 4), dtype=int)
    np.add.at(table, (one, other), 1)

    assert cramers_v(one, other) == pytest.approx(association(table, method="cramer"))


def test_a_division_into_one_has_no_association() -> None:
    assert cramers_v(np.zeros(5, dtype=int), np.arange(5)) == 0.0
