"""Gaps and their intervals: the fast way is the slow way."""

import numpy as np
import pytest

from diascope.evaluation.audit.gaps import Comparing, compare_all, patients_behind
from diascope.evaluation.audit.groups import Attribute
from diascope.evaluation.audit.measures import Measure
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.bootstrap import resample

SIZES = (40, 50, 3)


def made() -> tuple[Attribute, Measure, np.ndarray]:
    rng = np.random.default_rng(0)
    code = np.repeat([0, 1, 2], np.array(SIZES) * 2)
    patient = np.repeat(np.arange(sum(SIZES)), 2)
    bottom = (rng.random(len(code)) < 0.7).astype(float)
    top = bottom * (rng.random(len(code)) < np.array([0.5, 0.8, 0.9])[code])
    return (
        Attribute("site", ("a", "b", "c"), code, ("site",)),
        Measure("sensitivity", top, bottom, "share", higher_is_better=True, nothing="", words=""),
        patient,
    )


def compared(*, exploratory: bool = False, higher_is_better: bool = True):
    attribute, measure, patient = made()
    measure = Measure("sensitivity", measure.top, measure.bottom, "share", higher_is_better, "", "")
    drawn = resample(patient.tolist(), np.random.default_rng(1), 200)
    plan = AuditSettings(groups=("site",), rounds=200)
    return compare_all(
        [attribute], [measure], Comparing(plan, drawn, np.random.default_rng(2), 1), exploratory=exploratory
    )


def test_a_gap_and_its_interval_are_those_of_drawing_patients_by_hand() -> None:
    attribute, measure, patient = made()
    drawn = resample(patient.tolist(), np.random.default_rng(1), 200)

    (found,) = compared()

    def gap(rows: np.ndarray) -> float:
        code, top, bottom = attribute.code[rows], measure.top[rows], measure.bottom[rows]
        shares = [top[code == at].sum() / bottom[code == at].sum() for at in (0, 1)]
        return float(shares[1] - shares[0])

    first = found.groups[0]
    low, high = np.quantile([gap(drawn.rows_of(at)) for at in range(200)], [0.025, 0.975])
    assert first.gap == pytest.approx(gap(np.arange(len(patient))))
    assert (first.gap_low, first.gap_high) == pytest.approx((low, high))
    assert found.worst == "a"
    assert found.range.value == pytest.approx(abs(first.gap))


def test_a_group_of_three_is_shown_but_not_judged_nor_in_the_range() -> None:
    (found,) = compared()

    small = found.groups[2]
    assert small.value is not None
    assert (small.gap, small.p, small.is_sufficient, small.patients_needed) == (None, None, False, 20)
    assert found.groups[0].rest == found.groups[1].value


def test_where_less_is_better_the_worst_is_the_highest() -> None:
    (found,) = compared(higher_is_better=False)

    assert found.worst == "b"
    assert found.groups[1].gap > 0
    assert found.skewed_error_ratio is None


def test_an_exploratory_comparison_has_no_place_in_the_family() -> None:
    (found,) = compared(exploratory=True)

    assert found.p_holm is None
    assert found.p_bh is not None
    assert found.groups[0].gap_low < found.groups[0].gap < found.groups[0].gap_high


def test_patients_behind_a_metric_are_those_with_a_part_in_it() -> None:
    attribute, measure, patient = made()

    behind = patients_behind(attribute, measure, patient)

    expected = [len(set(patient[(attribute.code == at) & (measure.bottom > 0)].tolist())) for at in range(3)]
    assert behind.tolist() == expected
