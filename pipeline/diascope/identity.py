"""Keyed ids: how a case is named outside private/.

An id is an HMAC-SHA256 under the user's key. Without the key nobody can tell whose
it is, nor test a guess; with it the same patient has the same id in every run.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from diascope.errors import ConfigError

log = logging.getLogger(__name__)

KEY_BYTES = 32

# 60 bits: among 10 million ids two are the same with a probability of 4e-5.
ID_DIGITS = 15

_KEY_FILE_HINT = "identity.key_file must name a file of 64 hexadecimal digits, or one that can be made"


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
            raise ConfigError(
                f"an identity key has {KEY_BYTES} bytes, this one {len(self.secret)}", hint=_KEY_FILE_HINT
            )

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
        _warn_if_shared(file)
        return IdentityKey(bytes.fromhex(file.read_text(encoding="ascii").strip()))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot use the identity key file: {type(error).__name__}",
            hint=_KEY_FILE_HINT,
        ) from None


def _make_key(file: Path) -> None:
    """Write a key beside its place, then put it there in one step.

    Who comes meanwhile finds no key or a whole one; of two who make one, the first wins.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(handle)
        _put_in_place(Path(draft), file)
    except FileExistsError:
        log.debug("another process made the identity key first")
    finally:
        Path(draft).unlink(missing_ok=True)


def _put_in_place(draft: Path, file: Path) -> None:
    try:
        os.link(draft, file)
    except FileExistsError:
        raise
    except OSError:  # no hard links here (FAT, some network drives)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(draft.read_bytes())


def _warn_if_shared(file: Path) -> None:
    mode = stat.S_IMODE(file.stat().st_mode)
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        log.warning("the identity key file can be read by others (mode %o); chmod 600 keeps it yours", mode)
