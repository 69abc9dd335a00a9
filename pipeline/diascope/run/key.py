"""Where the user's key lies."""

from pathlib import Path

import platformdirs

from diascope.config import Settings
from diascope.identity import IdentityKey, load_key


class IdentitySettings(Settings):
    """The key of the ids."""

    key_file: Path | None = None
    """64 hexadecimal digits; made in the user's config folder where not set."""


def user_key(file: Path | None) -> IdentityKey:
    """Read the key of a file, or the user's own, which is made at its first use.

    Raises:
        ConfigError: The file is not a key, or cannot be written.
    """
    return load_key(file or platformdirs.user_config_path("diascope") / "identity.key")
