"""The whole of `diascope train`: train, export, score on the test cases, write the card."""

import logging
import platform
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from diascope.errors import ConfigError
from diascope.train.card import INTERIM, PRETRAINED, Effort, card_text
from diascope.train.components import build_network
from diascope.train.engine import best_weights, kept_epoch, newest_weights
from diascope.train.export import install_bundle, lock_bundle, write_bundle, write_start
from diascope.train.handlers import EpochCallback
from diascope.train.judging import judge_bundle
from diascope.train.progress import read_log
from diascope.train.results import operating_point, test_results
from diascope.train.settings import TrainConfig
from diascope.train.source_settings import ReconstructionSettings
from diascope.train.team import Team
from diascope.train.training import train_network

log = logging.getLogger(__name__)


def train_bundle(
    config: TrainConfig,
    out: Path,
    callbacks: Sequence[EpochCallback] = (),
    *,
    models: Path | None = None,
    team: Team | None = None,
) -> Path:
    """Train a network, or finish an interrupted training, and make its bundle.

    Args:
        config: The training.
        out: Folder of checkpoints, log, scores and the bundle.
        callbacks: Called after each epoch with its number and its metrics.
        models: Folder into which the bundle is copied and locked; None leaves it in OUT.
        team: The processes that train together, of which the first makes the bundle; None for this one alone.

    Returns:
        The bundle's folder.

    Raises:
        PipelineError: The config, a case or the output folder cannot be used.
    """
    network = train_network(config, out, callbacks, team)
    if team is not None and not team.is_first:
        return out / config.bundle.name
    return _make(config, out, network, models, is_interim=False)


def train_interim(
    config: TrainConfig, out: Path, callbacks: Sequence[EpochCallback] = (), team: Team | None = None
) -> Path:
    """Train and make a bundle as above, but leave the test cases alone: for a fold or a trial."""
    network = train_network(config, out, callbacks, team)
    if team is not None and not team.is_first:
        return out / config.bundle.name
    return _make(config, out, network, None, is_interim=True)


def export_bundle(config: TrainConfig, out: Path, *, models: Path | None = None, is_interim: bool = True) -> Path:
    """Make a bundle of the newest checkpoint, without training on.

    An interim version leaves the test cases alone, and its card says so.

    Returns:
        The bundle's folder.

    Raises:
        ConfigError: OUT holds no checkpoint.
    """
    weights = newest_weights(out / "checkpoints")
    if config.weights == "best":
        weights = best_weights(out / "checkpoints") or weights
    if weights is None:
        raise ConfigError("the output folder holds no checkpoint yet", hint="train first, for at least one epoch")
    network = build_network(config.network)
    network.load_state_dict(weights)
    return _make(config, out, network, models, is_interim=is_interim)


def _make(config: TrainConfig, out: Path, network: nn.Module, models: Path | None, *, is_interim: bool) -> Path:
    folder = out / config.bundle.name
    effort = _effort(config, out, network)
    last = _validation(config, out)
    if isinstance(config.source, ReconstructionSettings):
        write_start(config, network, folder, card_text(config, PRETRAINED, effort, last))
        return folder
    write_bundle(config, network, folder, card_text(config, INTERIM, effort, last))
    chosen = operating_point(config, folder)
    write_bundle(config, network, folder, card_text(config, INTERIM, effort, last), chosen)
    unjudged = judge_bundle(config, folder)
    write_bundle(config, network, folder, card_text(config, INTERIM, effort, last, unjudged), chosen)
    if not is_interim:
        results = test_results(config, folder, out)
        write_bundle(config, network, folder, card_text(config, results, effort, last, unjudged), chosen)
    lock_bundle(folder)
    return install_bundle(folder, models) if models else folder


def _effort(config: TrainConfig, out: Path, network: nn.Module) -> Effort:
    last = read_log(out / "log.jsonl")[-1]
    device = torch.device(config.device)
    count = config.threads or torch.get_num_threads()
    threads = f"{count} {'thread' if count == 1 else 'threads'} of a CPU ({platform.machine()})"
    return Effort(
        steps=int(last["steps"]),
        minutes=last["seconds"] / 60,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else threads,
        parameters=sum(weight.numel() for weight in network.parameters()),
    )


def _validation(config: TrainConfig, out: Path) -> dict[str, float]:
    """Read what was measured last, or at the epoch whose weights are shipped."""
    until = kept_epoch(out / "checkpoints") if config.weights == "best" else None
    told = {"epoch", "loss", "learning_rate", "seconds", "steps"}
    lines = [line for line in read_log(out / "log.jsonl") if until is None or line["epoch"] <= until]
    measured = ({name: value for name, value in line.items() if name not in told} for line in reversed(lines))
    return next((line for line in measured if line), {})
