"""Transfer learning: weights from a bundle, a new head where the classes are others, stages that stay as they are."""

import fnmatch
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from diascope.bundles.find import METADATA, find_bundle
from diascope.bundles.network import WEIGHTS
from diascope.errors import ConfigError
from diascope.train.components import build_network
from diascope.train.recipe import StartSettings
from diascope.train.settings import Component

log = logging.getLogger(__name__)

# What networks call the number of their outputs.
OUTPUTS = ("out_channels", "num_classes")

# A network inside another one carries its owner's name before its own names.
PREFIXES = (
    "",
    "encoder.",
    "network.",
    "feature_extractor.",
    "feature_extractor.encoder.",
    "network.feature_extractor.encoder.",
)

MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Transfer:
    """What came over from a bundle.

    Attributes:
        taken: Names of the weights that were taken.
        fresh: Names of the weights of the head, which begin at random.
    """

    taken: tuple[str, ...]
    fresh: tuple[str, ...]


def load_start(network: nn.Module, component: Component, settings: StartSettings) -> Transfer:
    """Give a fresh network the weights of a bundle.

    Only the weights are read, without pickle: nothing of the bundle is executed.

    Args:
        network: Built from `component`.
        component: By which it is known which layers are its head.
        settings: Which bundle.

    Raises:
        BundleError: There is no such bundle, or it was altered.
        ConfigError: Its weights do not fit; the message has names and shapes.
    """
    stored = _weights_of(settings.bundle)
    own = network.state_dict()
    head = head_names(component, own)
    begins_anew = _named(own, settings.fresh, "fresh")
    prefixes = _prefixes(own, stored)
    taken: dict[str, Tensor] = {}
    fresh, problems = [], []
    for name, value in own.items():
        other = stored.get(_counterpart(name, *prefixes))
        if other is not None and other.shape == value.shape and name not in begins_anew:
            taken[name] = other.to(value.dtype)
        elif name in head | begins_anew:
            fresh.append(name)
        else:
            seen = "is not in it" if other is None else f"is {_shape(other)} there"
            problems.append(f"{name} {_shape(value)} {seen}")
    if problems:
        raise ConfigError(
            f"init_from {Path(settings.bundle).name}: {len(problems)} of {len(own)} weights do not fit, and they "
            f"are not of the head: {'; '.join(problems[:MOST_NAMED])}{' ...' if len(problems) > MOST_NAMED else ''}",
            hint="take the network of the bundle with its arguments; or name what is new in init_from.fresh",
            code="start_does_not_fit",
        )
    network.load_state_dict({**own, **taken})
    left = len(stored) - len(taken)
    log.info("%d weights taken from %s, %d begin at random: %s", len(taken), settings.bundle, len(fresh), fresh)
    if left:
        log.info("%d weights of it have no place here", left)
    return Transfer(tuple(taken), tuple(fresh))


def head_names(component: Component, own: Mapping[str, Tensor]) -> frozenset[str]:
    """Find the weights of a network's head: those whose shape depends on the number of outputs.

    Found out by building the network once more with another number, so it holds for every architecture.

    Args:
        component: The network.
        own: Its weights by name.
    """
    key = next((key for key in OUTPUTS if key in component.args), None)
    if key is None:
        return frozenset()
    wider = component.model_copy(update={"args": {**component.args, key: int(component.args[key]) + 1}})
    with torch.random.fork_rng(devices=[]):
        others = build_network(wider).state_dict()
    return frozenset(name for name, value in own.items() if name in others and others[name].shape != value.shape)


class Frozen:
    """The weights that stay as they are, until they are let go."""

    def __init__(self, network: nn.Module, settings: StartSettings) -> None:
        """Freeze what the settings name.

        Raises:
            ConfigError: A pattern meets no weight, or everything would be frozen.
        """
        weights = dict(network.named_parameters())
        names = _named(weights, settings.frozen, "frozen") | set(_first_layers(weights, settings.frozen_layers))
        if weights and len(names) == len(weights):
            raise ConfigError("init_from freezes every weight: nothing could be learnt")
        self.names = frozenset(names)
        for name in names:
            weights[name].requires_grad_(False)
        self._weights = [weights[name] for name in sorted(names)]
        # Running means are no weights, but move with every image: a frozen norm uses those it came with.
        self._hooks = [
            module.register_forward_pre_hook(_in_evaluation)
            for name, module in network.named_modules()
            if isinstance(module, BatchNorm) and f"{name}.weight" in names
        ]

    def let_go(self) -> None:
        """Let everything learn."""
        for weights in self._weights:
            weights.requires_grad_(True)
        for hook in self._hooks:
            hook.remove()
        self._weights, self._hooks = [], []


def _weights_of(place: str) -> dict[str, Tensor]:
    folder = Path(place)
    # What a pre-training made is no bundle. Its weights are all that is read, without pickle.
    is_plain_folder = folder.name != place and not (folder / METADATA).is_file()
    file = (folder if is_plain_folder else find_bundle(place).folder) / WEIGHTS
    try:
        weights: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"init_from {folder.name}: its weights cannot be read ({type(error).__name__})",
            hint=_hint(folder),
        ) from None
    return weights


def _hint(folder: Path) -> str:
    made = sorted(one.parents[1].name for one in folder.glob(f"*/{WEIGHTS.as_posix()}"))
    if made:
        return f"the bundle of that training is in it: {folder.name}/{made[0]}"
    return f"give the name of a bundle, or a folder that holds {WEIGHTS.as_posix()}; a training makes one: OUT/<name>"


def _prefixes(own: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> tuple[str, str]:
    """Find what stands before our names and before theirs, by which most weights agree."""
    pairs = [("", ""), *((ours, "") for ours in PREFIXES[1:]), *(("", theirs) for theirs in PREFIXES[1:])]

    def agreeing(pair: tuple[str, str]) -> int:
        found = ((value, stored.get(_counterpart(name, *pair))) for name, value in own.items())
        return sum(other is not None and other.shape == value.shape for value, other in found)

    return max(pairs, key=agreeing)


def _counterpart(name: str, ours: str, theirs: str) -> str:
    return theirs + name.removeprefix(ours)


def _named(weights: Mapping[str, Tensor], patterns: Sequence[str], setting: str) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        met = {name for name in weights if fnmatch.fnmatchcase(name, pattern)}
        if not met:
            stages = sorted({name.split(".")[0] for name in weights})
            raise ConfigError(
                f"init_from.{setting}: no weight is named {pattern}", hint=f"the stages are: {', '.join(stages)}"
            )
        found |= met
    return found


def _first_layers(weights: Mapping[str, nn.Parameter], count: int) -> Iterator[str]:
    """Give the first `count` kernels with everything that the network lists before the next kernel."""
    seen = 0
    for name, value in weights.items():
        seen += value.ndim > 1
        if seen > count:
            return
        yield name


def _in_evaluation(module: nn.Module, _inputs: object) -> None:
    module.eval()


def _shape(value: Tensor) -> str:
    return f"({', '.join(map(str, value.shape))})"
