"""Names in tables: a wrong one is answered with those that are near."""

import difflib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from diascope.errors import ConfigError

T = TypeVar("T")


def pick(table: Mapping[str, T], name: str, kind: str, also: Sequence[str] = ()) -> T:
    """Take an entry of a table by its name.

    Args:
        table: What there is.
        name: The name asked for.
        kind: What the table holds, in a word.
        also: Names that are good, too, but not in the table.

    Raises:
        ConfigError: There is none of that name; the hint names the near ones, else all.
    """
    if name in table:
        return table[name]
    raise ConfigError(f"there is no {kind} named {name}", hint=_hint(name, sorted([*table, *also])))


def _hint(name: str, names: Sequence[str]) -> str:
    by_lower = {one.lower(): one for one in names}
    near = [by_lower[one] for one in difflib.get_close_matches(name.lower(), by_lower, n=3)]
    known = f"there are: {', '.join(names)}"
    return f"did you mean {' or '.join(near)}? {known}" if near else known
