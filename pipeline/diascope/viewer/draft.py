"""A correction in the making: every stroke is on the disk before the browser is told of it.

The journal holds strokes and what was undone; what it gives is the same each time it is
read. So a crash loses nothing, and undo works across a restart.
"""

import hashlib
import json
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diascope.geometry import Space
from diascope.viewer.answers import Problem
from diascope.viewer.brush import Stroke, covered

UNDO_STEPS = 50

Step = Literal["undo", "redo"]


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What one stroke did, so that it can be undone.

    Attributes:
        at: (n,) offsets of the voxels that changed.
        before: (n,) their values before.
        after: The value that all have now.
    """

    at: NDArray[np.int64]
    before: NDArray[np.uint8]
    after: int


@dataclass(frozen=True, slots=True)
class Done:
    """What a step did.

    Attributes:
        changed_voxels: Whose value is another now.
        bounds_ijk: Half-open box around them; None if nothing changed.
    """

    changed_voxels: int
    bounds_ijk: tuple[tuple[int, ...], tuple[int, ...]] | None


class Draft:
    """The voxels of a correction, its journal, and 50 steps back."""

    def __init__(self, base: NDArray[np.uint8], space: Space, journal: Path) -> None:
        """Take up a draft where its journal ends.

        Args:
            base: (i, j, k) dense values that the draft began with.
            space: Where they lie.
            journal: File of its steps; there may be none yet.
        """
        self.space = space
        self._shape = base.shape
        self._values = base.ravel(order="F").copy()
        self._journal = journal
        self._undo: deque[Change] = deque(maxlen=UNDO_STEPS)
        self._redo: list[Change] = []
        self._keys: set[str] = set()
        self._hash = hashlib.sha256()
        self.steps = 0
        for line in _whole_lines(journal):
            self._replay(line)

    @property
    def data(self) -> NDArray[np.uint8]:
        """The voxels as they are now, (i, j, k), a view."""
        return self._values.reshape(self._shape, order="F")

    @property
    def undo_left(self) -> int:
        """How many steps can be undone."""
        return len(self._undo)

    @property
    def redo_left(self) -> int:
        """How many steps can be done again."""
        return len(self._redo)

    @property
    def digest(self) -> str:
        """Name the state that the draft is in."""
        return self._hash.hexdigest()

    def stroke(self, stroke: Stroke, key: str) -> Done:
        """Paint or erase; the same key again does nothing more."""
        if key in self._keys:
            return Done(0, None)
        change = self._change_of(stroke)
        self._write({"stroke": stroke.model_dump(mode="json"), "key": key})
        self._keys.add(key)
        return self._apply(change)

    def step(self, step: Step) -> Done:
        """Undo the newest stroke, or do again what was undone.

        Raises:
            Problem: There is nothing to undo or redo.
        """
        if not (self._undo if step == "undo" else self._redo):
            raise Problem("nothing_to_undo", f"there is no stroke to {step}", "nothing was changed")
        self._write({"step": step})
        return self._back() if step == "undo" else self._again()

    def _replay(self, line: bytes) -> None:
        entry = json.loads(line)
        self._hash.update(line)
        self.steps += 1
        if "stroke" in entry:
            self._keys.add(entry["key"])
            self._apply(self._change_of(Stroke.model_validate(entry["stroke"])))
        elif entry["step"] == "undo":
            self._back()
        else:
            self._again()

    def _write(self, entry: dict[str, object]) -> None:
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        # A line that a crash tore off was never confirmed: the next one must not be glued to it.
        whole = sum(len(one) for one in _whole_lines(self._journal))
        with self._journal.open("r+b" if self._journal.exists() else "wb") as stream:
            stream.truncate(whole)
            stream.seek(whole)
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        self._hash.update(line)
        self.steps += 1

    def _change_of(self, stroke: Stroke) -> Change:
        at = covered(stroke, self.space)
        values = self._values[at]
        after = stroke.label if stroke.op == "paint" else 0
        differs = values != after if stroke.op == "paint" else values == stroke.label
        return Change(at[differs], values[differs], after)

    def _apply(self, change: Change) -> Done:
        self._values[change.at] = change.after
        self._undo.append(change)
        self._redo.clear()
        return self._done(change)

    def _back(self) -> Done:
        change = self._undo.pop()
        self._values[change.at] = change.before
        self._redo.append(change)
        return self._done(change)

    def _again(self) -> Done:
        change = self._redo.pop()
        self._values[change.at] = change.after
        self._undo.append(change)
        return self._done(change)

    def _done(self, change: Change) -> Done:
        if change.at.size == 0:
            return Done(0, None)
        index = np.unravel_index(change.at, self._shape, order="F")
        low, high = tuple(int(one.min()) for one in index), tuple(int(one.max()) + 1 for one in index)
        return Done(int(change.at.size), (low, high))


def _whole_lines(journal: Path) -> list[bytes]:
    if not journal.is_file():
        return []
    lines = journal.read_bytes().splitlines(keepends=True)
    return lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines
