"""What cases took, and what is told from it of the next: a range that holds what came."""

from pathlib import Path

import numpy as np
import pytest

from diascope.run.planning.speeds import MOST_CASES, Span, Speed, Timing, read_speeds, remember

# Two batches of FLAIR scans on two cores, as `diascope run` took them: (million voxels of the scan, seconds), in order.
# The first, by three networks with heatmaps, while other programs began to run; the second, by one, while they ended.
SLOWER = [
    (1.38, 21.5), (2.1, 28.36), (1.31, 20.62), (3.67, 51.04), (1.31, 35.26), (3.41, 76.23), (2.36, 60.71),
    (2.42, 58.63), (1.31, 47.62), (1.31, 52.68), (1.31, 53.48), (2.1, 70.57), (2.42, 66.1), (2.23, 35.81),
]  # fmt: skip
FASTER = [
    (2.1, 17.57), (1.44, 10.75), (2.36, 12.47), (1.57, 8.72), (3.74, 14.47), (2.62, 9.16), (1.51, 5.74), (2.36, 6.36),
]  # fmt: skip


@pytest.mark.parametrize(("recorded", "surprises"), [(SLOWER, 1), (FASTER, 0)])
def test_of_recorded_cases_the_next_one_took_what_was_told(recorded: list[tuple[float, float]], surprises: int) -> None:
    cases = tuple(Timing(seconds, million * 1e6) for million, seconds in recorded)
    told = [(Speed(cases[:n]).expect(cases[n].voxels), cases[n].seconds) for n in range(1, len(cases))]

    assert sum(not span.low <= seconds <= span.high for span, seconds in told) == surprises
    assert all(0.5 < seconds / span.likely < 2 for span, seconds in told)


def test_a_part_that_every_case_takes_is_not_taken_for_one_that_grows() -> None:
    cases = Speed(tuple(Timing(6.0 + 2.0 * million, million * 1e6) for million in (1, 4, 2, 8, 3)))

    assert cases.expect(100e6).likely == pytest.approx(206.0)
    assert cases.expect(0.1e6).likely == pytest.approx(6.2)


def test_the_newest_cases_weigh_more() -> None:
    slow, fast = (Timing(20.0, 1e6),) * 15, (Timing(5.0, 1e6),) * 15

    assert Speed(slow + fast).expect(1e6).likely < 9
    assert Speed(fast + slow).expect(1e6).likely > 16


def test_another_size_than_all_known_ones_lies_between_a_fixed_and_a_growing_time() -> None:
    span = Speed((Timing(10.0, 1e6),) * 6).expect(4e6)

    assert (span.low, span.likely, span.high) == pytest.approx((10 / 1.75, 20, 40 * 1.75))


def test_few_cases_promise_little() -> None:
    one, many = Speed((Timing(10.0, 1e6),)), Speed((Timing(10.0, 1e6),) * 20)

    assert one.expect(1e6) == Span(5.0, 10.0, 20.0)
    assert (many.expect(1e6).low, many.expect(1e6).high) == pytest.approx((10 / 1.4, 14.0))


def test_a_window_that_was_tried_leaves_room_for_heatmaps() -> None:
    plain = Speed((Timing(1.0, 1e6),), is_tried=True)
    explained = Speed((Timing(1.0, 1e6),), is_tried=True, is_explained=True)

    assert plain.expect(4e6).likely == explained.expect(4e6).likely == 4.0
    assert explained.expect(4e6).high == 3 * plain.expect(4e6).high


def test_times_are_remembered_the_oldest_are_forgotten_and_a_broken_file_is_none(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "speeds.json"
    assert read_speeds(file) == {}

    for at in range(MOST_CASES + 5):
        remember(file, {"net": [Timing(float(at), 8.0)]})

    cases = read_speeds(file)["net"].cases
    assert [one.seconds for one in cases] == list(np.arange(5.0, MOST_CASES + 5))
    file.write_text('{"net": {"seconds": 2.0, "voxels": 8.0, "cases": 1}}')  # as earlier versions wrote it
    assert read_speeds(file) == {}
