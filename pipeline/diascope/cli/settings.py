"""The settings of a command: from a yaml, if there is one, and from `--set`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from diascope.config import Settings

S = TypeVar("S", bound="Settings")


def command_settings(model: type[S], config: str | None, overrides: Sequence[str]) -> S:
    """Read the settings of a command that needs no yaml.

    Raises:
        ConfigError: There is no such yaml, or a key does not fit.
    """
    from diascope.config import find_config, load_settings, parse_settings

    if config is None:
        return parse_settings(model, {}, overrides, where="--set")
    return load_settings(model, find_config(config), overrides)
