"""What is asked for on the command line, checked before anything heavy is loaded or anything is made.

Nothing here imports torch: a call that is described wrongly is told so at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diascope.bundles.find import BundleInfo
from diascope.config import find_config, load_settings, parse_settings
from diascope.errors import ConfigError, OutputError
from diascope.identity import IdentityKey
from diascope.io.outfolder import OutFolder
from diascope.run.ensembles import find_network
from diascope.run.record import check_same_key, check_same_networks, read_record
from diascope.run.settings import RunConfig


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What was asked for.

    Attributes:
        inputs: Files and folders.
        config: The settings.
        config_name: Name of the yaml without its folder, or of the bundle.
        bundles: The networks, verified, in the order of the config.
        command: Name of the command.
    """

    inputs: tuple[Path, ...]
    config: RunConfig
    config_name: str
    bundles: tuple[BundleInfo, ...]
    command: str = "run"


def make_request(inputs: Sequence[Path], config: RunConfig, config_name: str, command: str = "run") -> RunRequest:
    """Check that the networks are there.

    Raises:
        BundleError: A network is missing, or its files are not the ones that were locked.
        ConfigError: A network is named twice.
    """
    return RunRequest(tuple(inputs), config, config_name, find_networks(config), command)


def check_earlier(request: RunRequest, out: OutFolder, key: IdentityKey) -> None:
    """Refuse an output folder that holds something which this run would mix with its own results, or replace.

    Raises:
        ConfigError: Results of another key, or of other networks.
        OutputError: It is a file.
    """
    if out.root.exists() and not out.root.is_dir():
        raise OutputError("the output folder is a file", hint="choose another folder with -o")
    earlier = read_record(out)
    check_same_key(earlier, key)
    check_same_networks(earlier, [bundle.stamp for bundle in request.bundles])


def run_config(config: str | None, bundle: str | None, overrides: Sequence[str]) -> tuple[RunConfig, str]:
    """Read the settings of a run, from a yaml or for a single network.

    Returns:
        The settings, and the name to show for them.

    Raises:
        ConfigError: Neither or both were given, or a setting does not fit.
    """
    if (config is None) == (bundle is None):
        raise ConfigError(
            "a run needs -c CONFIG or --bundle NAME" + (", not both" if config else ""),
            hint="for example -c brain_mri; `diascope models list` shows the networks",
        )
    if config is not None:
        source = find_config(config)
        return load_settings(RunConfig, source, overrides), source.stem
    settings = parse_settings(RunConfig, {"bundles": [{"name": bundle}]}, overrides, where="--bundle")
    return settings, Path(str(bundle)).name


def find_networks(config: RunConfig) -> tuple[BundleInfo, ...]:
    """Find the networks of a config and check them against their locks.

    Raises:
        BundleError: One is missing, or not the one that was locked.
        ConfigError: One is named twice.
    """
    bundles = tuple(find_network(use, config) for use in config.bundles)
    names = [bundle.name for bundle in bundles]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        # Results are filed under the network's name: the second would take the place of the first.
        raise ConfigError(
            f"bundles: {twice[0]} is named twice",
            hint="name it once, with a select rule that takes all its images (any_of, select: all)",
        )
    return bundles
