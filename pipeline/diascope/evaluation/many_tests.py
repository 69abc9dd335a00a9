"""Corrections for having asked many questions of the same data."""

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """Correct p values so that the chance of any false alarm among them is held (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    raised = np.asarray(p, dtype=np.float64)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return [float(value) for value in corrected]


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Correct p values so that the share of false alarms among the alarms is held (1995): exploratory."""
    order = np.argsort(p, kind="stable")[::-1]
    n = len(p)
    raised = np.asarray(p, dtype=np.float64)[order] * n / np.arange(n, 0, -1)
    corrected = np.empty(n)
    corrected[order] = np.minimum(np.minimum.accumulate(raised), 1.0)
    return [float(value) for value in corrected]
