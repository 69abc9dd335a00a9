"""Cross-validation by patient: the same deal of folds for the same manifest and seed.

The patients of the splits `train` and `calibration` are dealt into folds; one fold is
held out as `calibration`, the others train. Test patients stay test patients.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from diascope.errors import ConfigError
from diascope.train.manifest import ManifestCase, read_manifest
from diascope.train.recipe import FoldSettings
from diascope.train.settings import TrainConfig
from diascope.train.source_settings import ClassSettings, ReconstructionSettings, class_of

log = logging.getLogger(__name__)


def training_cases(config: TrainConfig) -> tuple[ManifestCase, ...]:
    """Read the cases of a manifest that a training can use; with folds its splits are dealt anew.

    A source of masks leaves out cases without a label, one of classes those of none of its classes.

    Raises:
        ConfigError: The manifest or the folds cannot be used.
        InputError: A file is missing.
    """
    every = read_manifest(config.manifest, config.data_root)
    cases = tuple(case for case in every if is_usable(case, config.source))
    if len(cases) < len(every):
        log.info(
            "%d of %d cases of the manifest are not of the kind that is learnt", len(every) - len(cases), len(every)
        )
    if config.folds is None:
        return cases
    return held_out(cases, config.folds, config.seed, _class_of_patient(cases, config.source))


def is_usable(case: ManifestCase, source: object) -> bool:
    """Say whether a case has what the source of a training needs."""
    if isinstance(source, ClassSettings) and source.column is not None:
        return class_of(case, source) is not None
    if isinstance(source, ReconstructionSettings):
        return case.image is not None
    return case.label is not None


def held_out(
    cases: Sequence[ManifestCase], folds: FoldSettings, seed: int, class_of_patient: Mapping[str, int] | None = None
) -> tuple[ManifestCase, ...]:
    """Hold out one fold.

    Args:
        cases: Of the manifest.
        folds: How many, and which.
        seed: Of the deal.
        class_of_patient: Classes that every fold gets its share of; None where there are none.

    Raises:
        ConfigError: No one fold is named, or there are fewer patients than folds.
    """
    if folds.only is None or folds.only > folds.count:
        raise ConfigError(f"folds.only is {folds.only}: expected 1 to {folds.count}")
    patients = sorted({case.patient for case in cases if case.split != "test"})
    fold_of = deal(patients, folds.count, seed, class_of_patient or {})
    return tuple(
        case
        if case.split == "test"
        else replace(case, split="calibration" if fold_of[case.patient] == folds.only else "train")
        for case in cases
    )


def deal(
    patients: Sequence[str], count: int, seed: int, class_of_patient: Mapping[str, int] = MappingProxyType({})
) -> dict[str, int]:
    """Deal patients into folds of equal size, but for one patient.

    Args:
        patients: Whom to deal.
        count: Number of folds.
        seed: Of the deal.
        class_of_patient: One class is dealt after the other, so that each fold has its share of each.

    Returns:
        Number of the fold, from 1, by patient.

    Raises:
        ConfigError: There are fewer patients than folds.
    """
    if len(patients) < count:
        raise ConfigError(
            f"{len(patients)} patients cannot be dealt into {count} folds",
            hint="set folds.count to at most the number of patients in the splits train and calibration",
        )
    # A stream of its own, so that nothing else of the training moves with it.
    order = np.random.default_rng((seed, 2**33)).permutation(len(patients)).tolist()
    by_class = sorted(order, key=lambda at: class_of_patient.get(patients[at], 0))
    return {patients[at]: place % count + 1 for place, at in enumerate(by_class)}


def fold_config(config: TrainConfig, number: int) -> TrainConfig:
    """Give the training of one fold."""
    folds = config.folds
    if folds is None:
        raise ConfigError("the config asks for no folds")
    return config.model_copy(update={"folds": folds.model_copy(update={"only": number})})


def fold_folder(out: Path, number: int) -> Path:
    """Name the folder of one fold."""
    return out / f"fold_{number}"


def _class_of_patient(cases: Sequence[ManifestCase], source: object) -> dict[str, int]:
    """Give each patient the highest class of the cases; nothing where classes are of slices, not of cases."""
    if not isinstance(source, ClassSettings) or source.column is None:
        return {}
    found: dict[str, int] = {}
    for case in cases:
        found[case.patient] = max(found.get(case.patient, 0), class_of(case, source) or 0)
    return found
