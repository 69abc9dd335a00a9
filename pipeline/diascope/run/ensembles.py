"""The networks of a config as a run asks them: with the other members of an ensemble, and what was learnt of them."""

import json
from dataclasses import replace
from pathlib import Path

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.errors import ConfigError
from diascope.run.settings import BundleUse, RunConfig
from diascope.tasks.uncertainty_settings import check_answers

_INFERENCE = Path("configs") / "inference.json"


def find_network(use: BundleUse, config: RunConfig) -> BundleInfo:
    """Find a network of a config, its ensemble and its calibration, and refuse what cannot go together.

    Raises:
        BundleError: One is missing, or not the one that was locked.
        ConfigError: The members of an ensemble are no alternatives, or the calibration is not there.
    """
    bundle = find_bundle(use.name, config.models.dir)
    members = tuple(find_bundle(name, config.models.dir) for name in use.ensemble)
    for member in members:
        _check_member(bundle, member)
    if use.calibration is not None:
        _check_calibration(bundle.name, use.calibration)
    found = replace(bundle, members=members, calibration=use.calibration, is_repeated=config.uncertainty.asks_again)
    check_answers(found, config.uncertainty)
    return found


def _check_calibration(bundle: str, file: Path) -> None:
    # With it comes scipy, which takes seconds: a call without a calibration need not wait for it.
    from diascope.evaluation.calibration_file import read_calibration  # noqa: PLC0415

    if read_calibration(file) is None:
        raise ConfigError(
            f"{bundle}: there is no calibration {file.name}",
            hint="diascope evaluate OUT --truth MANIFEST --set calibrate=true writes one into OUT/evaluation",
        )


def _check_member(bundle: BundleInfo, member: BundleInfo) -> None:
    # Answers are averaged voxel by voxel and class by class: the grid and the classes must be the same.
    one, other = bundle.block, member.block
    steps = [
        json.loads((each.folder / _INFERENCE).read_text(encoding="utf-8")).get("preprocessing")
        for each in (bundle, member)
    ]
    for what, differs in (
        ("labels", (one.task, one.labels, one.activation) != (other.task, other.labels, other.activation)),
        ("needs", one.needs != other.needs),
        ("steps before the network", steps[0] != steps[1]),
    ):
        if differs:
            raise ConfigError(
                f"{bundle.name} and {member.name} cannot be an ensemble: their {what} differ",
                hint="an ensemble takes networks that were trained for the same answer, such as folds of one training",
                code="unfit_ensemble",
            )
