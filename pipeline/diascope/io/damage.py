"""What a codec or parser raised on a broken file, in words that a person can act on."""

import binascii
import lzma
import struct
import tarfile
import zipfile
import zlib

_ENDS_EARLY = "it ends too early"
_CONTRADICTION = "its entries contradict each other"

# The first that fits: a UnicodeError is a ValueError, a RecursionError a RuntimeError.
_WORDS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((EOFError, struct.error, IndexError, tarfile.TruncatedHeaderError), _ENDS_EARLY),  # type: ignore[attr-defined]  # not in typeshed
    ((zlib.error, zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, binascii.Error), "its packing is damaged"),
    ((UnicodeError,), "its texts are in no readable characters"),
    ((MemoryError, OverflowError), "it asks for impossible sizes"),
    ((RecursionError,), "it is nested without end"),
    ((NotImplementedError,), "it is of a variant that is not read here"),
    ((KeyError, AttributeError), "an entry that it needs is missing"),
    ((ValueError, TypeError, ArithmeticError, AssertionError), _CONTRADICTION),
)


def damage_of(error: Exception) -> str:
    """Say what is wrong with a file, from what reading it raised.

    The exception's own text is not told: it quotes what stands in the file.
    """
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return error.strerror.lower()
    return next((words for kinds, words in _WORDS if isinstance(error, kinds)), "its content is damaged")
