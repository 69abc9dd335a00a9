"""Starts the server, and says where it is."""

import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import uvicorn

from diascope.errors import ConfigError
from diascope.viewer.app import make_app
from diascope.viewer.desk import Desk
from diascope.viewer.index import CaseIndex
from diascope.viewer.outs import open_outs
from diascope.viewer.sessions import Sessions, load_secret
from diascope.viewer.settings import ViewSettings
from diascope.viewer.voxels import Scratch

# How many ports after the one that was asked for are tried.
PORTS_TRIED = 20


def state_folder(settings: ViewSettings) -> Path:
    """Find the folder of users, secret and access log."""
    return settings.state_dir or platformdirs.user_data_path("diascope") / "viewer"


@dataclass(frozen=True, slots=True)
class Started:
    """A server that listens.

    Attributes:
        url: To open in a browser; with the token, where there is one.
        server: Stop it by `should_exit`.
        desk: What its handlers share.
        listening: Its socket.
    """

    url: str
    server: uvicorn.Server
    desk: Desk
    listening: socket.socket

    def run(self) -> None:
        """Answer until told to stop."""
        self.server.run(sockets=[self.listening])


@contextmanager
def started(folders: Sequence[Path], settings: ViewSettings) -> Iterator[Started]:
    """Open the output folders and listen; nothing is answered before `run`.

    Raises:
        ConfigError: The address may not be listened on.
        InputError: A folder is no output folder.
    """
    outs = open_outs(folders)
    state = state_folder(settings)
    sessions = Sessions(load_secret(state / "session.key"), settings.idle_lock_minutes * 60)
    token = secrets.token_urlsafe(24)
    with Scratch() as scratch, _listening(settings) as listening:
        index = CaseIndex(outs, settings.sample_part, settings.sample_seed)
        desk = Desk(settings, token, sessions, index, scratch, threading.Event())
        config = uvicorn.Config(
            make_app(desk),
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.certificate_key,
            timeout_graceful_shutdown=5,
        )
        port = listening.getsockname()[1]
        scheme = "https" if settings.certificate else "http"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"{scheme}://{host}:{port}{settings.prefix}/?token={token}"
        yield Started(url, uvicorn.Server(config), desk, listening)


@contextmanager
def _listening(settings: ViewSettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ports = range(settings.port, settings.port + (PORTS_TRIED if settings.port else 1))
        for port in ports:
            try:
                found.bind((settings.host, port))
            except OSError:
                continue
            found.listen(128)
            yield found
            return
    raise ConfigError(
        f"cannot listen on {settings.host}: ports {ports[0]} to {ports[-1]} are taken, or it is no address of ours",
        hint="give another with --port or --host",
    )
