"""Which voxel belongs to which structure, and how sure the network was."""

import numpy as np
import pytest

from diascope.tasks.segment import certainty


def test_certainty_is_the_mean_probability_of_what_was_drawn() -> None:
    logits = np.zeros((2, 3, 1, 1), np.float32)
    logits[:, 0, 0, 0] = (0.0, np.log(3.0))  # drawn with 3/4
    logits[:, 1, 0, 0] = (0.0, np.log(9.0))  # drawn with 9/10
    logits[:, 2, 0, 0] = (5.0, 0.0)  # background

    assert certainty(logits) == pytest.approx((0.75 + 0.9) / 2, abs=1e-6)


def test_a_network_that_draws_nothing_has_no_certainty() -> None:
    logits = np.stack([np.ones((2, 2, 2)), np.zeros((2, 2, 2))]).astype(np.float32)

    assert certainty(logits) is None


def test_huge_logits_do_not_overflow() -> None:
    logits = np.stack([np.zeros((1, 1, 1)), np.full((1, 1, 1), 1e4)]).astype(np.float32)

    assert certainty(logits) == 1.0
