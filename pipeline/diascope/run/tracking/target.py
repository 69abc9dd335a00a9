"""Where a run is tracked: which MLflow, whether it is on this machine, and whether it answers."""

import hashlib
import os
import re
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import platformdirs

from diascope.config import without_password
from diascope.run.tracking.settings import TrackingSettings

# A server that is there answers its health page within milliseconds, over a slow network within a second.
PROBE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Target:
    """A destination.

    Attributes:
        uri: MLflow's tracking URI, perhaps with a password: never shown, never stored.
        experiment: Name of the experiment.
        artifacts: What the settings say of files.
    """

    uri: str
    experiment: str
    artifacts: Literal["auto", "all", "none"]

    @property
    def is_local(self) -> bool:
        """Whether it is a sqlite store, in a file on this machine."""
        return self.uri.startswith("sqlite:")

    @property
    def digest(self) -> str:
        """Name it in tracking.jsonl, without giving the address away."""
        return hashlib.sha256(f"{self.uri}\0{self.experiment}".encode()).hexdigest()[:16]

    @property
    def shown(self) -> str:
        """The address without a password."""
        return without_password(self.uri)

    @property
    def store_file(self) -> Path | None:
        """The file of a sqlite store."""
        if not self.is_local:
            return None
        path = self.uri.removeprefix("sqlite:///").partition("?")[0]
        return Path(path) if path else None

    @property
    def artifact_location(self) -> str | None:
        """Where the files of a new experiment go: beside a sqlite store; a server decides for itself."""
        store = self.store_file
        if store is None:
            return None
        folder = store.absolute().parent / "artifacts" / re.sub(r"[^\w.-]", "_", self.experiment)
        return folder.as_uri()


def target_of(settings: TrackingSettings) -> Target:
    """Find the destination: the settings, else MLFLOW_TRACKING_URI, else the user's own store."""
    uri = settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or users_store()
    return Target(uri, settings.experiment, settings.artifacts)


def users_store() -> str:
    """Address of the sqlite store in the user's data folder."""
    return f"sqlite:///{platformdirs.user_data_path('diascope') / 'mlflow' / 'mlflow.db'}"


def announcement(target: Target, *, is_known: bool = False) -> str:
    """Say what will be sent where, before anything is.

    Args:
        target: Where.
        is_known: What is sent was said when the run was first sent there; then one line is enough.
    """
    where = f'tracking: MLflow at {target.shown}, experiment "{target.experiment}"'
    if is_known:
        return where
    pictures = (target.is_local or target.artifacts == "all") and target.artifacts != "none"
    sent = [
        "settings",
        "versions",
        "names and digests of the networks",
        "counts",
        "seconds",
        "numbers summed up by structure",
    ]
    if target.artifacts != "none":
        sent += ["the tables of cases, measurements and rejects (keyed ids)"]
        sent += ["previews", "report.html"] if pictures else ["report.html without pictures"]
    lines = [
        where,
        f"  sent there: {', '.join(sent)}",
        "  never sent: names, record numbers, UIDs, dates or paths of patients, and nothing of private/",
    ]
    if not pictures and target.artifacts == "auto":
        lines.append("  pictures stay here: tracking.artifacts=all sends them to a server too")
    return "\n".join(lines)


def why_unreachable(target: Target) -> str:
    """Say why a destination cannot be reached; empty if it can, or if it is no server that can be asked."""
    parts = urlsplit(target.uri)
    if parts.scheme in {"http", "https"}:
        return _why_silent(target.shown.rstrip("/") + "/health")
    if parts.scheme.startswith(("postgresql", "mysql", "mssql")) and parts.hostname and parts.port:
        return _why_closed(parts.hostname, parts.port)
    return ""


def _why_silent(url: str) -> str:
    # Proxies are for the wide world; the environment's are honoured, as MLflow honours them.
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS):  # noqa: S310 - the scheme was checked
            return ""
    except urllib.error.HTTPError:
        return ""  # it answers: whether it lets us in is for MLflow to find out
    except TimeoutError:
        return f"it did not answer within {PROBE_SECONDS:.0f} s"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            return f"it did not answer within {PROBE_SECONDS:.0f} s"
        return f"it cannot be reached ({getattr(reason, 'strerror', None) or type(reason).__name__})"


def _why_closed(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
    except OSError as error:
        return f"it cannot be reached ({error.strerror or type(error).__name__})"
    return ""
