"""Whether a batch still looks like the reference, and what moved.

Three numbers, because each is blind to something: PSI (how much the shape changed,
whatever the sample size), Kolmogorov and Smirnov's test or a permutation of the
categories (whether chance would do it), MMD on feature vectors (what no single
column shows). A column has moved if both hold: beyond chance, Holm-corrected, and a
PSI that matters. Rows are taken one per patient.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from diascope.errors import InputError
from diascope.evaluation.many_tests import holm

Floats = NDArray[np.float64]

BINS = 10

# Usual in credit scoring, where PSI comes from: below 0.1 no change, above 0.25 a large one.
MATTERS = 0.1

# Keeps an empty bin from making PSI infinite: half a case.
HALF_A_CASE = 0.5

# The kernel of 1,000 rows against 1,000 needs 8 MB; more tell no more.
MOST_ROWS = 1000

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Moved:
    """One column of a batch against the reference.

    Attributes:
        name: Of the column; `features` for the vectors.
        kind: `number`, `category` or `vector`.
        psi: Population stability index; None for vectors.
        statistic: Kolmogorov-Smirnov's distance, the permuted chi-square, or MMD squared.
        p: That chance does this.
        p_holm: Corrected for all columns.
        has_moved: Beyond chance, and enough to matter.
        words: What moved, and where to.
    """

    name: str
    kind: Literal["number", "category", "vector"]
    psi: float | None
    statistic: float
    p: float
    p_holm: float
    has_moved: bool
    words: str


def drift(
    reference: pd.DataFrame, batch: pd.DataFrame, rng: np.random.Generator, rounds: int = 500
) -> tuple[Moved, ...]:
    """Compare every column that both tables have.

    Args:
        reference: One row per patient.
        batch: One row per patient.
        rng: Where chance comes from.
        rounds: Permutations for categories.

    Raises:
        InputError: The tables share no column, or one is empty.
    """
    shared = [name for name in reference.columns if name in batch.columns]
    if not shared or reference.empty or batch.empty:
        raise InputError(f"nothing to compare: {len(reference)} and {len(batch)} rows, {len(shared)} shared columns")
    found = [_column(str(name), reference[name], batch[name], rng, rounds) for name in shared]
    return with_holm(found)


def with_holm(found: Sequence[Moved]) -> tuple[Moved, ...]:
    """Correct the p values of several comparisons, and decide what has moved."""
    corrected = holm([one.p for one in found])
    return tuple(
        Moved(
            one.name,
            one.kind,
            one.psi,
            one.statistic,
            one.p,
            p,
            has_moved=p < ALPHA and (one.psi is None or one.psi >= MATTERS),
            words=one.words,
        )
        for one, p in zip(found, corrected, strict=True)
    )


def psi_of_numbers(reference: Floats, batch: Floats, bins: int = BINS) -> float:
    """Compute the population stability index over bins that hold equal shares of the reference.

    Args:
        reference: (n,) numbers; NaN is a bin of its own.
        batch: (m,) numbers.
        bins: How many.
    """
    known = reference[~np.isnan(reference)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if known.size else np.empty(0)
    counts = [
        np.append(
            np.bincount(np.searchsorted(edges, x[~np.isnan(x)], side="right"), minlength=len(edges) + 1),
            np.isnan(x).sum(),
        )
        for x in (reference, batch)
    ]
    return _psi(counts[0], counts[1])


def mmd(reference: Floats, batch: Floats, rng: np.random.Generator, rounds: int = 200) -> tuple[float, float]:
    """Compute the maximum mean discrepancy of two sets of vectors, and its p value.

    Gretton et al. (JMLR 2012): Gaussian kernel as wide as the median distance, labels
    permuted.

    Args:
        reference: (n, d) vectors; columns are brought to one scale.
        batch: (m, d) vectors.
        rng: Where chance comes from.
        rounds: Permutations.

    Returns:
        MMD squared (unbiased, so about 0 without a difference), and p.
    """
    sides = [x if len(x) <= MOST_ROWS else x[rng.choice(len(x), MOST_ROWS, replace=False)] for x in (reference, batch)]
    n, m = len(sides[0]), len(sides[1])
    if min(n, m) < 2:
        raise InputError(f"MMD needs two rows on each side, got {n} and {m}")
    every = np.concatenate(sides).astype(np.float64)
    spread = every.std(axis=0)
    every = (every - every.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    squared = cdist(every, every, "sqeuclidean")
    width = float(np.median(squared[np.triu_indices_from(squared, 1)])) or 1.0
    kernel = np.exp(-squared / width)
    np.fill_diagonal(kernel, 0.0)
    inside = np.zeros((rounds + 1, n + m))
    inside[0, :n] = 1.0
    for at in range(1, rounds + 1):
        inside[at, rng.choice(n + m, n, replace=False)] = 1.0
    values = _mmd_squared(kernel, inside, n, m)
    return float(values[0]), float((values >= values[0] - 1e-12).sum() / (rounds + 1))


def drift_of_vectors(reference: Floats, batch: Floats, rng: np.random.Generator) -> Moved:
    """Compare feature vectors; see `mmd`.

    Args:
        reference: (n, d) one per patient.
        batch: (m, d) one per patient.
        rng: Where chance comes from.
    """
    value, p = mmd(reference, batch, rng)
    return Moved("features", "vector", None, value, p, p, p < ALPHA, "the network's features lie elsewhere")


def one_row_per_patient(table: pd.DataFrame, patients: Sequence[Hashable], rng: np.random.Generator) -> pd.DataFrame:
    """Keep one row of each patient, at random: rows of one patient are not independent."""
    shuffled = table.assign(_patient=np.asarray(patients, dtype=object)).iloc[rng.permutation(len(table))]
    return shuffled.drop_duplicates("_patient").drop(columns="_patient")


def _column(name: str, reference: pd.Series, batch: pd.Series, rng: np.random.Generator, rounds: int) -> Moved:
    if all(pd.api.types.is_numeric_dtype(side) and not pd.api.types.is_bool_dtype(side) for side in (reference, batch)):
        before, after = (side.to_numpy(dtype=np.float64) for side in (reference, batch))
        return _number(name, before, after)
    return _category(name, reference, batch, rng, rounds)


def _number(name: str, before: Floats, after: Floats) -> Moved:
    known = [x[~np.isnan(x)] for x in (before, after)]
    psi = psi_of_numbers(before, after)
    if min(len(x) for x in known) == 0:
        return Moved(
            name,
            "number",
            psi,
            1.0,
            0.0 if psi >= MATTERS else 1.0,
            1.0,
            has_moved=False,
            words=f"{name}: only one side has values",
        )
    tested = ks_2samp(known[0], known[1])
    middle = [float(np.median(x)) for x in known]
    words = f"{name}: median {middle[0]:.4g} became {middle[1]:.4g}"
    return Moved(name, "number", psi, float(tested.statistic), float(tested.pvalue), 1.0, has_moved=False, words=words)


def _category(name: str, reference: pd.Series, batch: pd.Series, rng: np.random.Generator, rounds: int) -> Moved:
    text = pd.concat([reference, batch]).astype(object).where(lambda x: x.notna(), "missing").astype(str)
    code, levels = pd.factorize(text, sort=True)
    n = len(reference)
    counts = np.bincount(code, minlength=len(levels))
    before = np.bincount(code[:n], minlength=len(levels))
    expected = counts * n / len(code)
    dealt = rng.multivariate_hypergeometric(counts, n, size=rounds, method="marginals")
    seen, chance = (((x - expected) ** 2 / expected).sum(axis=-1) for x in (before, dealt))
    p = float(((chance >= seen - 1e-9).sum() + 1) / (rounds + 1))
    after = counts - before
    shares = before / n, after / max(len(batch), 1)
    widest = int(np.argmax(np.abs(shares[1] - shares[0])))
    words = f"{name}: {levels[widest]} was {100 * shares[0][widest]:.0f} % and is {100 * shares[1][widest]:.0f} %"
    return Moved(name, "category", _psi(before, after), float(seen), p, 1.0, has_moved=False, words=words)


def _psi(before: NDArray[np.int64], after: NDArray[np.int64]) -> float:
    used = (before + after) > 0
    p, q = ((x[used] + HALF_A_CASE) / (x[used] + HALF_A_CASE).sum() for x in (before, after))
    return float(((q - p) * np.log(q / p)).sum())


def _mmd_squared(kernel: Floats, inside: Floats, n: int, m: int) -> Floats:
    # The kernel's diagonal is 0: the unbiased estimate leaves a row out of its own side.
    toward = inside @ kernel
    within = (toward * inside).sum(axis=1)
    across = (toward * (1 - inside)).sum(axis=1)
    others = kernel.sum() - within - 2 * across
    squared: Floats = within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * across / (n * m)
    return squared
