"""Trainings that are parts of a whole: folds and trials, and who watches each of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from diascope.train.handlers import EpochCallback


@dataclass(frozen=True, slots=True)
class Part:
    """One training of several.

    Attributes:
        name: Such as `fold_2`; also its folder below OUT.
        settings: What it has that the others have not, by key as in `--set`.
    """

    name: str
    settings: Mapping[str, Any]


class PartEndedError(Exception):
    """A part is ended before its last epoch because others are better; no failure."""


# Entered around a part; gives what is to be called after each of its epochs.
PartWatcher = Callable[[Part], AbstractContextManager[Sequence[EpochCallback]]]


@contextmanager
def unwatched(_part: Part) -> Iterator[Sequence[EpochCallback]]:
    """Watch nothing."""
    yield ()
