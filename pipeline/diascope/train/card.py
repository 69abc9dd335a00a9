"""The model card: what was measured, in words that do not promise more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diascope.evaluation.bootstrap import Estimate
from diascope.train.scoring import TestScore, summarise
from diascope.train.settings import SynthesisSettings, TrainConfig

# The worst cases are shown: a mean hides them.
WORST_SHOWN = 3

PRETRAINED = "None: this network fills hidden blocks in. It is a start for others (`init_from`), not an answer."
INTERIM = "Not measured yet: this is an interim version, and the test cases were not used."


@dataclass(frozen=True, slots=True)
class Effort:
    """What a training cost.

    Attributes:
        steps: Optimiser steps.
        minutes: Wall-clock time, validation included.
        device: On what, in words.
        parameters: Number of weights.
    """

    steps: int
    minutes: float
    device: str
    parameters: int


def card_text(
    config: TrainConfig, results: str, effort: Effort, validation: Mapping[str, float], unjudged: Sequence[str] = ()
) -> str:
    """Write the card in markdown.

    Args:
        config: The training.
        results: What came out on the test cases, in words; see `results`.
        effort: What it cost.
        validation: Last values of the log, by metric name.
        unjudged: What could not be learnt of its results, a sentence each.
    """
    bundle = config.bundle
    labels = "\n".join(f"| {value} | {label.name} |" for value, label in enumerate(bundle.labels, start=1))
    limits = "\n".join(f"- {limit}" for limit in bundle.limits)
    citations = "\n".join(f"- {citation}" for citation in bundle.citations)
    research = "\n\n**For research only**, by the licence of its data." if bundle.research_only else ""
    note = f"\n\n{bundle.training_note}" if bundle.training_note else ""
    return f"""# {bundle.name}

{bundle.title}. Version {bundle.version}.{research}

## Intended use

{bundle.intended_use}

## What it cannot do

{limits}

## Labels

| value | label |
|---|---|
{labels}

## Data

{bundle.data_statement} The split is in `data_manifests/{config.manifest.name}`.

## Training

`diascope train configs/train_{bundle.name}.yaml -o OUT` (the config is also in this bundle, `configs/train.yaml`).

{effort.steps} steps, batches of {config.batch_size}, {effort.minutes:.0f} minutes by the clock on {effort.device}.
{_network_text(config, effort)}
{_weights_text(config)} On the images that watched the training (not the test cases) the
measures {_when(config)} were: {_validation_text(validation)}.{note}

## Results on cases kept out of the training

{results}

{_unjudged_text(unjudged)}## Licence

{bundle.licence}

## Please cite

{citations}
"""


def labels_text(config: TrainConfig, scores: Sequence[TestScore]) -> str:
    """Say how well label maps agree with the truth, overall and by label.

    Args:
        config: The training.
        scores: Of the test cases.
    """
    is_synthetic = isinstance(config.source, SynthesisSettings)
    patients = len({score.patient for score in scores})
    found = summarise(scores)
    conditions = ["", *(name for name in dict.fromkeys(score.condition for score in scores) if name)]
    shown = [name or "all" for name in conditions]
    lines = [
        f"Dice on the source's own voxels, {patients} {'heads' if is_synthetic else 'patients'}; mean and, in "
        "brackets, the 95 % interval of a bootstrap over patients"
        + (" (with fewer than 5 patients: the range over images instead)." if patients < 5 else "."),
    ]
    if isinstance(config.source, SynthesisSettings):
        lines.append(
            "**These images are synthetic**, made from label maps kept out of the training; "
            f"{config.source.contrast_fraction:.0%} of the training images were drawn near the same contrasts. "
            "They tell whether the anatomy was learned; on real scans expect less, on other contrasts much less."
        )
    lines += ["", f"| label | {' | '.join(shown)} |", "|---|" + "---|" * len(shown)]
    names = list(dict.fromkeys(score.label for score in scores))
    for label in ["", *names] if len(names) > 1 else names:
        cells = [_cell(found[label, name], scores, label, name) for name in conditions]
        lines.append(f"| {label or '**mean of the labels**'} | {' | '.join(cells)} |")
    seconds = [score.seconds for score in scores]
    lines += ["", f"One case took {np.median(seconds):.1f} s in the median, at most {max(seconds):.1f} s.", ""]
    if not is_synthetic:
        values = np.array([score.dice for score in scores])
        lines.append(f"Median {np.nanmedian(values):.3f}; {int((values < 0.7).sum())} of {len(values)} below 0.70.")
    worst = sorted((score for score in scores if not np.isnan(score.dice)), key=lambda score: score.dice)[:WORST_SHOWN]
    lines += ["", "The worst: " + "; ".join(_worst_text(score) for score in worst) + "."]
    return "\n".join(lines)


def _unjudged_text(unjudged: Sequence[str]) -> str:
    if not unjudged:
        return ""
    return "## What is not calibrated\n\n" + "".join(f"- {sentence}\n" for sentence in unjudged) + "\n"


def _network_text(config: TrainConfig, effort: Effort) -> str:
    # The seed stays within its line: a number with a point at the head of one is a list in markdown.
    size = f"{config.network.name} with {effort.parameters / 1e6:.2f} million weights"
    return f"{size}, {config.precision} arithmetic, seed {config.seed}."


def _when(config: TrainConfig) -> str:
    return "then" if config.weights == "best" else "at the end"


def _weights_text(config: TrainConfig) -> str:
    start = f"It began with the weights of `{Path(config.init_from.bundle).name}`. " if config.init_from else ""
    if config.weights == "best":
        return f"{start}The weights of the best epoch are shipped, chosen on the calibration split."
    return f"{start}The last weights are shipped: no epoch was chosen by looking at results."


def _validation_text(validation: Mapping[str, float]) -> str:
    parts = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in validation.items()]
    return ", ".join(parts) or "not measured"


def _cell(estimate: Estimate, scores: Sequence[TestScore], label: str, condition: str) -> str:
    if estimate.value is None or estimate.low is not None:
        return str(estimate)
    values = [row.dice for row in scores if label in ("", row.label) and condition in ("", row.condition)]
    return f"{estimate.value:.3f} ({np.nanmin(values):.3f} to {np.nanmax(values):.3f})"


def _worst_text(score: TestScore) -> str:
    where = " ".join(part for part in (score.label, score.condition, score.case) if part)
    ratio = score.drawn_voxels / score.truth_voxels if score.truth_voxels else float("inf")
    return f"{where} {score.dice:.3f} (drew {ratio:.2f} of the true volume)"
