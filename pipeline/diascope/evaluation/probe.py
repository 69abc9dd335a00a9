"""How much of an attribute a network's features give away.

A network that encodes sex or scanner can use them as a shortcut; the less it does, the
better its fairness travels (Yang et al., Nature Medicine 2024). A plain linear
classifier is trained to read the attribute from the features of other patients; what
it reads on patients it has not seen, compared with shuffled labels, is the answer.
That features hold an attribute does not prove that predictions use it.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.model_selection import GroupKFold

from diascope.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 5

# Of the ridge, as a share of the mean squared length of a standardised column.
SHRINKAGE = 0.1

# With fewer patients than this in a class a fold may hold none of them.
FEWEST_IN_CLASS = 10


@dataclass(frozen=True, slots=True)
class Probe:
    """What features give away of an attribute.

    Attributes:
        attribute: Its name.
        auc: Of telling its values apart on unseen patients, averaged over one value
            against the others; None if it could not be asked.
        p: That shuffled labels are told apart as well.
        patients: How many were used.
        reason: Why it could not be asked; else empty.
    """

    attribute: str
    auc: float | None
    p: float | None
    patients: int
    reason: str = ""


def probe(
    features: Floats,
    values: Sequence[str | None],
    patients: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    attribute: str = "attribute",
    rounds: int = 200,
) -> Probe:
    """Try to read an attribute from features.

    Args:
        features: (n, d) one vector per image.
        values: (n,) the attribute; None where it is not known, left out.
        patients: (n,) whose image it is: never in training and test at once.
        rng: Where chance comes from.
        attribute: Name for the result.
        rounds: Shuffles for the p value.
    """
    if not len(features) == len(values) == len(patients):
        raise InputError(f"{len(features)} features, {len(values)} values and {len(patients)} patients")
    known = np.array([value is not None for value in values])
    code, levels = pd.factorize(np.array([value for value in values if value is not None], dtype=object), sort=True)
    owner = pd.factorize(np.asarray(patients, dtype=object)[known])[0]
    people = [len(np.unique(owner[code == at])) for at in range(len(levels))]
    enough = [at for at, n in enumerate(people) if n >= FEWEST_IN_CLASS]
    if len(enough) < 2:
        return Probe(attribute, None, None, int(sum(people)), f"fewer than two values with {FEWEST_IN_CLASS} patients")
    kept = np.isin(code, enough)
    x = np.asarray(features, dtype=np.float64)[known][kept]
    y = pd.factorize(code[kept])[0]
    group = pd.factorize(owner[kept])[0]
    # The labels as they are, and shuffled: one column each, so that all are read in one go.
    labels = np.stack([y, *(_shuffled(y, group, rng) for _ in range(rounds))], axis=1)
    read = _read(x, labels, group)
    p = float((read >= read[0]).sum() / (rounds + 1))
    return Probe(attribute, float(read[0]), p, len(np.unique(group)))


def _read(x: Floats, labels: Ints, group: Ints) -> Floats:
    # (columns,) AUC on unseen patients of each column of labels.
    values = range(1) if labels.max() == 1 else range(int(labels.max()) + 1)
    targets = np.concatenate([labels == value for value in values], axis=1).astype(np.float64)
    scores = np.zeros_like(targets)
    for train, test in GroupKFold(FOLDS).split(x, groups=group):
        mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
        seen, unseen = ((x[rows] - mean) / np.where(spread > 0, spread, 1.0) for rows in (train, test))
        left, size, right = np.linalg.svd(seen, full_matrices=False)
        shrunk = size / (size**2 + SHRINKAGE * len(train))
        centred = targets[train] - targets[train].mean(axis=0)
        scores[test] = (unseen @ right.T * shrunk) @ (left.T @ centred)
    averaged: Floats = _auc(targets, scores).reshape(len(values), -1).mean(axis=0)
    return averaged


def _auc(targets: Floats, scores: Floats) -> Floats:
    positives = targets.sum(axis=0)
    ranks: Floats = (rankdata(scores, axis=0) * targets).sum(axis=0)
    above: Floats = (ranks - positives * (positives + 1) / 2) / (positives * (len(targets) - positives))
    return above


def _shuffled(y: Ints, group: Ints, rng: np.random.Generator) -> Ints:
    # Whole patients swap labels: shuffling rows would break what makes rows alike.
    first = np.unique(group, return_index=True)[1]
    return y[first][rng.permutation(len(first))][group]
