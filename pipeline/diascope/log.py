"""Logging that cannot leak identifiers.

Only the command line calls `start_logging`. Every line, ours or a library's, passes
one filter: what looks like a UID, a DICOM date, a person name or a path is masked by
its form, and what the readers registered as an identifier by its words.
"""

import logging
import re
import sys
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

MASK = "[private]"

# Shorter texts (the record number "7", the name "Li") would black out half of every line.
SHORTEST_SECRET = 3

# A DICOM UID (PS3.5, 9.1): at least five components here, so that version
# numbers and addresses such as 127.0.0.1 stay readable.
_UID = re.compile(r"(?<![\d.])\d+(?:\.\d+){4,}(?!\.?\d)")
# A DICOM date (VR DA) of the 20th or 21st century, alone, with separators as in older
# files, or followed by a time (VR DT). Keyed ids and digests may hold such digits by chance.
_DATE = re.compile(
    r"(?P<digest>(?<![0-9A-Za-z])(?=[0-9a-f]*[a-f])[0-9a-f]{15,64}(?![0-9A-Za-z]))"
    r"|(?<!\d)(?:19|20)\d{2}([-./]?)(?:0[1-9]|1[0-2])\2(?:0[1-9]|[12]\d|3[01])(?:(?:\d{2}){1,3}(?:\.\d+)?)?(?!\d)"
)
# A DICOM person name (VR PN): family^given; not 10^5.
_PERSON = re.compile(r"[^\W\d_][\w'-]*(?:\^+[\w'-]*[^\W\d_])+\^*")
# An absolute path, also in a URL without a host. Its folders may have spaces in their names,
# and so may a file with a suffix.
_NAME = r"[^\s/\\'\":,;()]+"
_PATH = re.compile(
    rf"(?:(?<![\w:/.#])|(?<=:///)|(?<=://)(?=/))(?:~|[A-Za-z]:)?[/\\](?:{_NAME}(?: {_NAME}){{0,3}}[/\\])+"
    rf"(?:{_NAME}(?: {_NAME}){{0,3}}\.[A-Za-z]{{2,4}}\b|(?:{_NAME})?)"
)
# Between quotes a path may hold anything.
_QUOTED_PATH = re.compile(r"(?P<quote>['\"])(?:~|[A-Za-z]:|\.{1,2})?[/\\](?:(?!(?P=quote)).)*(?P=quote)")
# A line of a traceback names code, which is no secret: what is left is where in the package.
_CODE = re.compile(r'(?<=File ")[^"\n]*?((?:/diascope|site-packages|/python3\.\d+)/[^"\n]+\.py)(?=")')

# A letter that has no composed form (İ in lower case) keeps its accent in the word.
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f]+[^\W_]*)*")
_EIGHT_DIGITS = re.compile(r"(\d{4})(\d{2})(\d{2})")


class Redactor(logging.Filter):
    """Masks identifiers in every record that passes.

    Registered texts are kept as sequences of words, without case, accents and what
    stands between the words: MÜLLER^Anna is found in `muller_anna_t1.nii`. The time a
    line takes does not depend on how many texts were registered.
    """

    def __init__(self) -> None:
        """Start with nothing registered."""
        super().__init__()
        self._secrets: dict[int, set[tuple[str, ...]]] = {}
        self._lock = threading.Lock()

    def register(self, texts: Iterable[str]) -> None:
        """Mask these texts from now on, also each part of a person name and each spelling of a date."""
        found = {spelling for text in texts for spelling in _spellings(text)}
        with self._lock:
            for words in found:
                self._secrets.setdefault(len(words), set()).add(words)

    def redact(self, text: str) -> str:
        """Mask what is an identifier by its words or by its form."""
        text = _CODE.sub(lambda code: code[1].lstrip("/"), unicodedata.normalize("NFC", text))
        for pattern in (_QUOTED_PATH, _PATH, _UID, _PERSON):
            text = pattern.sub(MASK, text)
        text = _DATE.sub(lambda found: found["digest"] or MASK, text)
        return self._without_secrets(text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass with its text redacted, its traceback included."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # a library's format does not fit its arguments
            message = f"{record.msg} {record.args}"
        record.msg, record.args = self.redact(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
        record.exc_text = self.redact(record.exc_text) if record.exc_text else None
        record.stack_info = self.redact(record.stack_info) if record.stack_info else None
        return True

    def _without_secrets(self, text: str) -> str:
        matches = list(_WORD.finditer(text))
        words = [_plain(match[0]) for match in matches]
        kept, end, at = [], 0, 0
        while at < len(words):
            if length := self._secret_at(words, at):
                kept += [text[end : matches[at].start()], MASK]
                end = matches[at + length - 1].end()
            at += length or 1
        return "".join([*kept, text[end:]])

    def _secret_at(self, words: list[str], at: int) -> int:
        """Number of words of the longest secret that begins at a word; 0 if there is none."""
        with self._lock:
            lengths = sorted(self._secrets, reverse=True)
            return next((n for n in lengths if tuple(words[at : at + n]) in self._secrets[n]), 0)


def start_logging(level: int = logging.WARNING, stream: TextIO | None = None) -> Redactor:
    """Send the log to stderr through a Redactor; called once, by the command line.

    Libraries that bring handlers of their own (MLflow) pass it too: records are
    redacted when they are made.

    Returns:
        The Redactor, so that the readers' identifiers can be registered.
    """
    redactor = Redactor()

    def redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)
        redactor.filter(record)
        return record

    logging.setLogRecordFactory(redacted_record)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handler.addFilter(redactor)  # for records that another process made
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    return redactor


def _spellings(text: str) -> Iterator[tuple[str, ...]]:
    """The sequences of words in which a text may turn up."""
    parts = [text]
    if not re.search(r"[/\\]", text):
        parts += re.split(r"[\^=,\s]+", text)
    if date := _EIGHT_DIGITS.fullmatch(text.strip()):
        year, month, day = date.groups()
        parts += [f"{year} {month} {day}", f"{day} {month} {year}", f"{month} {day} {year}"]
    # Capitals of a few letters (ß, ᾲ) are two letters, which casefold alone does not undo.
    for part in {each for spelt in parts for each in (spelt, spelt.upper())}:
        words = tuple(_plain(word) for word in _WORD.findall(unicodedata.normalize("NFC", part)))
        if len("".join(words)) >= SHORTEST_SECRET:
            yield words


def _plain(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", word)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()
