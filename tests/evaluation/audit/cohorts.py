"""Simulated predictions whose bias is known, because it was planted."""

import numpy as np
import pandas as pd
from scipy.special import expit

SITES = ("north", "south", "east")


def cohort(
    seed: int,
    patients: int = 4000,
    *,
    missed_in: tuple[str, str] | None = None,
    missed: float = 0.0,
    women_on_old_scanner: float = 0.5,
) -> pd.DataFrame:
    """Simulate a classification in which one group's ill are missed more often.

    Args:
        seed: Of chance.
        patients: One row each.
        missed_in: (column, value) of the group whose ill score low.
        missed: Share of that group's ill who score as if they were healthy.
        women_on_old_scanner: Share of women examined on the scanner OLD; 0.5 of men are.
    """
    rng = np.random.default_rng(seed)
    sex = rng.choice(["F", "M"], patients)
    old = rng.random(patients) < np.where(sex == "F", women_on_old_scanner, 0.5)
    frame = pd.DataFrame(
        {
            "case_id": [f"c{n}" for n in range(patients)],
            "patient": [f"p{n}" for n in range(patients)],
            "sex": sex,
            "age_years": rng.integers(20, 90, patients),
            "manufacturer": np.where(old, "OLD", "NEW"),
            "site": rng.choice(SITES, patients, p=[0.5, 0.3, 0.2]),
        }
    )
    ill = rng.random(patients) < 0.35
    sees = ill.copy()
    if missed_in is not None:
        column, value = missed_in
        sees &= ~((frame[column] == value).to_numpy() & (rng.random(patients) < missed))
    frame["y"] = ill.astype(int)
    frame["score"] = expit(rng.normal(size=patients) + np.where(sees, 1.6, -1.6))
    return frame
