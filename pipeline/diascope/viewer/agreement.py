"""How far readers agree beyond chance.

Cohen's kappa of each pair of readers (Cohen 1960), and Krippendorff's alpha over all of
them, which stands for cases that not everybody read (Hayes and Krippendorff 2007).
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

Ratings = Mapping[str, Mapping[str, Hashable]]
"""What each reader said of each case: reader -> case -> word."""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two readers.

    Attributes:
        readers: Their names.
        cases: That both read.
        agreed: Part of them with the same verdict; None without cases.
        kappa: Cohen's; None where it is not defined (both always said one and the same word).
    """

    readers: tuple[str, str]
    cases: int
    agreed: float | None
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """All readers.

    Attributes:
        readers: How many.
        cases: Read by at least two of them.
        alpha: Krippendorff's; None where it is not defined.
        pairs: Each two of them.
    """

    readers: int
    cases: int
    alpha: float | None
    pairs: tuple[PairAgreement, ...]


def agreement(ratings: Ratings, level: Literal["nominal", "interval"] = "nominal") -> Agreement:
    """Compare readers.

    Args:
        ratings: What each said of each case.
        level: `interval` for numbers: a 4 is nearer to a 5 than a 1 is.
    """
    names = sorted(ratings)
    pairs = tuple(_pair(ratings, (one, other)) for one, other in combinations(names, 2))
    units = _units(ratings)
    return Agreement(len(names), len(units), krippendorff_alpha(units, level), pairs)


def cohen_kappa(said: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Give Cohen's kappa of two readers.

    Args:
        said: What the one and the other said of each case.
    """
    if not said:
        return None
    ones, others = (Counter(pair[at] for pair in said) for at in (0, 1))
    n = len(said)
    by_chance = sum(ones[word] * others[word] for word in ones) / n**2
    if by_chance == 1:
        return None
    return (sum(one == other for one, other in said) / n - by_chance) / (1 - by_chance)


def krippendorff_alpha(
    units: Sequence[Sequence[Hashable]], level: Literal["nominal", "interval"] = "nominal"
) -> float | None:
    """Give Krippendorff's alpha.

    Args:
        units: What was said of each case, by at least two readers each.
        level: See `agreement`.
    """
    kept = [unit for unit in units if len(unit) > 1]
    everything = [word for unit in kept for word in unit]
    expected = _disagreement(everything, level)
    if not kept or expected == 0:
        return None
    n = len(everything)
    observed = sum(_disagreement(unit, level) / (len(unit) - 1) for unit in kept) / n
    return 1 - observed / (expected / (n * (n - 1)))


def _pair(ratings: Ratings, readers: tuple[str, str]) -> PairAgreement:
    one, other = (ratings[name] for name in readers)
    said = [(one[case], other[case]) for case in sorted(one.keys() & other.keys())]
    agreed = sum(first == second for first, second in said) / len(said) if said else None
    return PairAgreement(readers, len(said), agreed, cohen_kappa(said))


def _units(ratings: Ratings) -> list[list[Hashable]]:
    by_case: dict[str, list[Hashable]] = {}
    for said in ratings.values():
        for case, word in said.items():
            by_case.setdefault(case, []).append(word)
    return [unit for unit in by_case.values() if len(unit) > 1]


def _disagreement(words: Sequence[Hashable], level: Literal["nominal", "interval"]) -> float:
    # Sum over all ordered pairs, by counting each word once.
    counts = Counter(words)
    return sum(
        count * other_count * _distance(word, other, level)
        for word, count in counts.items()
        for other, other_count in counts.items()
    )


def _distance(one: Any, other: Any, level: Literal["nominal", "interval"]) -> float:
    return float((one - other) ** 2) if level == "interval" else float(one != other)
