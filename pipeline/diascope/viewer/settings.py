"""How results are shown, and to whom."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from diascope.config import Settings

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ViewSettings(Settings):
    """Settings of `diascope view`."""

    host: str = "127.0.0.1"
    """Address to listen on; another than this machine's own needs users, and a certificate or a declared proxy."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    """Port to listen on; 0 takes a free one. Where it is taken, the next free one is."""

    public_hosts: tuple[str, ...] = ()
    """Names under which browsers reach the server, where they are others than `host`."""

    proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies that bring https; their X-Forwarded headers are believed, nobody else's."""

    prefix: str = ""
    """Path before every address behind a proxy, such as `/diascope`; a proxy may send X-Forwarded-Prefix instead."""

    certificate: Path | None = None
    """Certificate chain for https, in PEM."""

    certificate_key: Path | None = None
    """Its private key, in PEM."""

    reviews: str = ""
    """Where verdicts go: an SQLAlchemy URL such as `postgresql+pg8000://...`; by default OUT/reviews.sqlite."""

    blinded: bool = False
    """Hide other readers, and the AI until a first read is saved."""

    sample_part: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Which part of the cases that look good is mixed into the queue, drawn at random."""

    sample_seed: int = 0
    """Of that draw: the same seed draws the same cases."""

    idle_lock_minutes: Annotated[float, Field(gt=0)] = 30.0
    """A session that did nothing for so long is locked."""

    state_dir: Path | None = None
    """Folder of users, the session secret and the access log; by default in your data folder."""

    mirror: bool = True
    """Send verdicts to the batch's MLflow run, as tags and metrics."""

    mlflow_url: Annotated[str, Field(pattern=r"^(https?://[^\s#?@]+)?$")] = ""
    """Where MLflow's pages are, for the link to a batch's run; by default the tracking server, if it is one."""

    export_mb: Annotated[float, Field(gt=0)] = 100.0
    """How large an exported page may be, in megabytes."""

    truth: Path | None = None
    """Manifest with the truth, to be drawn as outlines; see `diascope evaluate --truth`."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("certificate and certificate_key go together")
        if self.prefix and (not self.prefix.startswith("/") or self.prefix.endswith("/")):
            raise ValueError("a prefix starts with / and does not end with it, such as /diascope")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK
