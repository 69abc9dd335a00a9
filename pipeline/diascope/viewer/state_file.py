"""A small file of the server's state, read again when it changes, that its owner alone can read."""

import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from diascope.errors import ConfigError
from diascope.io.outfolder import write_atomic

log = logging.getLogger(__name__)

Content = TypeVar("Content")


class StateFile(Generic[Content]):
    """What a file holds now; several servers and the command line may share it."""

    def __init__(self, file: Path, parse: Callable[[Any], Content], spell: Callable[[Content], Any], cure: str) -> None:
        """Read the file.

        Args:
            file: Where it is; there may be none yet.
            parse: Makes the content of json; of None where there is no file.
            spell: Makes json of the content.
            cure: What to do where the file is damaged.

        Raises:
            ConfigError: The file is not one of ours.
        """
        self._file = file
        self._parse = parse
        self._spell = spell
        self._cure = cure
        self._one_at_a_time = threading.RLock()
        self._stamp = self._stamp_now()
        self._content = self._read()

    def content(self) -> Content:
        """Give what the file holds; what it held before, where somebody has damaged it since."""
        with self._one_at_a_time:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._stamp = stamp  # taken before the reading: a change meanwhile is seen next time
                try:
                    self._content = self._read()
                except ConfigError as error:
                    log.warning("%s; what it held before stays in force", error.message)
            return self._content

    def change(self, change: Callable[[Content], Content]) -> None:
        """Change the content; here it holds also where it cannot be written.

        Raises:
            OSError: The folder may not be written.
            OutputError: The disk is full or the file may not be written.
        """
        with self._one_at_a_time:
            try:
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._alone():
                    self._content = change(self.content())
                    write_atomic(self._file, json.dumps(self._spell(self._content), indent=1) + "\n", mode=0o600)
                    self._stamp = self._stamp_now()
            except OSError:
                self._content = change(self._content)
                raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # Between reading and writing no other server of the folder may write.
        with os.fdopen(
            os.open(self._file.with_name(f".{self._file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        ) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> Content:
        try:
            return self._parse(json.loads(self._file.read_bytes()) if self._file.is_file() else None)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"{self._file.name} cannot be read: {type(error).__name__}",
                hint=self._cure,
            ) from None
