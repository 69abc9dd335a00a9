"""Who may sign in where the server can be reached by others: names, roles, hashed passwords.

Passwords are hashed with scrypt (RFC 7914) at the strength that OWASP recommends, each
with its own salt; the file is readable by its owner only.
"""

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diascope.errors import ConfigError
from diascope.viewer.answers import Problem
from diascope.viewer.sessions import Role, Session
from diascope.viewer.state_file import StateFile

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
        changed: Seconds since 1970 when password or role were given; sessions begun before are over.
    """

    name: str
    role: Role
    salt: str
    digest: str
    cost: int
    changed: float = 0.0


class Users:
    """The accounts of a server; what `--add-user` changes holds at once."""

    def __init__(self, file: Path, now: Callable[[], float] = time.monotonic, cost: int = COST) -> None:
        """Read the accounts.

        Args:
            file: Where they are; there may be none yet.
            now: The clock.
            cost: Of scrypt, for new passwords.

        Raises:
            ConfigError: The file is not one of ours.
        """
        self._now = now
        self._cost = cost
        self._tries: dict[str, list[float]] = {}
        self._counting = threading.Lock()
        # One at a time: each takes 128 MiB, and a crowd of guesses must not take them all.
        self._hashing = threading.Lock()
        self._accounts = StateFile(file, _parsed, _spelt, "restore it, or move it away and add the users again")
        self._is_door = bool(self._accounts.content())

    def __bool__(self) -> bool:
        """Whether one signs in with a password here.

        It stays as it was at the start: that the last account was taken away must not open another door.
        """
        return self._is_door

    def reviewers(self) -> tuple[str, ...]:
        """List who may judge."""
        return tuple(user.name for user in self._accounts.content().values() if user.role == "reviewer")

    def admits(self, session: Session) -> bool:
        """Say whether a session is of an account that has had its password and role since before it began."""
        user = self._accounts.content().get(session.reviewer)
        return user is not None and user.role == session.role and session.issued >= user.changed

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
        digest = self._hash(password, salt, self._cost)
        user = User(name, role, _text(salt), _text(digest), self._cost, time.time())
        self._accounts.change(lambda users: {**users, name: user})
        self._is_door = True

    def check(self, name: str, password: str) -> User:
        """Let a user in.

        Raises:
            Problem: Name or password are wrong, or were too often.
        """
        self._count_try(name)
        user = self._accounts.content().get(name)
        # Who is not known is hashed too: the time must not tell which names there are.
        salt = base64.b64decode(user.salt) if user else b"nobody has this."
        digest = self._hash(password, salt, user.cost if user else self._cost)
        is_right = user is not None and hmac.compare_digest(digest, base64.b64decode(user.digest))
        # The password may have been changed while it was hashed: an old one begins nothing.
        if user is None or not is_right or self._accounts.content().get(name) != user:
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


def _parsed(rows: Any) -> dict[str, User]:
    return {row["name"]: User(**row) for row in rows or ()}


def _spelt(users: dict[str, User]) -> Any:
    return [asdict(user) for user in users.values()]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
