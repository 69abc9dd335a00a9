"""Where the user's key lies."""

from pathlib import Path

import platformdirs

from diascope.identity import IdentityKey, load_key


def user_key(file: Path | None) -> IdentityKey:
    """Read the key of a file, or the user's own, which is made at its first use.

    Raises:
        ConfigError: The file is not a key, or cannot be written.
    """
    return load_key(file or platformdirs.user_config_path("diascope") / "identity.key")
