"""What an image says of itself in the report: the numbers of its slices."""

import random

from diascope.image_facts import ImageFacts, ImageRecord, SliceRun, slice_runs


def record(numbers: list[int | None]) -> ImageRecord:
    return ImageRecord("img-1", ImageFacts(), slices_named_by="instance_number", slice_runs=slice_runs(numbers))


def test_a_series_that_counts_evenly_is_one_run() -> None:
    assert slice_runs([7, 6, 5, 4]) == (SliceRun(7, -1, 4),)
    assert slice_runs([3, 3, 3]) == (SliceRun(3, 0, 3),)
    assert slice_runs([1, 2, None, None, 5]) == (SliceRun(1, 1, 2), SliceRun(None, 0, 2), SliceRun(5, 0, 1))
    assert slice_runs([]) == ()


def test_every_slice_is_told_by_the_number_it_was_given() -> None:
    rng = random.Random(3)
    for _ in range(200):
        numbers = [rng.choice([None, rng.randint(1, 5), 40 - k, 2 * k]) for k in range(rng.randint(1, 30))]
        assert [record(numbers).slice_number(k) for k in range(len(numbers))] == numbers
        assert record(numbers).slice_number(len(numbers)) is None
        assert record(numbers).slice_number(-1) is None
