"""Whether promises were kept: coverage of conformal sets, and the bound on missed lesion volume.

Checked on cases that did not make the promise, overall and by subgroup. A promise is
about the average over patients; for a subgroup nobody promised anything, so what is
seen there is told, and not judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.evaluation.audit.groups import attribute_of
from diascope.evaluation.audit.settings import DEFAULT_BANDS
from diascope.evaluation.bootstrap import Estimate
from diascope.evaluation.proportions import average_estimate, share_estimate

Floats = NDArray[np.float64]
Kind = Literal["coverage", "missed_volume"]

# A column with more values than this is no division into groups.
MOST_GROUPS = 12


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise, and what came of it.

    Attributes:
        kind: What was promised.
        bundle: Who promised it.
        name: Class or label.
        promised: Least share of covered cases, or most mean missed share.
        seen: What came, with its interval.
        is_broken: The interval lies on the wrong side of the promise.
        by_group: The same in each group of each attribute that divides the cases.
    """

    kind: Kind
    bundle: str
    name: str
    promised: float
    seen: Estimate
    is_broken: bool
    by_group: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of a promise in one case.

    Attributes:
        bundle: Who promised it.
        name: Class or label.
        promised: See `Promise`.
        value: 1 for a covered case and 0 for another, or the missed share.
        patient: Whose case it is.
        facts: Of patient and scanner, by attribute.
    """

    bundle: str
    name: str
    promised: float
    value: float
    patient: str
    facts: Mapping[str, object]


def check_promises(kind: Kind, cases: Sequence[Kept]) -> tuple[Promise, ...]:
    """Compare what was promised with what came, for each network and class or label."""
    keys = dict.fromkeys((one.bundle, one.name, one.promised) for one in cases)
    return tuple(_check(kind, [one for one in cases if (one.bundle, one.name, one.promised) == key]) for key in keys)


def _check(kind: Kind, cases: Sequence[Kept]) -> Promise:
    first = cases[0]
    value = np.array([one.value for one in cases])
    code = pd.factorize(np.array([one.patient for one in cases], dtype=object))[0].astype(np.int64)
    seen = _seen(kind, value, np.ones(len(value)), code)
    end = seen.high if kind == "coverage" else seen.low
    wrong = end is not None and (end < first.promised if kind == "coverage" else end > first.promised)
    groups: dict[str, dict[str, Estimate]] = {}
    for attribute in dict.fromkeys(name for one in cases for name in one.facts):
        column = pd.Series([one.facts.get(attribute) for one in cases], name=attribute, dtype=object)
        try:
            found, _ = attribute_of(column, code, DEFAULT_BANDS.get(attribute), MOST_GROUPS)
        except InputError:  # an identifier, or a number nobody banded: no groups
            continue
        if len(found.levels) > 1:
            groups[attribute] = {
                level: _seen(kind, value, (found.code == at).astype(np.float64), code)
                for at, level in enumerate(found.levels)
            }
    return Promise(kind, first.bundle, first.name, first.promised, seen, bool(wrong), groups)


def _seen(kind: Kind, value: Floats, inside: Floats, code: NDArray[np.int64]) -> Estimate:
    if kind == "coverage":
        return share_estimate(value * inside, inside, code, nothing="no cases")
    return average_estimate(value * inside, inside, code, nothing="no cases", most=1.0)
