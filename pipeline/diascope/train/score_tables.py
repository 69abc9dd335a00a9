"""Tables of final scores, by the question a network answers: made, read again, and summed up."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from diascope.evaluation.bootstrap import Estimate, resample
from diascope.evaluation.curves import auc_estimate
from diascope.evaluation.froc import FP_PER_SCAN, DetectionRules, summarise_detection
from diascope.io.splits import Split
from diascope.train.answer_kinds import Task, task_of
from diascope.train.scoring import BOOTSTRAP_SEED, read_scores, score_bundle, summarise, write_scores
from diascope.train.settings import TrainConfig
from diascope.train.slice_scoring import (
    read_box_scans,
    read_class_scores,
    score_boxes,
    score_classes,
    write_box_scores,
    write_class_scores,
)

MEAN = "mean"
"""Key of what sums a table up: over the labels, the classes, or the rates of false positives."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a table of scores comes to.

    Attributes:
        measure: `dice`, `auc` or `sensitivity`.
        patients: Whose cases are in it.
        estimates: By label, by class, or by false positives per scan; and `MEAN` of them.
    """

    measure: str
    patients: int
    estimates: Mapping[str, Estimate]

    @property
    def mean(self) -> Estimate:
        """What sums it up in one number."""
        return self.estimates[MEAN]


def score_split(config: TrainConfig, folder: Path, split: Split, target: Path) -> None:
    """Run a bundle on the cases of a split, and write what it scored.

    Args:
        config: The training that made it.
        folder: The bundle.
        split: Which cases.
        target: The table; it appears whole or not at all.
    """
    part = target.with_name(target.name + ".part")
    task = task_of(config)
    if task == "classify":
        write_class_scores(score_classes(config, folder, split), part)
    elif task == "detect":
        write_box_scores(score_boxes(config, folder, split), part)
    else:
        write_scores(score_bundle(config, folder, split), part.parent, part.name)
    part.replace(target)


def join_tables(tables: Sequence[Path], target: Path) -> None:
    """Write the rows of several tables of one kind below each other."""
    header: list[str] = []
    rows: list[list[str]] = []
    for table in tables:
        with table.open(newline="", encoding="utf-8") as stream:
            header, *below = list(csv.reader(stream))
            rows += below
    with target.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])


def measured(config: TrainConfig, table: Path) -> Measured:
    """Sum a table of scores up, with intervals over patients."""
    return _BY_TASK[task_of(config)](table)


def _dice(table: Path) -> Measured:
    scores = read_scores(table)
    found = {label or MEAN: one for (label, condition), one in summarise(scores).items() if not condition}
    return Measured("dice", len({score.patient for score in scores}), found)


def _auc(table: Path) -> Measured:
    scores = read_class_scores(table)
    found = {}
    for target in dict.fromkeys(score.target for score in scores):
        rows = [score for score in scores if score.target == target]
        found[target] = auc_estimate(
            np.array([row.is_shown for row in rows], dtype=bool),
            np.array([row.score for row in rows], dtype=np.float64),
            np.asarray(pd.factorize(np.array([row.patient for row in rows], dtype=object))[0], dtype=np.int64),
        )
    return Measured("auc", len({score.patient for score in scores}), {MEAN: _mean(list(found.values())), **found})


def _mean(found: Sequence[Estimate]) -> Estimate:
    if len(found) == 1:
        return found[0]
    values = [one.value for one in found if one.value is not None]
    reason = f"the mean of {len(values)} classes" if values else "no class has an AUC"
    return Estimate(float(np.mean(values)) if values else None, n=sum(one.n for one in found), reason=reason)


def _sensitivity(table: Path) -> Measured:
    scans = read_box_scans(table)
    found = summarise_detection(scans, DetectionRules(), np.random.default_rng(BOOTSTRAP_SEED)).metrics
    by_rate = {f"{rate:g}": found[f"sensitivity_at_{rate:g}_fp"] for rate in FP_PER_SCAN}
    people = resample([scan.patient for scan in scans], np.random.default_rng(BOOTSTRAP_SEED)).patients
    return Measured("sensitivity", people, {MEAN: found["cpm"], **by_rate})


_BY_TASK: Mapping[Task, Callable[[Path], Measured]] = {"segment": _dice, "classify": _auc, "detect": _sensitivity}
