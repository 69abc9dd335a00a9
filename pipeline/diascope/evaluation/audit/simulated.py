"""A made-up cohort in which one scanner misses more: to see what an audit of 2,000 patients looks like."""

import numpy as np
import pandas as pd
from scipy.special import expit

from diascope.evaluation.audit.settings import AuditSettings, Gate

PATIENTS = 2000

# On the planted scanner this share of the ill score as if they were healthy.
MISSED_ON_OLD_SCANNER = 0.35

OLD_SCANNER = "ACME"

SIMULATED_PLAN = AuditSettings(
    groups=("sex", "age_years", "manufacturer", "site"),
    gate=Gate(max_gap={"sensitivity": 0.15, "specificity": 0.15}),
    is_simulated=True,
    title="Bias audit of simulated predictions with a planted scanner bias",
)


def simulated_predictions(seed: int = 0, patients: int = PATIENTS) -> pd.DataFrame:
    """Simulate predictions of a network that misses disease on one old scanner.

    The scanner stands mostly at one site, where more women are examined: so a gap
    between sites and sexes shows as well, and the audit has to tell whose it is.

    Args:
        seed: The same seed gives the same table.
        patients: One row each.
    """
    rng = np.random.default_rng(seed)
    site = rng.choice(["university", "district", "private practice"], patients, p=[0.5, 0.3, 0.2])
    sex = np.where(rng.random(patients) < np.where(site == "district", 0.65, 0.5), "F", "M")
    is_old = rng.random(patients) < np.where(site == "district", 0.6, 0.1)
    ill = rng.random(patients) < 0.4
    is_seen = ill & ~(is_old & (rng.random(patients) < MISSED_ON_OLD_SCANNER))
    score = expit(1.2 * rng.normal(size=patients) + np.where(is_seen, 2.0, -2.0))
    age = rng.normal(58, 16, patients).clip(18, 95).astype(int).astype(object)
    age[rng.random(patients) < 0.02] = None
    return pd.DataFrame(
        {
            "case_id": [f"simulated-{n:05d}" for n in range(patients)],
            "patient": [f"simulated-patient-{n:05d}" for n in range(patients)],
            "y": ill.astype(int),
            "score": score.round(4),
            "sex": sex,
            "age_years": age,
            "manufacturer": np.where(is_old, OLD_SCANNER, "NOVA"),
            "site": site,
        }
    )
