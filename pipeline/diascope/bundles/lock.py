"""Proof that a bundle's files are the ones that were reviewed: their digests in bundles.lock.

A bundle's config can run code, and weights decide on results; so no bundle is opened
whose files differ from the lock. What a bundle consists of counts (configs, models,
docs, LICENSE), and wherever it lies what can be run or unpickled; results that a stock
MONAI run leaves in the folder do not.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from diascope.errors import BundleError

PARTS = ("configs", "models", "docs")
FORMAT = 1

# What Python imports, torch unpickles or a shell runs: a config can name it by its path.
RUNNABLE = frozenset(
    {".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".zip", ".egg", ".whl", ".sh"}
    | {".pt", ".pth", ".ts", ".pkl", ".pickle", ".joblib"}
)

_CHUNK_BYTES = 1 << 20


def digest_bundle(folder: Path) -> dict[str, str]:
    """Hash every file a bundle consists of.

    Returns:
        SHA-256 in hexadecimal by path relative to the bundle, sorted.

    Raises:
        BundleError: There is no such bundle, or a file cannot be read.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no bundle folder {folder.name}")
    try:
        return {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(_files(folder))}
    except OSError as error:
        raise BundleError(f"bundle {folder.name}: a file cannot be read: {error.strerror}") from None


def whole_digest(files: Mapping[str, str]) -> str:
    """Hash the digests of all files into one.

    Args:
        files: What `digest_bundle` returns.

    Returns:
        64 hexadecimal digits.
    """
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def verify_bundle(folder: Path, lock_file: Path) -> str:
    """Compare a bundle with its entry in the lock.

    Returns:
        The digest over all its files, 64 hexadecimal digits.

    Raises:
        BundleError: The bundle is not in the lock, or a file was altered, added
            or removed; the message names it.
    """
    locked = read_lock(lock_file).get(folder.name)
    if locked is None:
        raise BundleError(
            f"bundle {folder.name} is not in {lock_file.name}, so nothing says what its files should be",
            hint="lock it once its files were reviewed",
            code="bundle_not_locked",
        )
    seen = digest_bundle(folder)
    for what, names in (
        ("is missing", sorted(set(locked) - set(seen))),
        ("is not in the lock", sorted(set(seen) - set(locked))),
        ("was altered", sorted(name for name in set(seen) & set(locked) if seen[name] != locked[name])),
    ):
        if names:
            others = f", and {len(names) - 1} more" if len(names) > 1 else ""
            raise BundleError(
                f"bundle {folder.name}: {names[0]} {what}{others}",
                hint="get the bundle again; if you changed it on purpose, review it and lock it anew",
                code="bundle_altered",
            )
    return whole_digest(seen)


def read_lock(lock_file: Path) -> dict[str, dict[str, str]]:
    """Read a lock: digests by file, by bundle; empty where there is no lock.

    Raises:
        BundleError: The file is not a lock.
    """
    if not lock_file.is_file():
        return {}
    try:
        content = json.loads(lock_file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise BundleError(f"{lock_file.name} has format {content['format']}, expected {FORMAT}")
        return {
            name: {path: str(digest) for path, digest in files.items()} for name, files in content["bundles"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{lock_file.name} is not a lock of bundles ({type(error).__name__})") from None


def write_lock(lock_file: Path, folder: Path) -> str:
    """Put a bundle into the lock, or replace its entry; the other entries stay.

    Returns:
        The digest over all the bundle's files, 64 hexadecimal digits.
    """
    locked = {**read_lock(lock_file), folder.name: digest_bundle(folder)}
    text = json.dumps({"format": FORMAT, "bundles": dict(sorted(locked.items()))}, indent=2) + "\n"
    beside = lock_file.with_suffix(".lock.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(lock_file)
    return whole_digest(locked[folder.name])


def _files(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        here = Path(at)
        part = here.relative_to(folder).parts[:1]
        for name in folders:
            if (here / name).is_symlink():
                # Not walked, so nothing would say what lies behind it.
                shown = (here / name).relative_to(folder).as_posix()
                raise BundleError(
                    f"bundle {folder.name}: {shown} is a link to a folder, whose files no lock can hold",
                    hint="copy the folder into the bundle",
                    code="bundle_altered",
                )
        for name in names:
            belongs = part[0] in PARTS if part else name == "LICENSE"
            if belongs or Path(name).suffix.lower() in RUNNABLE:
                yield here / name


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
