"""Intervals by drawing patients anew: the cluster bootstrap, vectorised.

Rows of one patient (images, lesions, slices) are not independent, so whole patients
are drawn with replacement and their rows with them (Field and Welsh, J R Stat Soc B
2007). The draw is a table of weights, `rounds` by patients, so that everything that
is a sum over rows is one matrix product.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDS = 1000
LEVEL = 0.95

# Bounds the memory of a draw: 25 rounds of 100,000 rows are 20 MB of float64.
ROUNDS_AT_ONCE = 25

# With fewer patients than this the percentiles of a bootstrap are far too narrow:
# the value is given, the interval is not.
FEWEST_PATIENTS = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, how sure it is, and on how much it rests.

    Attributes:
        value: None where it is not defined (the mean of no cases); never 0 in its place.
        low: Lower end of the interval at `LEVEL`; None where there are too few patients.
        high: Upper end.
        n: How many rows are behind it.
        reason: Why there is no value or no interval; else empty.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse a silent hole, and numbers that are none."""
        if self.value is None and not self.reason:
            raise InputError("an estimate without a value needs a reason")
        for number in (self.value, self.low, self.high):
            if number is not None and np.isnan(number):
                raise InputError("an estimate holds NaN; it should be None, with a reason")

    def __str__(self) -> str:
        if self.value is None:
            return f"not defined ({self.reason})"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True, eq=False)
class Resampling:
    """Patients drawn anew, many times.

    Attributes:
        code: (rows,) which patient a row belongs to, 0..patients-1.
        weights: (rounds, patients) how often a patient was drawn in a round. One
            byte each: 1,000 rounds of 100,000 patients must fit into memory.
    """

    code: Ints
    weights: NDArray[np.uint8]

    @property
    def patients(self) -> int:
        """How many patients there are."""
        return int(self.weights.shape[1])

    def sums(self, values: Floats) -> Floats:
        """Add up values over the rows of each round.

        Args:
            values: (rows,) or (rows, m); NaN counts as nothing.

        Returns:
            (rounds,) or (rounds, m).
        """
        filled = np.nan_to_num(np.asarray(values, dtype=np.float64))
        flat = filled.reshape(len(filled), -1)
        per_patient = np.stack([np.bincount(self.code, column, self.patients) for column in flat.T], axis=1)
        total = np.empty((len(self.weights), per_patient.shape[1]))
        for start in range(0, len(self.weights), ROUNDS_AT_ONCE):
            rounds = slice(start, start + ROUNDS_AT_ONCE)
            total[rounds] = self.weights[rounds].astype(np.float64) @ per_patient
        return total.reshape((len(self.weights), *filled.shape[1:]))

    def row_weights(self) -> Iterator[Floats]:
        """Give (some rounds, rows) weights, a few rounds at a time."""
        for start in range(0, len(self.weights), ROUNDS_AT_ONCE):
            yield self.weights[start : start + ROUNDS_AT_ONCE][:, self.code].astype(np.float64)

    def rows_of(self, at: int) -> Ints:
        """List the rows of one round, a patient drawn twice with its rows twice."""
        return np.repeat(np.arange(len(self.code)), self.weights[at].astype(np.int64)[self.code])


def resample(patients: Sequence[Hashable], rng: np.random.Generator, rounds: int = ROUNDS) -> Resampling:
    """Draw patients with replacement.

    Args:
        patients: One per row; rows of the same patient stay together.
        rng: Where chance comes from.
        rounds: How many draws.
    """
    code, distinct = pd.factorize(np.asarray(patients, dtype=object))
    n = len(distinct)
    if n == 0:
        return Resampling(code.astype(np.int64), np.zeros((rounds, 0), dtype=np.uint8))
    weights = np.empty((rounds, n), dtype=np.uint8)
    for at in range(rounds):
        # Nobody is drawn more than 255 times: that has a probability below 1e-500.
        weights[at] = np.bincount(rng.integers(0, n, n), minlength=n)
    return Resampling(code.astype(np.int64), weights)


