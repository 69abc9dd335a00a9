"""Who sits at a browser: a signed cookie, its CSRF token, and the lock of an idle session."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

Role = Literal["reader", "reviewer"]

# A session ends after a day at most, also one that is never idle.
LONGEST_SECONDS = 24 * 3600.0
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """What the cookie holds; signed, so that nobody can make one up.

    Attributes:
        sid: Random name of the session.
        reviewer: Who reads; empty until a name was given.
        role: A reader may look, a reviewer may also judge.
        login: How the session began.
        issued: Seconds since 1970.
    """

    sid: str
    reviewer: str
    role: Role
    login: Literal["token", "password"]
    issued: float


class Sessions:
    """Makes and reads cookies, and knows which sessions are idle."""

    def __init__(self, secret: bytes, idle_seconds: float, now: Callable[[], float] = time.time) -> None:
        """Start without sessions.

        Args:
            secret: 32 random bytes; the same after a restart keeps browsers signed in.
            idle_seconds: After which a session is locked.
            now: The clock.
        """
        self._secret = secret
        self._idle_seconds = idle_seconds
        self._now = now
        self._seen: dict[str, float] = {}
        self._locked: set[str] = set()
        self._ended: set[str] = set()
        self._guard = threading.Lock()

    def begin(self, login: Literal["token", "password"], reviewer: str = "", role: Role = "reviewer") -> Session:
        """Begin a session."""
        return Session(secrets.token_urlsafe(16), reviewer, role, login, self._now())

    def renamed(self, session: Session, reviewer: str) -> Session:
        """Give a session its reader's name."""
        return replace(session, reviewer=reviewer)

    def cookie(self, session: Session) -> str:
        """Spell a session as the value of a cookie."""
        # Without padding: `=` would have the cookie quoted.
        body = base64.urlsafe_b64encode(json.dumps(asdict(session)).encode()).decode().rstrip("=")
        return f"{body}.{self._sign('cookie', body)}"

    def read(self, cookie: str) -> Session | None:
        """Read a cookie; None where it was not made here, is too old, or its session was ended."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("cookie", body).encode()):
            return None
        session = Session(**json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
        with self._guard:
            is_over = session.sid in self._ended or self._now() - session.issued > LONGEST_SECONDS
        return None if is_over else session

    def csrf(self, session: Session) -> str:
        """Give the token that every changing request of a session carries."""
        return self._sign("csrf", session.sid)

    def touch(self, session: Session) -> bool:
        """Note that a session did something; say whether it may (it may not while locked)."""
        with self._guard:
            now = self._now()
            if now - self._seen.get(session.sid, now) > self._idle_seconds:
                self._locked.add(session.sid)
            if session.sid in self._locked:
                return False
            self._seen[session.sid] = now
            return True

    def is_locked(self, session: Session) -> bool:
        """Say whether a session is locked, without touching it."""
        with self._guard:
            idle = self._now() - self._seen.get(session.sid, self._now()) > self._idle_seconds
            return idle or session.sid in self._locked

    def lock(self, session: Session) -> None:
        """Lock a session."""
        with self._guard:
            self._locked.add(session.sid)

    def unlock(self, session: Session) -> None:
        """Let a session go on."""
        with self._guard:
            self._locked.discard(session.sid)
            self._seen[session.sid] = self._now()

    def end(self, session: Session) -> None:
        """End a session: its cookie is worth nothing any more."""
        with self._guard:
            self._ended.add(session.sid)

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()


def load_secret(file: Path) -> bytes:
    """Read the secret that signs cookies, or make one that only its owner can read."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = file.read_bytes()
        if len(secret) == SECRET_BYTES:
            return secret
        # Half-written by a machine that lost power: every browser signs in anew.
        file.unlink()
        return load_secret(file)
    with os.fdopen(handle, "wb") as stream:
        secret = secrets.token_bytes(SECRET_BYTES)
        stream.write(secret)
    return secret
