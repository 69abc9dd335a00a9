"""Logging that cannot leak identifiers.

Only the command line calls `start_logging`. Every line, ours or a library's, passes
one filter: what looks like a UID or a DICOM date is masked by its form, and what
the readers registered as an identifier (names, record numbers, paths) by its text.
"""

import logging
import re
import sys
from collections.abc import Iterable
from typing import TextIO

MASK = "[private]"

# A DICOM UID (PS3.5, 9.1): at least four components here, so that version
# numbers and addresses such as 127.0.0.1 stay readable.
_UID = re.compile(r"(?<![\w.])\d+(?:\.\d+){4,}(?![\w.])")
# A DICOM date (VR DA) of the 20th or 21st century, alone or followed by a time (VR DT).
_DATE = re.compile(r"(?<!\d)(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6}(?:\.\d+)?)?(?!\d)")
_PATH = re.compile(r"(?<![\w:/.])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\":,;()]+[/\\])+[^\s/\\'\":,;()]*")

# Shorter texts (the record number "7", the name "Li") would black out half of every line.
SHORTEST_SECRET = 3


class Redactor(logging.Filter):
    """Masks identifiers in every record that passes.

    Attributes:
        secrets: Texts that were registered, lower case.
    """

    def __init__(self) -> None:
        """Start with nothing registered."""
        super().__init__()
        self.secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, texts: Iterable[str]) -> None:
        """Mask these texts from now on, in any case, also the parts of a person name."""
        for text in texts:
            for part in (text, *re.split(r"[\^=\s]+", text)):
                if len(part.strip()) >= SHORTEST_SECRET:
                    self.secrets.add(part.strip().lower())
        self._pattern = None

    def redact(self, text: str) -> str:
        """Mask what is an identifier by its text or by its form."""
        if self.secrets:
            text = self._secret_pattern().sub(MASK, text)
        for pattern in (_PATH, _UID, _DATE):
            text = pattern.sub(MASK, text)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass with its text redacted, its traceback included."""
        record.msg, record.args = self.redact(record.getMessage()), None
        if record.exc_info:
            record.exc_text = self.redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True

    def _secret_pattern(self) -> re.Pattern[str]:
        if self._pattern is None:
            longest_first = sorted(self.secrets, key=len, reverse=True)
            self._pattern = re.compile(
                r"(?<!\w)(?:" + "|".join(re.escape(text) for text in longest_first) + r")(?!\w)", re.IGNORECASE
            )
        return self._pattern


def start_logging(level: int = logging.WARNING, stream: TextIO | None = None) -> Redactor:
    """Send the log to stderr through a Redactor; called once, by the command line.

    Returns:
        The Redactor, so that the readers' identifiers can be registered.
    """
    redactor = Redactor()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handler.addFilter(redactor)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    return redactor
