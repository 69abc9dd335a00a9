"""Who sits at a browser: a signed cookie, its CSRF token, and the lock of an idle session."""

import base64
import hashlib
import hmac
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from diascope.errors import PipelineError
from diascope.viewer.state_file import StateFile

log = logging.getLogger(__name__)

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


@dataclass(frozen=True, slots=True)
class Marks:
    """What outlives a restart: when the sessions began that were ended or locked, by sid."""

    ended: dict[str, float] = field(default_factory=dict)
    locked: dict[str, float] = field(default_factory=dict)


class Sessions:
    """Makes and reads cookies, and knows which sessions are idle, locked and over."""

    def __init__(self, secret: bytes, idle_seconds: float, file: Path, now: Callable[[], float] = time.time) -> None:
        """Start with what an earlier server left.

        Args:
            secret: 32 random bytes; the same after a restart keeps browsers signed in.
            idle_seconds: After which a session is locked.
            file: Keeps which sessions were ended or locked; there may be none yet.
            now: The clock.

        Raises:
            ConfigError: The file is not one of ours.
        """
        self._secret = secret
        self._idle_seconds = idle_seconds
        self._now = now
        self._seen: dict[str, float] = {}
        cure = "move it away together with session.key: everybody signs in anew"
        self._marks = StateFile(file, lambda found: Marks(**found) if found else Marks(), asdict, cure)
        self._guard = threading.Lock()

    def begin(self, login: Literal["token", "password"], reviewer: str = "", role: Role = "reviewer") -> Session:
        """Begin a session."""
        session = Session(secrets.token_urlsafe(16), reviewer, role, login, self._now())
        with self._guard:
            self._seen[session.sid] = session.issued
        return session

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
            is_over = session.sid in self._marks.content().ended or self._now() - session.issued > LONGEST_SECONDS
        return None if is_over else session

    def csrf(self, session: Session) -> str:
        """Give the token that every changing request of a session carries."""
        return self._sign("csrf", session.sid)

    def touch(self, session: Session) -> bool:
        """Note that a session did something; say whether it may (it may not while locked)."""
        with self._guard:
            if self._is_shut(session):
                self._mark(session, "locked")
                return False
            self._seen[session.sid] = self._now()
            return True

    def is_locked(self, session: Session) -> bool:
        """Say whether a session is locked, without touching it."""
        with self._guard:
            return self._is_shut(session)

    def lock(self, session: Session) -> None:
        """Lock a session."""
        with self._guard:
            self._mark(session, "locked")

    def unlock(self, session: Session) -> None:
        """Let a session go on."""
        with self._guard:
            self._mark(session, None)
            self._seen[session.sid] = self._now()

    def end(self, session: Session) -> None:
        """End a session: its cookie is worth nothing any more."""
        with self._guard:
            self._mark(session, "ended")

    def _is_shut(self, session: Session) -> bool:
        if session.sid in self._marks.content().locked:
            return True
        # Nobody knows how long the chair of a session of an earlier server was empty: the password is asked again.
        unseen = float("-inf") if session.login == "password" else self._now()
        return self._now() - self._seen.get(session.sid, unseen) > self._idle_seconds

    def _mark(self, session: Session, mark: Literal["ended", "locked"] | None) -> None:
        def change(marks: Marks) -> Marks:
            oldest = self._now() - LONGEST_SECONDS  # a cookie from before is worth nothing anyway
            ended = {sid: issued for sid, issued in marks.ended.items() if issued >= oldest}
            locked = {sid: at for sid, at in marks.locked.items() if at >= oldest and sid != session.sid}
            if mark == "ended":
                ended[session.sid] = session.issued
            elif mark == "locked":
                locked[session.sid] = session.issued
            return Marks(ended, locked)

        if change(self._marks.content()) == self._marks.content():
            return
        try:
            self._marks.change(change)
        except (OSError, PipelineError) as error:
            log.warning("which sessions are over or locked could not be saved: %s", type(error).__name__)

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
