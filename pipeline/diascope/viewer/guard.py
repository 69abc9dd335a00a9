"""What every request passes first: its host, its headers, its session, its token."""

import hmac
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diascope.viewer.answers import Problem
from diascope.viewer.sessions import Session, Sessions
from diascope.viewer.settings import LOOPBACK, ViewSettings
from diascope.viewer.users import Users

access = logging.getLogger("diascope.viewer.access")

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            # No inline script or style, no other origin: a label that is a script stays a text.
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "font-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

# May be asked without a session: they hold no data.
_OPEN = frozenset({"/api/door", "/api/login", "/healthz"})

# May be asked while a session is locked.
_WHILE_LOCKED = frozenset({"/api/session", "/api/session/lock", "/api/session/unlock", "/api/logout"})

# What may stand in the access log of an address: the words of the interface, and keyed ids.
_LOGGED_PART = re.compile(r"[a-z_]{1,20}|case-[0-9a-f]{15}|img-[0-9a-f]{15}|\d{1,6}")


@dataclass(frozen=True, slots=True)
class Guard:
    """The outermost layer of the application.

    Attributes:
        app: What lies behind it.
        sessions: Who is signed in.
        settings: Hosts and proxies.
        users: Who may sign in; none where a token opens the session.
    """

    app: ASGIApp
    sessions: Sessions
    settings: ViewSettings
    users: Users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it with what is wrong."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._admit(scope)
        except Problem as problem:
            await problem.answer()(scope, receive, send_guarded)
        else:
            await self.app(scope, receive, send_guarded)
        finally:
            session: Session | None = scope.get("state", {}).get("session")
            access.info(
                "%s %s %d %.0f ms session %s",
                scope["method"],
                logged_path(scope["path"]),
                status,
                (time.perf_counter() - started) * 1000,
                session.sid[:6] if session else "-",
            )

    def _admit(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        self._check_clear(scope)
        self._drop_prefix(scope, headers)
        path = scope["path"]
        session = self.sessions.read(_cookie(headers, cookie_name(scope)))
        if session is not None and not self._is_still_good(session):
            session = None
        scope.setdefault("state", {})["session"] = session
        if not path.startswith("/api/") or path in _OPEN:
            return
        if session is None:
            raise Problem(
                "no_session", "nobody is signed in", "open the address that `diascope view` printed, or sign in"
            )
        if scope["method"] not in {"GET", "HEAD"}:
            given = headers.get("x-diascope-csrf", "")
            if not hmac.compare_digest(given.encode(), self.sessions.csrf(session).encode()):
                raise Problem("csrf", "the request lacks the token of this session", "reload the page")
        # Polling must not keep an empty chair signed in.
        is_poll = path == "/api/worklist/version"
        is_awake = not self.sessions.is_locked(session) if is_poll else self.sessions.touch(session)
        if not is_awake and path not in _WHILE_LOCKED:
            raise Problem("locked", "the session is locked", "unlock it to go on")

    def _is_still_good(self, session: Session) -> bool:
        # A cookie of a time without users, or of one who has left or changed role or password since, opens nothing.
        if not self.users:
            return session.login == "token"
        return session.login == "password" and self.users.admits(session)

    def _check_host(self, headers: Headers) -> None:
        # A page of another site that had its name resolve to this machine (DNS rebinding) says that name here.
        host = _without_port(headers.get("host", ""))
        if host not in LOOPBACK | {self.settings.host, *self.settings.public_hosts}:
            raise Problem("wrong_host", "this server does not go by that name", "name it in public_hosts")

    def _check_clear(self, scope: Scope) -> None:
        # What a proxy on this machine passes on comes from elsewhere: it has to say that it came by https.
        is_from_here = _peer(scope) in LOOPBACK and not self._is_proxy(scope)
        if not (self.settings.is_loopback or is_from_here or is_https(scope, self.settings)):
            raise Problem(
                "not_https",
                "this request came in the clear: a password in it could be read on its way",
                "use the https address; a proxy has to be named in proxies, and to send X-Forwarded-Proto: https",
            )

    def _drop_prefix(self, scope: Scope, headers: Headers) -> None:
        prefix = self.settings.prefix
        if self._is_proxy(scope):
            prefix = headers.get("x-forwarded-prefix", prefix).rstrip("/")
        if prefix and re.fullmatch(r"(/[\w.~-]+)+", prefix):
            scope["state"] = {**scope.get("state", {}), "prefix": prefix}
            if scope["path"].startswith(prefix + "/"):
                scope["path"] = scope["path"][len(prefix) :]

    def _is_proxy(self, scope: Scope) -> bool:
        return _peer(scope) in self.settings.proxies


def cookie_name(scope: Scope) -> str:
    """Name the cookie: browsers share cookies between the ports of a host, two servers must not."""
    server = scope.get("server") or ("", 0)
    return f"diascope_{server[1]}"


def is_https(scope: Scope, settings: ViewSettings) -> bool:
    """Say whether the browser speaks https, to us or to a declared proxy."""
    if _peer(scope) in settings.proxies:
        return Headers(scope=scope).get("x-forwarded-proto", "") == "https"
    return bool(scope["scheme"] == "https")


def logged_path(path: str) -> str:
    """Spell a path for the access log: what nobody but us made up; the rest may be anything.

    Without its first slash, by which our log's Redactor knows the paths of files.
    """
    parts = path.strip("/").split("/")
    return "/".join(part if _LOGGED_PART.fullmatch(part) else "*" for part in parts) if path != "/" else "page"


def _peer(scope: Scope) -> str:
    # A socket that listens on IPv6 spells IPv4 its own way (RFC 4291, 2.5.5.2).
    client = scope.get("client") or ("", 0)
    return str(client[0]).removeprefix("::ffff:")


def _cookie(headers: Headers, name: str) -> str:
    for part in headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
