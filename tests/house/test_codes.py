"""Every code by which a file is turned away is explained to the person who reads it in rejects.csv."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from diascope.io.dicom import kinds
from diascope.io.sniff import KNOWN_KINDS

CODE = re.compile(r"[a-z][a-z0-9_]*")

# Faults of a program that uses us, or of a command: nobody finds them in rejects.csv.
INTERNAL = frozenset({"not_dicom", "no_such_volume", "accounting", "rule"})


def codes_in(source: str) -> set[str]:
    """Codes that a module gives: `code=...`, `Failure("...")` and `default_code = "..."`."""
    return {
        one.value
        for node in ast.walk(ast.parse(source))
        for place in _places(node)
        for one in ast.walk(place)
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and CODE.fullmatch(one.value)
    }


def _places(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.keyword) and node.arg == "code":
        yield node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Failure" and node.args:
        yield node.args[0]
    elif isinstance(node, ast.Assign) and any(
        isinstance(one, ast.Name) and one.id == "default_code" for one in node.targets
    ):
        yield node.value


def test_codes_are_found_wherever_they_are_given() -> None:
    source = """
class Broken(InputError):
    default_code = "one"
raise InputError("x", code="two" if odd else "three")
FAILURE = Failure("four", "words that are no code", "")
"""
    assert codes_in(source) == {"one", "two", "three", "four"}


def test_every_code_of_ingestion_is_explained(repository: Path) -> None:
    modules = sorted((repository / "pipeline" / "diascope" / "io").rglob("*.py"))
    assert modules
    given = {code for path in modules for code in codes_in(path.read_text(encoding="utf-8"))}
    given |= kinds.CODES | {code for _, code, _ in KNOWN_KINDS}
    explained = set(re.findall(r"`([a-z0-9_]+)`", (repository / "docs" / "ingestion.md").read_text(encoding="utf-8")))

    assert len(given) > 80
    assert given - explained - INTERNAL == set()


def test_every_other_code_is_explained_on_its_page(repository: Path) -> None:
    package = repository / "pipeline" / "diascope"
    modules = [path for path in sorted(package.rglob("*.py")) if path.relative_to(package).parts[0] != "io"]
    assert len(modules) > 100
    given = {code for path in modules for code in codes_in(path.read_text(encoding="utf-8"))}
    pages = [repository / "docs" / name for name in ("errors.md", "ingestion.md", "training.md")]
    explained = {code for page in pages for code in re.findall(r"`([a-z0-9_]+)`", page.read_text(encoding="utf-8"))}

    assert len(given) > 50
    assert given - explained - INTERNAL == set()
