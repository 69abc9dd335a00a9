"""Rules that the source must keep and no ready-made tool holds.

Each rule takes a folder of source and returns what breaks it, one `path:line: what` each.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

LONGEST_MODULE = 400

# "(n, 3)", "(i, j, k)", "(..., 4)", "(n,)": names, numbers, products and sums between commas.
SHAPE = re.compile(r"\((?:[\w.*+/ -]+,)+[\w.*+/ -]*\)")
ARRAY_TYPES = ("NDArray", "ndarray", "Tensor")
NUMBER_TYPES = ("float", "int", "NDArray", "Tensor", "Triple")

# The last word of a name that is one of these says what is measured, but not in what.
QUANTITIES = re.compile(
    "spacing|thickness|diameter|radius|distance|margin|extent|area|volume|window|position|centre|origin"
    "|timeout|duration|elapsed|delay|interval|age|height|weight|angle"
)
# Numbers in the unit of the image itself: the docstring says so.
UNIT_OF_THE_DATA = frozenset({"display_window"})

AT_IMPORT = {
    "torch": (
        "set_num_threads",
        "set_num_interop_threads",
        "manual_seed",
        "set_default_dtype",
        "use_deterministic_algorithms",
    ),
    "random": ("seed",),
    "warnings": ("filterwarnings", "simplefilter"),
    "logging": ("basicConfig", "captureWarnings", "disable"),
    "environ": ("update", "setdefault", "pop"),
    "os": ("putenv", "unsetenv", "makedirs", "chdir"),
    "path": ("append", "insert"),
    "matplotlib": ("use",),
    "multiprocessing": ("set_start_method",),
    "signal": ("signal",),
}
FILE_METHODS = ("mkdir", "write_text", "write_bytes", "read_text", "read_bytes", "touch", "unlink")


def modules(folder: Path) -> list[Path]:
    """Every module below a folder."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def long_modules(folder: Path) -> list[str]:
    """Modules that do not fit in one reading."""
    found = []
    for path in modules(folder):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_MODULE:
            found.append(f"{path}:{lines}: more than {LONGEST_MODULE} lines")
    return found


def tests_without_a_module(tests: Path, package: Path) -> list[str]:
    """Test modules that mirror nothing.

    `tests/io/test_dicom.py` mirrors `io/dicom.py` or the folder `io/dicom`, and so does
    `tests/io/test_dicom_gaps.py`, which tests one aspect of it.
    """
    found = []
    for path in modules(tests):
        place, name = path.relative_to(tests).parent, path.stem.removeprefix("test_")
        if not path.stem.startswith("test_") or place.parts[:1] == ("house",):
            continue
        words = name.split("_")
        mirrored = ["_".join(words[:n]) for n in range(1, len(words) + 1)]
        homes = [package / place, tests / place]  # phantoms.py and its like live in tests/
        if not any((home / f"{stem}.py").is_file() or (home / stem).is_dir() for home in homes for stem in mirrored):
            found.append(f"{path}:1: there is no {place / name}.py in the package")
    return found


def shapeless_arrays(folder: Path) -> list[str]:
    """Array parameters and fields of public things whose docstring gives no shape."""
    found = []
    for path in modules(folder):
        for owner, names in _array_owners(ast.parse(path.read_text(encoding="utf-8"))):
            said = _described(ast.get_docstring(owner) or "")
            found += [
                f"{path}:{owner.lineno}: {owner.name}: say the shape of {name}, such as (n, 3)"
                for name in names
                if not SHAPE.search(said.get(name, ""))
            ]
    return found


def unitless_quantities(folder: Path) -> list[str]:
    """Numeric parameters and fields named after a quantity, without its unit.

    A field `volume_unit` beside them speaks for all volumes of the same class.
    """
    found = []
    for path in modules(folder):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for owner in [tree, *_public(tree)]:
            names = {_target(value) for value in _values(owner)}
            for value in _values(owner):
                name, annotation = _target(value), ast.unparse(value.annotation or ast.Constant(""))
                last = name.split("_")[-1]
                is_number = any(re.search(rf"\b{kind}\b", annotation) for kind in NUMBER_TYPES)
                is_told = name in UNIT_OF_THE_DATA or f"{last}_unit" in names
                is_picture = last == "window" and _is_array(value)  # a piece of an image
                if is_number and QUANTITIES.fullmatch(last) and not (is_told or is_picture):
                    found.append(f"{path}:{value.lineno}: {name}: in what unit? such as {name}_mm")
    return found


