"""Who may be seen when: patients dealt out to train, calibration and test, the same way everywhere.

All images of a patient are in one part. Within each stratum the patients stand in the
order of a keyed digest, so that the split depends on the seed and their names alone,
never on the order of files.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from diascope.config import Settings

Split = Literal["train", "calibration", "test"]
SPLITS: tuple[Split, ...] = ("train", "calibration", "test")

Share = Annotated[float, Field(ge=0, le=1)]


class SplitSettings(Settings):
    """How patients are dealt out."""

    train: Share = 0.7
    """Part of the patients that a network learns from."""

    calibration: Share = 0.1
    """Part that sets its thresholds and calibrates it."""

    test: Share = 0.2
    """Part that it is judged by."""

    seed: int = 0
    """Another number gives another split."""

    stratify: tuple[str, ...] = ()
    """Columns whose values should be as frequent in each part as in all."""

    @model_validator(mode="after")
    def _check_sum(self) -> "SplitSettings":
        total = self.train + self.calibration + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, calibration and test add up to {total:g}, they must to 1")
        return self


def split_patients(strata: Mapping[str, str], settings: SplitSettings) -> dict[str, Split]:
    """Deal patients out.

    Small strata are not rounded each for itself: what one gives away the next gets,
    so that the parts have the sizes asked for, to within one patient.

    Args:
        strata: The stratum of each patient.
        settings: Sizes of the parts, and the seed.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for patient, stratum in strata.items():
        groups[stratum].append(patient)
    in_line = [
        patient
        for stratum in sorted(groups)
        for patient in sorted(groups[stratum], key=lambda one: _digest(one, settings.seed))
    ]
    dealt: dict[str, Split] = {}
    counts = dict.fromkeys(SPLITS, 0)
    shares = {split: getattr(settings, split) for split in SPLITS}
    for number, patient in enumerate(in_line, start=1):
        # The part that is farthest behind its share takes the next one.
        split = max(SPLITS, key=lambda one: (shares[one] * number - counts[one], shares[one]))
        counts[split] += 1
        dealt[patient] = split
    return dealt


def strata_of(groups: Mapping[str, Mapping[str, str]], columns: Sequence[str]) -> dict[str, str]:
    """Name the stratum of each patient by its values in some columns.

    Args:
        groups: The values of each patient, by column.
        columns: Which of them count.
    """
    return {patient: " | ".join(values.get(column, "") for column in columns) for patient, values in groups.items()}


def _digest(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{patient}".encode("utf-8", "surrogateescape")).digest()
