"""A browser without a screen: it keeps cookies, sends the token of the session, and follows nothing by itself."""

import contextlib
import http.client
import json
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as json."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Code of the problem."""
        return str(self.json["error"]["code"])


@dataclass
class Browser:
    """One person at one machine.

    Attributes:
        url: That `diascope view` printed.
        cookies: As the server set them.
        csrf: Token of the session.
        trusted: Whose certificates are believed, for https.
    """

    url: str
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""
    trusted: ssl.SSLContext | None = None

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None, **extra: Any
    ) -> Answer:
        """Send a request; `headers` win over what a browser would send."""
        parts = urlsplit(self.url)
        connection = (
            http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=60, context=self.trusted)
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        )
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        data: bytes | None = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent |= {"Content-Type": "application/json"}
        if method != "GET" and self.csrf:
            sent |= {"X-Diascope-CSRF": self.csrf}
        with contextlib.closing(connection):
            connection.request(method, path, data, sent | (headers or {}))
            got = connection.getresponse()
            found = {name.lower(): value for name, value in got.getheaders()}
            if "set-cookie" in found:
                name, _, value = found["set-cookie"].partition(";")[0].partition("=")
                self.cookies[name] = value
            return Answer(got.status, found, got.read())

    def get(self, path: str, **headers: str) -> Answer:
        """Read something; header names are spelt with underscores."""
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, body: object = None) -> Answer:
        """Change something."""
        return self.ask("POST", path, body if body is not None else {})

    def enter(self, name: str = "") -> "Browser":
        """Open the printed address, and give a name."""
        parts = urlsplit(self.url)
        assert self.get(f"{parts.path}?{parts.query}").status == 303
        self.csrf = self.get("/api/session").json["csrf"]
        if name:
            assert self.post("/api/session/name", {"name": name}).status == 200
        return self
