import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from diascope.evaluation import parts
from diascope.evaluation.parts import connected_parts

Bools = NDArray[np.bool_]


def by_scipy(inside: Bools, other: Bools) -> list[tuple[int, bool]]:
    labels, n = ndimage.label(inside, np.ones((3, 3, 3)))
    return sorted((int((labels == at).sum()), bool(other[labels == at].any())) for at in range(1, n + 1))


def by_runs(inside: Bools, other: Bools) -> list[tuple[int, bool]]:
    found = connected_parts(inside, other)
    return sorted(zip(found.sizes.tolist(), found.is_hit.tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 9)),
    st.floats(0.02, 0.9),
    st.integers(0, 10_000),
    st.booleans(),
)
def test_parts_are_those_of_scipy(shape: tuple[int, int, int], share: float, seed: int, is_fortran: bool) -> None:
    rng = np.random.default_rng(seed)
    inside, other = rng.random(shape) < share, rng.random(shape) < 0.2
    if is_fortran:
        inside, other = np.asfortranarray(inside), np.asfortranarray(other)

    assert by_runs(inside, other) == by_scipy(inside, other)


@pytest.mark.parametrize("step", [(1, 1, 1), (1, -1, 1), (0, 1, -1), (1, 0, 1), (0, 0, 2), (1, 2, 0)])
def test_voxels_that_touch_at_a_corner_are_one_part_and_those_apart_are_two(step: tuple[int, int, int]) -> None:
    inside = np.zeros((5, 7, 11), dtype=bool)
    inside[2, 3, 5] = inside[2 + step[0], 3 + step[1], 5 + step[2]] = True

    assert len(connected_parts(inside, inside).sizes) == (1 if max(map(abs, step)) == 1 else 2)


def test_the_end_of_a_line_does_not_touch_the_beginning_of_the_next() -> None:
    inside = np.zeros((3, 4, 6), dtype=bool)
    inside[1, 1, 5] = inside[1, 2, 0] = True

    assert connected_parts(inside, inside).sizes.tolist() == [1, 1]


def test_nothing_has_no_part() -> None:
    empty = np.zeros((3, 4, 5), dtype=bool)

    assert by_runs(empty, ~empty) == []


def test_lines_of_several_blocks_are_numbered_on() -> None:
    # More lines than fit into one block of the search for runs: a rod through all of them is one part.
    inside = np.zeros((3, 1200, 901), dtype=bool)
    inside[1, :, 450] = True

    assert by_runs(inside, inside) == [(1200, True)]


def test_noise_is_counted_voxel_by_voxel_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    inside, other = rng.random((9, 8, 7)) < 0.3, rng.random((9, 8, 7)) < 0.1
    expected = by_runs(inside, other)
    monkeypatch.setattr(parts, "MOST_RUNS", 3)

    assert by_runs(inside, other) == expected