def mean_estimate(values: Sequence[float | None] | Floats, drawn: Resampling, *, nothing: str) -> Estimate:
    """Average what is defined, with the interval of the draws.

    Args:
        values: (rows,) None or NaN where a row has no value; those are left out
            of n, so whoever calls decides what a failure counts.
        drawn: The draws over the same rows.
        nothing: Why, if no row has a value.
    """
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    known = np.isfinite(numbers)
    return ratio_estimate(np.where(known, numbers, 0.0), known.astype(np.float64), drawn, nothing=nothing)


def ratio_estimate(top: Floats, bottom: Floats, drawn: Resampling, *, nothing: str) -> Estimate:
    """Divide two sums over rows, with the interval of the draws.

    Args:
        top: (rows,) what is summed above the line.
        bottom: (rows,) what is summed below it.
        drawn: The draws over the same rows.
        nothing: Why, if the sum below is 0.
    """
    n = int(np.count_nonzero(bottom))
    if n == 0:
        return Estimate(None, n=0, reason=nothing)
    value = float(top.sum() / bottom.sum())
    behind = np.unique(drawn.code[np.asarray(bottom) != 0]).size
    if behind < FEWEST_PATIENTS:
        return Estimate(value, n=n, reason=f"{behind} patients are too few for an interval")
    sums = drawn.sums(np.stack([top, bottom], axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        rounds = sums[:, 0] / sums[:, 1]
    low, high = interval(rounds)
    return Estimate(value, low, high, n)


def median_estimate(values: Sequence[float | None] | Floats, drawn: Resampling, *, nothing: str) -> Estimate:
    """Take the median of what is defined, with the interval of the draws; see `mean_estimate`."""
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    known = np.flatnonzero(~np.isnan(numbers))
    if known.size == 0:
        return Estimate(None, n=0, reason=nothing)
    value = float(np.median(numbers[known]))
    behind = np.unique(drawn.code[known]).size
    if behind < FEWEST_PATIENTS:
        return Estimate(value, n=known.size, reason=f"{behind} patients are too few for an interval")
    order = known[np.argsort(numbers[known], kind="stable")]
    rounds = np.concatenate([_weighted_median(numbers[order], weights[:, order]) for weights in drawn.row_weights()])
    low, high = interval(rounds)
    return Estimate(value, low, high, known.size)


def any_estimate(
    statistic: Callable[[Ints], float | None], drawn: Resampling, *, n: int, nothing: str, rounds: int | None = None
) -> Estimate:
    """Give any statistic of rows its interval, one round after the other.

    For what is no ratio of sums (a median, an area); slower than `ratio_estimate`.

    Args:
        statistic: Takes row numbers, gives the number, or None where it is not defined.
        drawn: The draws.
        n: How many rows are behind it.
        nothing: Why, if it is not defined.
        rounds: Use only so many of the draws.
    """
    value = statistic(np.arange(len(drawn.code)))
    if value is None:
        return Estimate(None, n=n, reason=nothing)
    if drawn.patients < FEWEST_PATIENTS:
        return Estimate(value, n=n, reason=f"{drawn.patients} patients are too few for an interval")
    values = [statistic(drawn.rows_of(at)) for at in range(min(rounds or ROUNDS, len(drawn.weights)))]
    low, high = interval(np.array([np.nan if v is None else v for v in values], dtype=np.float64))
    return Estimate(value, low, high, n)


def interval(rounds: Floats) -> tuple[float | None, float | None]:
    """Take the percentiles of the draws; draws in which nothing was defined are left out.

    Args:
        rounds: (rounds,) the statistic of each draw, NaN where it was not defined.
    """
    defined = rounds[np.isfinite(rounds)]
    # A statistic that most draws cannot give has no interval worth showing.
    if 2 * defined.size < rounds.size or defined.size == 0:
        return None, None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]).tolist()
    return low, high


def _weighted_median(ascending: Floats, weights: Floats) -> Floats:
    reached = np.cumsum(weights, axis=1)
    total = reached[:, -1:]
    lower = np.argmax(reached >= total / 2, axis=1)
    upper = np.argmax(reached > total / 2, axis=1)
    return np.where(total[:, 0] > 0, (ascending[lower] + ascending[upper]) / 2, np.nan)
