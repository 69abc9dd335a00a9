import numpy as np
import pytest
from scipy import stats

from diascope.evaluation.many_tests import benjamini_hochberg, holm


def test_holm_is_that_of_the_paper_s_steps() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_benjamini_hochberg_is_scipy_s() -> None:
    p = np.random.default_rng(0).random(30) ** 2

    assert benjamini_hochberg(p.tolist()) == pytest.approx(stats.false_discovery_control(p))
