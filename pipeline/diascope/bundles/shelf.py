"""Networks kept open from one case to the next, as many as memory is meant for them."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Generic[T]):
    """Keeps what is dear to make; what was not used for longest goes when all outweighs the budget.

    A run asks its networks in turn, case by case. A cache of a fixed number of them would,
    with one network more, make each anew for every case: weight is what counts.
    """

    def __init__(self, budget_bytes: int, weigh: Callable[[T], int]) -> None:
        """Start empty.

        Args:
            budget_bytes: What is kept may weigh so much; the newest is kept whatever it weighs.
            weigh: Says how many bytes something takes.
        """
        self._budget_bytes = budget_bytes
        self._weigh = weigh
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give what is kept under a key, or make it."""
        with self._lock:
            if key not in self._kept:
                made = make()
                self._kept[key] = made, self._weigh(made)
                while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > self._budget_bytes:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key][0]