def work_at_import(folder: Path) -> list[str]:
    """Calls and assignments at module level that change the process or touch the disk."""
    found = []
    for path in modules(folder):
        for node in _run_at_import(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_work(node.func):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node.func)} at import")
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node)} is changed at import")
    return found


def error_tree(module: Path) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """The error tree as drawn in a module's docstring, and as its classes are.

    Returns:
        Drawn and real, each (class, parent, first line of its docstring), sorted.
    """
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return sorted(_drawn(ast.get_docstring(tree) or "")), sorted(_classes(tree))


def _array_owners(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.ClassDef, list[str]]]:
    for owner in _public(tree):
        names = [_target(value) for value in _values(owner) if _is_array(value)]
        if names:
            yield owner, names


def _public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Functions and classes that somebody outside the module may use; __init__ and its like are."""
    for node, parents in _with_parents(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        is_inside_a_function = any(isinstance(parent, ast.FunctionDef) for parent in parents)
        if not is_inside_a_function and not any(_is_private(each.name) for each in (node, *parents)):
            yield node


def _with_parents(
    tree: ast.AST, parents: tuple[ast.FunctionDef | ast.ClassDef, ...] = ()
) -> Iterator[tuple[ast.AST, tuple[ast.FunctionDef | ast.ClassDef, ...]]]:
    for child in ast.iter_child_nodes(tree):
        yield child, parents
        inner = (*parents, child) if isinstance(child, ast.FunctionDef | ast.ClassDef) else parents
        yield from _with_parents(child, inner)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _values(owner: ast.AST) -> list[ast.arg | ast.AnnAssign]:
    """The parameters of a function, the fields of a class, the constants of a module."""
    if isinstance(owner, ast.FunctionDef):
        return [*owner.args.args, *owner.args.kwonlyargs]
    if isinstance(owner, ast.ClassDef | ast.Module):
        return [value for value in owner.body if isinstance(value, ast.AnnAssign)]
    return []


def _is_array(value: ast.arg | ast.AnnAssign) -> bool:
    if value.annotation is None:
        return False
    annotation = ast.unparse(value.annotation)
    # Neither a function of arrays nor a table of them has one shape.
    has_no_shape = annotation.startswith(("Callable", "type[", "dict", "Mapping"))
    return any(kind in annotation for kind in ARRAY_TYPES) and not has_no_shape and not _target(value).startswith("_")


def _target(value: ast.arg | ast.AnnAssign) -> str:
    return value.arg if isinstance(value, ast.arg) else ast.unparse(value.target)


def _described(docstring: str) -> dict[str, str]:
    """What Args and Attributes say of each name; continued lines are joined."""
    said: dict[str, str] = {}
    name = ""
    for line in docstring.splitlines():
        if entry := re.match(r" {4}\*{0,2}(\w+): (.*)", line):
            name = entry[1]
            said[name] = entry[2]
        elif line.startswith(" " * 8) and name:
            said[name] += " " + line.strip()
    return said


def _run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for default in [*child.args.defaults, *getattr(child, "decorator_list", [])]:
                yield from ast.walk(default)
        elif isinstance(child, ast.If) and "__main__" in ast.unparse(child.test):
            continue
        else:
            yield child
            yield from _run_at_import(child)


def _is_work(called: ast.expr) -> bool:
    if isinstance(called, ast.Name):
        return called.id in ("open", "exec", "eval", "print")
    if not isinstance(called, ast.Attribute):
        return False
    owner = ast.unparse(called.value).split(".")[-1]
    return called.attr in (*AT_IMPORT.get(owner, ()), *FILE_METHODS)


def _drawn(docstring: str) -> Iterator[tuple[str, str, str]]:
    above: list[str] = []
    for line in docstring.splitlines():
        entry = re.match(r"([│├└─ ]*)(\w+) +(.+)", line)
        is_root = not above and entry is not None and entry[2].endswith("Error")
        if entry is None or not ("─" in entry[1] or is_root):
            continue
        depth = len(entry[1]) // 4
        above[depth:] = [entry[2]]
        yield entry[2], above[depth - 1] if depth else "Exception", _plain(entry[3])


def _classes(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, ast.unparse(node.bases[0]), _plain((ast.get_docstring(node) or "").splitlines()[0])


def _plain(sentence: str) -> str:
    return sentence.strip().rstrip(".").lower()
