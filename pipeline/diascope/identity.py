"""Keyed ids: how a case is named outside private/.

An id is an HMAC-SHA256 under the user's key. Without the key nobody can tell whose
it is, nor test a guess; with it the same patient has the same id in every run.
"""

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from diascope.errors import ConfigError

KEY_BYTES = 32

# 60 bits: among 10 million ids two are the same with a probability of 4e-5.
ID_DIGITS = 15


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """The user's secret.

    Attributes:
        secret: 32 random bytes.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a key of another length."""
        if len(self.secret) != KEY_BYTES:
            raise ConfigError(f"an identity key has {KEY_BYTES} bytes, this one {len(self.secret)}")

    @property
    def fingerprint(self) -> str:
        """Tell which key it is, without giving it away: 16 hexadecimal digits."""
        return hashlib.sha256(b"diascope key fingerprint" + self.secret).hexdigest()[:16]

    def case_id(self, study: str) -> str:
        """Name a case after what makes it one (a StudyInstanceUID, a path)."""
        return self._keyed("case", study)

    def image_id(self, image: str) -> str:
        """Name an image after its series and what splits it."""
        return self._keyed("img", image)

    def file_id(self, path: str) -> str:
        """Name an input file after its absolute path."""
        return self._keyed("file", path)

    def patient_key(self, patient: str) -> str:
        """Name a patient after issuer and record number."""
        return self._keyed("pat", patient)

    def site_key(self, site: str) -> str:
        """Name an institution."""
        return self._keyed("site", " ".join(site.upper().split()))

    def _keyed(self, kind: str, text: str) -> str:
        digest = hmac.new(self.secret, f"{kind}\0{text}".encode("utf-8", "surrogateescape"), hashlib.sha256)
        return f"{kind}-{digest.hexdigest()[:ID_DIGITS]}"


ID_PATTERN = re.compile(rf"(case|img|file|pat|site)-[0-9a-f]{{{ID_DIGITS}}}")


def load_key(file: Path) -> IdentityKey:
    """Read the key, or make one (mode 0600) where there is none yet.

    Raises:
        ConfigError: The file is not a key, or cannot be written.
    """
    try:
        if not file.exists():
            _make_key(file)
        return IdentityKey(bytes.fromhex(file.read_text(encoding="ascii").strip()))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot use the identity key file: {type(error).__name__}",
            hint="identity.key_file must name a file of 64 hexadecimal digits, or one that can be made",
        ) from None


def _make_key(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(KEY_BYTES) + "\n")
