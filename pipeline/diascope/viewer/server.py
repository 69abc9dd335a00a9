"""Starts the server, and says where it is."""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path

import platformdirs
import uvicorn

from diascope.errors import ConfigError
from diascope.viewer.app import make_app
from diascope.viewer.corrections import Drafts
from diascope.viewer.desk import Desk
from diascope.viewer.guard import access
from diascope.viewer.index import CaseIndex
from diascope.viewer.mirror import Mirror
from diascope.viewer.mlflow_page import MlflowPages
from diascope.viewer.outs import ServedOut, open_outs
from diascope.viewer.record import Record, open_shelves
from diascope.viewer.review_export import Tables, tables_of
from diascope.viewer.sessions import Sessions, load_secret
from diascope.viewer.settings import ViewSettings
from diascope.viewer.truth import Truths
from diascope.viewer.users import Users
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
    users = Users(state / "users.json")
    check_exposure(settings, users)
    keep_access_log(state / "access.log")
    secret = load_secret(state / "session.key")
    sessions = Sessions(secret, settings.idle_lock_minutes * 60, state / "sessions.json")
    # Where there are users a token would be a second door.
    token = "" if users else secrets.token_urlsafe(24)
    with ExitStack() as stack:
        listening = stack.enter_context(_listening(settings))
        scratch = stack.enter_context(Scratch())
        index = CaseIndex(outs, settings.sample_part, settings.sample_seed)
        shelves = open_shelves(outs, settings.reviews)
        record = stack.enter_context(closing(Record(index, shelves, blinded=settings.blinded)))
        mirror = stack.enter_context(closing(Mirror(partial(_tables, index, record) if settings.mirror else None)))
        desk = Desk(
            settings=settings,
            token=token,
            sessions=sessions,
            index=index,
            scratch=scratch,
            record=record,
            drafts=Drafts(scratch),
            truths=Truths(settings.truth, scratch),
            mirror=mirror,
            users=users,
            mlflow=MlflowPages(settings.mlflow_url),
            closing=threading.Event(),
        )
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
        url = f"{scheme}://{host}:{port}{settings.prefix}/" + (f"?token={token}" if token else "")
        yield Started(url, uvicorn.Server(config), desk, listening)


def keep_access_log(file: Path) -> None:
    """Write the access log to a file that its owner reads, of ten megabytes at most, and the five before it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
    handler = RotatingFileHandler(file, maxBytes=10 * 2**20, backupCount=5, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for old in [one for one in access.handlers if isinstance(one, RotatingFileHandler)]:
        access.removeHandler(old)
        old.close()
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    access.propagate = False  # not among the warnings on the terminal


def check_exposure(settings: ViewSettings, users: Users) -> None:
    """Refuse to be reached from other machines without users, or in the clear.

    Raises:
        ConfigError: Users are missing, or neither a certificate nor a proxy that brings https is named.
    """
    if settings.is_loopback:
        return
    if not users:
        raise ConfigError(
            f"{settings.host} can be reached by others, and there are no users",
            hint="add them with `diascope view --add-user NAME`, or stay on this machine and forward the port by ssh",
            code="no_users",
        )
    if settings.certificate is None and not settings.proxies:
        raise ConfigError(
            f"{settings.host} can be reached by others, and passwords would travel in the clear",
            hint="name certificate and certificate_key, or the address of the https proxy in proxies",
            code="no_certificate",
        )


def _tables(index: CaseIndex, record: Record, out_id: str) -> tuple[ServedOut, Tables]:
    out, shelf = index.outs[out_id], record.shelves[out_id]
    return out, tables_of(out, shelf.reviews, shelf.key)


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
