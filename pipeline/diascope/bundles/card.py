"""Sections of a model card that are measured after the training, such as the checks of its heatmaps."""

import re
from pathlib import Path

from diascope.bundles.lock import write_lock
from diascope.errors import BundleError

CARD = Path("docs") / "README.md"
"""Of a bundle, below its folder."""

# Sections that stay at the end of every card, in the order in which `train.card` writes them.
_LAST = ("## What is not calibrated", "## Licence", "## Please cite")


def write_section(folder: Path, lock_file: Path, title: str, text: str) -> str:
    """Put a section into a bundle's card, in place of the one of this title, and lock the bundle anew.

    Args:
        folder: Of the bundle.
        lock_file: That it is locked in.
        title: Of the section.
        text: Of it, in markdown.

    Returns:
        The digest over all the bundle's files, 64 hexadecimal digits.

    Raises:
        BundleError: It has no card.
    """
    card = folder / CARD
    if not card.is_file():
        raise BundleError(f"bundle {folder.name} has no card {CARD.as_posix()}")
    card.write_text(with_section(card.read_text(encoding="utf-8"), title, text), encoding="utf-8")
    return write_lock(lock_file, folder)


def with_section(card: str, title: str, text: str) -> str:
    """Put a section in place of the one of this title; a new one goes before what ends every card.

    Args:
        card: In markdown.
        title: Of the section.
        text: Of it.
    """
    section = f"## {title}\n\n{text.strip()}\n\n"
    if found := _section(card, title):
        return card[: found.start()] + section + card[found.end() :]
    ends = [at for heading in _LAST if (at := card.find(f"\n{heading}\n")) >= 0]
    at = min(ends) + 1 if ends else len(card)
    return card[:at] + section + card[at:]


def remark_of(card: str, title: str) -> str:
    """Give what a person wrote below the table of a section; empty where there is nothing.

    Args:
        card: In markdown.
        title: Of the section.
    """
    found = _section(card, title)
    parts = re.split(r"(?m)^\|.*\n", found.group()) if found else []
    return parts[-1].strip() if len(parts) > 1 else ""


def _section(card: str, title: str) -> re.Match[str] | None:
    return re.search(rf"(?ms)^## {re.escape(title)}\n.*?(?=^## |\Z)", card)
