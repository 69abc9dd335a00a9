"""A draft survives a crash between any two strokes, and goes fifty steps back."""

import json
from pathlib import Path

import numpy as np
import pytest

from diascope.viewer.answers import Problem
from diascope.viewer.draft import UNDO_STEPS, Draft
from tests.phantoms import oblique_grid
from tests.viewer.test_brush import stroke

GRID = oblique_grid((14, 17, 9), (1.1, 1.4, 2.5))


def base() -> np.ndarray:
    values = np.zeros(GRID.shape, np.uint8)
    values[3:6, 4:9, 2:5] = 2
    return values


def draft(folder: Path) -> Draft:
    return Draft(base(), GRID, folder / "journal.jsonl")


def test_undo_and_redo_are_exact(tmp_path: Path) -> None:
    one = draft(tmp_path)
    states = [one.data.copy()]
    for at in range(4):
        one.stroke(stroke((3 + at, 8, 4), radius_mm=2.5, label=1 + at % 2), f"key-{at:06d}")
        states.append(one.data.copy())

    for expected in states[-2::-1]:
        one.step("undo")
        assert np.array_equal(one.data, expected)
    for expected in states[1:]:
        one.step("redo")
        assert np.array_equal(one.data, expected)
    with pytest.raises(Problem, match="no stroke to redo"):
        one.step("redo")


def test_erasing_takes_only_the_label_that_is_named(tmp_path: Path) -> None:
    one = draft(tmp_path)
    one.stroke(stroke((8, 8, 4), radius_mm=3.0, label=1), "key-000001")

    one.stroke(stroke((6, 7, 4), radius_mm=30.0, op="erase", label=1), "key-000002")

    assert np.array_equal(one.data, base())


def test_fifty_steps_back_and_no_more(tmp_path: Path) -> None:
    one = draft(tmp_path)
    for at in range(UNDO_STEPS + 3):
        one.stroke(stroke((at % 14, at % 17, 4), radius_mm=1.2, label=1 + at % 2), f"key-{at:06d}")

    assert one.undo_left == UNDO_STEPS
    for _ in range(UNDO_STEPS):
        one.step("undo")
    with pytest.raises(Problem):
        one.step("undo")


@pytest.mark.parametrize("torn", [b"", b'{"stroke":{"op":"pa', b'{"step":"undo"}'])
def test_after_a_crash_everything_that_was_confirmed_is_there(tmp_path: Path, torn: bytes) -> None:
    one = draft(tmp_path)
    for at in range(5):
        one.stroke(stroke((2 * at, 8, 4), radius_mm=2.5, label=1 + at % 2), f"key-{at:06d}")
    one.step("undo")
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + torn)  # the line that the crash tore has no end

    again = draft(tmp_path)

    assert np.array_equal(again.data, one.data)
    assert (again.undo_left, again.redo_left, again.digest) == (one.undo_left, one.redo_left, one.digest)
    again.step("redo")
    third = draft(tmp_path)
    assert np.array_equal(third.data, again.data)
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_stroke_that_is_sent_twice_is_painted_once(tmp_path: Path) -> None:
    one = draft(tmp_path)
    first = one.stroke(stroke((8, 8, 4), radius_mm=3.0), "key-000001")

    assert first.changed_voxels > 0
    assert one.stroke(stroke((8, 8, 4), radius_mm=3.0), "key-000001").changed_voxels == 0
    assert one.undo_left == 1
    assert draft(tmp_path).stroke(stroke((8, 8, 4), radius_mm=3.0), "key-000001").changed_voxels == 0


def test_the_bounds_are_those_of_what_changed(tmp_path: Path) -> None:
    one = draft(tmp_path)
    before = one.data.copy()

    done = one.stroke(stroke((8, 8, 4), radius_mm=3.0), "key-000001")

    changed = np.argwhere(one.data != before)
    assert done.bounds_ijk == (tuple(changed.min(0)), tuple(changed.max(0) + 1))
    assert done.changed_voxels == len(changed)
