"""How long evaluation takes: `python benchmarks/evaluation.py`.

Prints seconds of wall and of processor time, and the largest memory, for
- Dice, NSD and HD95 of a 512 x 512 x 300 pair, per label (aim: 2 s);
- an audit of 100,000 predictions with 8 attributes, their intersections and 1,000
  draws (aim: 60 s and 2 GB on 2 cores).
"""

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.evaluation.audit.audit import audit
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.segmentation import compare_masks
from diascope.geometry import Grid
from diascope.volume import Mask

CT_SHAPE = (512, 512, 300)
ATTRIBUTES = {
    "sex": 2,
    "age_band": 5,
    "ethnic_group": 5,
    "site": 6,
    "manufacturer": 4,
    "kernel": 5,
    "kvp": 3,
    "view": 2,
}


def main() -> None:
    """Measure and print."""
    for name, radius in (("nodule of 14 mm", 10), ("liver", 100), ("whole body", 230)):
        _timed(f"512x512x300, {name}", lambda radius=radius: _pair(radius), _compare)
    for repeated in (1, 3):
        title = f"audit of 100,000 predictions, {repeated} per patient"
        _timed(title, lambda repeated=repeated: _predictions(100_000, repeated), _audit)


def _timed(title: str, make: Callable[[], Any], work: Callable[[Any], object]) -> None:
    made = make()
    wall, processor = time.perf_counter(), time.process_time()
    work(made)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{title:<50} {wall:7.2f} s wall {processor:7.2f} s processor, peak so far {peak_gb:.2f} GB")


def _pair(radius: int) -> tuple[Mask, Mask]:
    i, j, k = np.ogrid[: CT_SHAPE[0], : CT_SHAPE[1], : CT_SHAPE[2]]
    inside: NDArray[np.uint8] = ((i - 256) ** 2 + (j - 256) ** 2 + (k - 150) ** 2 < radius**2).astype(np.uint8)
    grid = Grid(CT_SHAPE, np.diag([0.7, 0.7, 1.0, 1.0]))
    return Mask(np.roll(inside, 3, axis=0), grid, {1: "object"}), Mask(inside, grid, {1: "object"})


def _compare(pair: tuple[Mask, Mask]) -> object:
    return compare_masks(*pair)


def _predictions(n: int, per_patient: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    patients = n // per_patient
    of_patient = {name: rng.integers(0, levels, patients + 1) for name, levels in ATTRIBUTES.items()}
    patient = np.arange(n) // per_patient
    frame = pd.DataFrame(
        {name: np.char.add(f"{name} ", values[patient].astype(str)) for name, values in of_patient.items()}
    )
    frame["case_id"], frame["patient"] = np.arange(n), patient
    frame["y"] = rng.random(n) < 0.3
    frame["y"] = frame["y"].astype(int)
    frame["score"] = 1 / (1 + np.exp(-rng.normal(size=n) - 1.5 * (2 * frame["y"] - 1)))
    return frame


def _audit(frame: pd.DataFrame) -> object:
    return audit(frame, AuditSettings(groups=tuple(ATTRIBUTES), rounds=1000))


if __name__ == "__main__":
    main()
