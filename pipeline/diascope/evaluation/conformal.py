"""Promises that hold by counting: conformal sets of classes, and a bound on what is missed.

Both need a calibration split that comes from where the network is used, and hold on
average over such splits and cases, not for each case. Cases of one patient are not
exchangeable with those of others, so one case of each patient is used. Where the
calibration split is too small for the promise, the set holds every class and there is
no threshold: the promise is never bent.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.evaluation.bootstrap import Estimate
from diascope.evaluation.proportions import share_estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

EVERYBODY = ""


@dataclass(frozen=True, slots=True)
class ConformalSets:
    """A calibrated rule for which classes stay open.

    Attributes:
        coverage: Promised share of cases whose true class is in the set.
        limits: By group, a class stays open if 1 - score is at most this; the group
            `EVERYBODY` is for those without one of their own. Infinite where the
            calibration cases do not suffice.
        cases: By group, how many patients it rests on.
    """

    coverage: float
    limits: Mapping[str, float]
    cases: Mapping[str, int]

    def sets(self, scores: Floats, groups: Sequence[str] | None = None) -> Bools:
        """Say which classes stay open.

        Args:
            scores: (n, classes) probabilities.
            groups: (n,) of each case, if the rule was calibrated by group.

        Returns:
            (n, classes) whether a class is in the set.
        """
        names = [EVERYBODY] * len(scores) if groups is None else groups
        limit = np.array([self.limits.get(name, self.limits[EVERYBODY]) for name in names])
        open_classes: Bools = 1 - np.asarray(scores, dtype=np.float64) <= limit[:, None]
        return open_classes


def calibrate_sets(
    scores: Floats,
    truth: Ints,
    patients: Sequence[Hashable],
    coverage: float,
    rng: np.random.Generator,
    groups: Sequence[str] | None = None,
) -> ConformalSets:
    """Calibrate conformal sets (Vovk et al. 2005), for each group on its own if groups are given.

    Args:
        scores: (n, classes) probabilities of the calibration split.
        truth: (n,) the true class.
        patients: (n,) whose case it is.
        coverage: Promised share, such as 0.9.
        rng: Picks one case of each patient.
        groups: (n,) such as the scanner; a group then keeps its own promise (Mondrian).

    Raises:
        InputError: The coverage lies outside 0..1, or there is no case.
    """
    _check(coverage, len(truth))
    kept = one_per_patient(patients, rng)
    distance = 1 - np.asarray(scores, dtype=np.float64)[kept, np.asarray(truth)[kept]]
    limits, cases = {EVERYBODY: _limit(distance, coverage)}, {EVERYBODY: len(kept)}
    if groups is not None:
        names = np.asarray(groups, dtype=object)[kept]
        for name in dict.fromkeys(names.tolist()):
            mine = distance[names == name]
            limits[name], cases[name] = _limit(mine, coverage), len(mine)
    return ConformalSets(coverage, limits, cases)


@dataclass(frozen=True, slots=True)
class MissBound:
    """A threshold that keeps the missed share of lesion volume below a bound, on average.

    Attributes:
        bound: Promised mean share.
        threshold: A voxel of this score or more is drawn; None where the calibration
            cases do not suffice at any threshold.
        cases: How many patients it rests on.
    """

    bound: float
    threshold: float | None
    cases: int


def missed_share(score: Floats, truth: Bools, thresholds: Floats) -> Floats:
    """Say how much of a lesion is missed at each threshold.

    Args:
        score: (i, j, k) of each voxel.
        truth: (i, j, k) the lesion; it must not be empty.
        thresholds: (t,) ascending.

    Returns:
        (t,) share of the lesion's voxels that score below.
    """
    inside = np.sort(np.asarray(score)[truth])
    if inside.size == 0:
        raise InputError("nothing can be missed where there is no lesion: leave such cases out", code="empty_truth")
    return np.searchsorted(inside, thresholds, side="left") / inside.size


def control_misses(
    missed: Floats, thresholds: Floats, patients: Sequence[Hashable], bound: float, rng: np.random.Generator
) -> MissBound:
    """Find the highest threshold whose missed share is held (conformal risk control).

    Angelopoulos et al. (ICLR 2024): with n cases the mean loss, one lost case
    added, must not exceed the bound.

    Args:
        missed: (n, t) missed share of each calibration case at each threshold.
        thresholds: (t,) ascending.
        patients: (n,) whose case it is.
        bound: Promised mean share, such as 0.1.
        rng: Picks one case of each patient.
    """
    _check(bound, len(missed))
    if (np.diff(thresholds) <= 0).any() or (np.diff(missed, axis=1) < 0).any():
        raise InputError("thresholds must ascend, and a higher one can only miss more", code="bad_thresholds")
    kept = one_per_patient(patients, rng)
    n = len(kept)
    risk = (missed[kept].sum(axis=0) + 1) / (n + 1)
    held = np.flatnonzero(risk <= bound)
    return MissBound(bound, float(thresholds[held[-1]]) if held.size else None, n)


def coverage_of(
    covered: Bools, patients: Sequence[Hashable], groups: Sequence[str] | None = None
) -> dict[str, Estimate]:
    """Check a promise on held-out cases, overall and by group.

    Args:
        covered: (n,) whether the true class was in the set.
        patients: (n,) whose case it is.
        groups: (n,) such as the scanner.
    """
    code = pd.factorize(np.asarray(patients, dtype=object))[0].astype(np.int64)
    hits, ones = np.asarray(covered, dtype=np.float64), np.ones(len(covered))
    found = {EVERYBODY: share_estimate(hits, ones, code, nothing="no cases")}
    names = np.asarray(groups if groups is not None else [], dtype=object)
    for name in dict.fromkeys(names.tolist()):
        mine = (names == name).astype(np.float64)
        found[name] = share_estimate(hits * mine, mine, code, nothing="no cases")
    return found


def one_per_patient(patients: Sequence[Hashable], rng: np.random.Generator) -> Ints:
    """Pick one row of each patient at random."""
    code = pd.factorize(np.asarray(patients, dtype=object))[0]
    order = rng.permutation(len(code))
    _, first = np.unique(code[order], return_index=True)
    return np.sort(order[first])


def _limit(distance: Floats, coverage: float) -> float:
    # The (n + 1) is the case to come: with 8 cases no set below all classes covers 90 %.
    rank = int(np.ceil((len(distance) + 1) * coverage - 1e-9))
    return float("inf") if rank > len(distance) else float(np.sort(distance)[rank - 1])


def _check(promise: float, n: int) -> None:
    if not 0 < promise < 1:
        raise InputError(f"a promise is a share between 0 and 1, got {promise}")
    if n == 0:
        raise InputError("there is no calibration case", code="empty_table")
