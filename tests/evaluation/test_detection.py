"""Which mark hits which lesion: the rules of LUNA16, one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diascope.errors import InputError
from diascope.evaluation.detection import Lesion, Mark, Scan, check_scans, mark_of, match, sphere
from diascope.findings import Finding


def point(x: float, y: float, z: float, score: float) -> Mark:
    return Mark((x, y, z), (x, y, z), score)


def test_a_mark_nearer_than_the_radius_finds_the_nodule_and_one_on_the_radius_does_not() -> None:
    nodule = sphere((10.0, -20.0, 30.0), 8.0)

    inside = match(Scan("s", "p", (nodule,), (point(10, -20, 33.99, 0.3),)), "radius")
    on_it = match(Scan("s", "p", (nodule,), (point(10, -20, 34.0, 0.3),)), "radius")

    assert (inside.lesion_scores.tolist(), inside.false_scores.tolist()) == ([0.3], [])
    assert (on_it.lesion_scores.tolist(), on_it.false_scores.tolist()) == ([-np.inf], [0.3])


def test_a_second_mark_on_a_nodule_is_no_false_positive_and_the_surer_one_counts() -> None:
    nodule = sphere((0.0, 0.0, 0.0), 6.0)

    found = match(Scan("s", "p", (nodule,), (point(0, 0, 1, 0.2), point(1, 0, 0, 0.9), point(9, 9, 9, 0.5))), "radius")

    assert found.lesion_scores.tolist() == [0.9]
    assert found.false_scores.tolist() == [0.5]


def test_a_mark_on_a_lesion_that_is_not_judged_is_ignored() -> None:
    small = sphere((0.0, 0.0, 0.0), 2.0, is_judged=False)

    found = match(Scan("s", "p", (small,), (point(0, 0, 0.5, 0.9),)), "radius")

    assert found.lesion_scores.size == 0
    assert found.false_scores.size == 0


def test_a_mark_between_two_nodules_that_hits_both_finds_both() -> None:
    nodules = sphere((0.0, 0.0, 0.0), 6.0), sphere((4.0, 0.0, 0.0), 6.0)

    found = match(Scan("s", "p", nodules, (point(2, 0, 0, 0.7),)), "radius")

    assert found.lesion_scores.tolist() == [0.7, 0.7]


def test_boxes_that_overlap_by_a_tenth_find_the_lesion_and_the_limit_itself_counts() -> None:
    lesion = Lesion((0.0, 0.0, 0.0), (10.0, 1.0, 1.0))
    # Shared 1, together 10: exactly 0.1.
    exact = Mark((9.0, 0.0, 0.0), (10.0, 1.0, 1.0), 0.5)
    less = Mark((9.5, 0.0, 0.0), (10.5, 1.0, 1.0), 0.4)

    found = match(Scan("s", "p", (lesion,), (exact, less)), "iou", min_iou=0.1)

    assert found.lesion_scores.tolist() == [0.5]
    assert found.false_scores.tolist() == [0.4]


def test_boxes_that_only_touch_do_not_overlap() -> None:
    lesion = Lesion((0.0, 0.0, 0.0), (2.0, 2.0, 2.0))

    found = match(Scan("s", "p", (lesion,), (Mark((2.0, 0.0, 0.0), (4.0, 2.0, 2.0), 0.9),)), "iou", min_iou=0.0)

    assert found.false_scores.tolist() == [0.9]


def test_a_centre_in_the_half_open_box_finds_the_lesion() -> None:
    lesion = Lesion((0.0, 0.0, 0.0), (2.0, 4.0, 6.0))

    found = match(Scan("s", "p", (lesion,), (point(0, 3.9, 5.9, 0.9), point(2, 1, 1, 0.8))), "centre_in_box")

    assert (found.lesion_scores.tolist(), found.false_scores.tolist()) == ([0.9], [0.8])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_overlap_of_whole_number_boxes_is_that_of_counting_voxels(data: st.DataObject) -> None:
    def box() -> tuple[tuple[int, ...], tuple[int, ...]]:
        low = [data.draw(st.integers(0, 5)) for _ in range(3)]
        return tuple(low), tuple(x + data.draw(st.integers(1, 4)) for x in low)

    (low, high), (mark_low, mark_high) = box(), box()
    volumes = [np.zeros((10, 10, 10), dtype=bool) for _ in range(2)]
    for volume, (a, b) in zip(volumes, ((low, high), (mark_low, mark_high)), strict=True):
        volume[tuple(slice(x, y) for x, y in zip(a, b, strict=True))] = True
    expected = (volumes[0] & volumes[1]).sum() / (volumes[0] | volumes[1]).sum()

    scan = Scan("s", "p", (Lesion(low, high),), (Mark(mark_low, mark_high, 0.5),))

    for limit in (0.05, 0.1, 0.3, 0.5):
        assert np.isfinite(match(scan, "iou", min_iou=limit).lesion_scores[0]) == (expected >= limit)


def as_published(scores: list[float], most: int = 100) -> list[float]:
    """The rule of noduleCADEvaluationLUNA16.py: `> probs[maxNumberOfCADMarks]`, in the order of the file."""
    if len(scores) <= most:
        return scores
    limit = sorted(scores, reverse=True)[most]
    kept: list[float] = []
    for score in scores:
        if len(kept) >= most:
            break
        if score > limit:
            kept.append(score)
    return kept


@pytest.mark.parametrize("decimals", [1, 2, 9])
@pytest.mark.parametrize("marks", [99, 100, 101, 250])
def test_of_more_than_a_hundred_marks_those_count_that_the_published_script_keeps(marks: int, decimals: int) -> None:
    scores = np.random.default_rng(marks).random(marks).round(decimals).tolist()
    scan = Scan(
        "s", "p", (), tuple(Mark((9.0 * n, 0, 0), (9.0 * n + 1, 1, 1), score) for n, score in enumerate(scores))
    )

    assert match(scan).false_scores.tolist() == as_published(scores)
    assert len(match(scan, most_marks=None).false_scores) == marks


def test_a_hit_below_the_hundred_surest_marks_is_a_missed_lesion() -> None:
    sure = tuple(Mark((50.0 + n, 0, 0), (50.5 + n, 1, 1), 0.9 - n / 1000) for n in range(101))
    hit = Mark((0, 0, 0), (4, 4, 4), 0.2)
    scan = Scan("s", "p", (Lesion((0, 0, 0), (4, 4, 4), 4.0),), (hit, *sure))

    assert np.isneginf(match(scan).lesion_scores).all()
    assert match(scan, most_marks=200).lesion_scores.tolist() == [0.2]


def test_a_finding_s_box_is_its_mark() -> None:
    finding = Finding("f-1", "b", "img-1", "glioma", 0.8, ((1, 2, 3), (4, 6, 8)))

    assert mark_of(finding) == Mark((1.0, 2.0, 3.0), (4.0, 6.0, 8.0), 0.8)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="lower to its upper"):
        Mark((1.0, 0.0, 0.0), (0.0, 1.0, 1.0), 0.5)
    with pytest.raises(InputError, match="finite"):
        point(0, 0, 0, float("nan"))
    with pytest.raises(InputError, match="1 of 2 scans are listed more than once"):
        check_scans([Scan("s", "p"), Scan("s", "q")])
    with pytest.raises(InputError, match="size of every lesion"):
        match(Scan("s", "p", (Lesion((0, 0, 0), (1, 1, 1)),), (point(0, 0, 0, 1.0),)), "radius")
