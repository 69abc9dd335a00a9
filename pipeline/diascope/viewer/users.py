"""Who may sign in where the server can be reached by others: names, roles, hashed passwords.

Passwords are hashed with scrypt (RFC 7914) at the strength that OWASP recommends, each
with its own salt; the file is readable by its owner only.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from diascope.errors import ConfigError
from diascope.io.outfolder import write_atomic
from diascope.viewer.answers import Problem
from diascope.viewer.sessions import Role

LEAST_PASSWORD = 10

# OWASP's password storage cheat sheet: N = 2^17, r = 8, p = 1; 128 MiB and some tenths of a second.
COST, _BLOCK, _PARALLEL = 2**17, 8, 1
_MEMORY = 192 * 2**20

# After so many wrong passwords a name has to wait.
TRIES = 5
WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class User:
    """One account.

    Attributes:
        name: Of the reader.
        role: A reader may look, a reviewer may also judge.
        salt: Base64.
        digest: Of the password, base64.
        cost: Of scrypt when it was hashed; it may be raised later.
    """

    name: str
    role: Role
    salt: str
    digest: str
    cost: int


class Users:
    """The accounts of a server."""

    def __init__(self, file: Path, now: Callable[[], float] = time.monotonic, cost: int = COST) -> None:
        """Read the accounts.

        Args:
            file: Where they are; there may be none yet.
            now: The clock.
            cost: Of scrypt, for new passwords.

        Raises:
            ConfigError: The file is not one of ours.
        """
        self._file = file
        self._now = now
        self._cost = cost
        self._tries: dict[str, list[float]] = {}
        self._counting = threading.Lock()
        # One at a time: each takes 128 MiB, and a crowd of guesses must not take them all.
        self._hashing = threading.Lock()
        try:
            rows = json.loads(file.read_bytes()) if file.is_file() else []
            self._users = {row["name"]: User(**row) for row in rows}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(
                f"the file of users cannot be read: {type(error).__name__}",
                hint="restore it, or move it away and add the users again",
            ) from None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._users)

    def reviewers(self) -> tuple[str, ...]:
        """List who may judge."""
        return tuple(user.name for user in self._users.values() if user.role == "reviewer")

    def role_of(self, name: str) -> Role | None:
        """Tell the role of a user; None where there is no such user."""
        return self._users[name].role if name in self._users else None

    def add(self, name: str, role: Role, password: str) -> None:
        """Add an account, or give an old one another password or role.

        Raises:
            ConfigError: The password is too short, or the name cannot be one.
        """
        if not name or len(name) > 80 or any(ord(letter) < 32 or letter in "<>:" for letter in name):
            raise ConfigError("a name has 1 to 80 letters, and no <, > or :")
        if len(password) < LEAST_PASSWORD:
            raise ConfigError(
                f"the password has {len(password)} letters, at least {LEAST_PASSWORD} are needed",
                hint="three words that do not belong together are easy to keep and hard to guess",
            )
        salt = secrets.token_bytes(16)
        self._users[name] = User(name, role, _text(salt), _text(self._hash(password, salt, self._cost)), self._cost)
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self._file, json.dumps([asdict(user) for user in self._users.values()], indent=1) + "\n")
        os.chmod(self._file, 0o600)  # noqa: PTH101 - one call

    def check(self, name: str, password: str) -> User:
        """Let a user in.

        Raises:
            Problem: Name or password are wrong, or were too often.
        """
        self._count_try(name)
        user = self._users.get(name)
        # Who is not known is hashed too: the time must not tell which names there are.
        salt = base64.b64decode(user.salt) if user else b"nobody has this."
        digest = self._hash(password, salt, user.cost if user else self._cost)
        if user is None or not hmac.compare_digest(digest, base64.b64decode(user.digest)):
            raise Problem("bad_password", "name or password are wrong", "try again, or ask who runs the server")
        with self._counting:
            self._tries.pop(name, None)
        return user

    def _count_try(self, name: str) -> None:
        # Before the hashing, and wrong until it is proven right: a crowd of guesses at one time is counted one by one.
        with self._counting:
            now = self._now()
            recent = [at for at in self._tries.get(name, ()) if now - at < WAIT_SECONDS]
            if len(recent) >= TRIES:
                raise Problem(
                    "too_many_tries", f"{TRIES} wrong passwords within a minute", f"wait {WAIT_SECONDS:.0f} seconds"
                )
            if len(self._tries) > 10_000:  # names made up by a machine; whoever has to wait still waits
                self._tries = {other: ats for other, ats in self._tries.items() if now - ats[-1] < WAIT_SECONDS}
            self._tries[name] = [*recent, now]

    def _hash(self, password: str, salt: bytes, cost: int) -> bytes:
        with self._hashing:
            return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=_BLOCK, p=_PARALLEL, maxmem=_MEMORY, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
