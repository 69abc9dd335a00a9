"""Rules for what lies in the repository besides Python: tracked files, configs, pins, pages.

Each rule takes a folder (and what else it must know) and returns what breaks it.
"""

import re
import subprocess
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LARGEST_BYTES = 16 * 2**20

# Written in pieces, so that this file does not break its own rule.
REGISTRY_HOSTS = re.compile(
    "|".join(("pypi[.]" + "org", "pythonhosted" + "[.]", "npmjs[.]" + "org", "deb[.]" + "debian"))
)
HOME_OF_ROOT = re.compile(r"(?<![\w./-])[/]root[/](?=\w)")
PAGE_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
RUNS_IT = re.compile(r"#\s+diascope ((run|train|demo)\b.*)")


def tracked_files(folder: Path) -> list[Path]:
    """The files git knows below a folder, as they lie there now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, check=True).stdout
    return sorted(path for name in listed.decode().split("\0") if name and (path := folder / name).is_file())


def files_both_tracked_and_ignored(folder: Path) -> list[str]:
    """Files that .gitignore says are made or fetched, and that were committed all the same."""
    command = ["git", "ls-files", "-z", "--cached", "--ignored", "--exclude-per-directory=.gitignore"]
    listed = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    return [name for name in listed.decode().split("\0") if name]


def files_too_large(files: Iterable[Path]) -> list[str]:
    """Files that a clone should not have to carry."""
    return [f"{path}: {path.stat().st_size} bytes" for path in files if path.stat().st_size > LARGEST_BYTES]


def places_of_one_machine(files: Iterable[Path], machine: Iterable[Path]) -> list[str]:
    """Lines that name a folder of the machine they were written on, or the host of a package registry.

    Args:
        files: Where to look.
        machine: Folders of this machine, such as the one that holds the checkout.
    """
    of_machine = tuple(f"{folder}/" for folder in machine if len(folder.parts) > 1 and folder != Path("/tmp"))
    found = []
    for path in files:
        for number, line in enumerate(_lines(path), start=1):
            named = [place for place in of_machine if re.search(rf"(?<![\w.-]){re.escape(place)}", line)]
            named += [match[0] for rule in (REGISTRY_HOSTS, HOME_OF_ROOT) if (match := rule.search(line))]
            found += [f"{path}:{number}: names {place}" for place in named]
    return found


def configs_without_their_command(folder: Path) -> list[str]:
    """Yaml files that do not open with the command that runs them."""
    found = []
    for path in sorted(folder.glob("*.yaml")):
        opening = []
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            opening.append(line)
        commands = [match for line in opening if (match := RUNS_IT.match(line))]
        wanted = "train" if path.stem.startswith("train_") else "demo" if path.stem == "demo" else "run"
        if not any(match[2] == wanted and path.stem in re.split(r"[\s/.]+", match[1]) for match in commands):
            found.append(f"{path}:1: open with a comment that holds `diascope {wanted} ...` and its name")
    return found


def unpinned(project: Path, constraints: Path) -> list[str]:
    """Requirements of pyproject.toml, and what those require here, without a pin or with one that does not fit."""
    pins = dict(_pins(constraints))
    table = tomllib.loads(project.read_text(encoding="utf-8"))
    wanted = [*table["project"]["dependencies"], *table["dependency-groups"]["dev"], *table["build-system"]["requires"]]
    found = []
    for text in wanted:
        requirement = Requirement(text)
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None or not requirement.specifier.contains(pin, prereleases=True):
            found.append(f"{requirement}: pinned to {pin}")
    return found + [f"{name}: not pinned" for name in sorted(_closure(wanted) - set(pins))]


def loose_pins(constraints: Path) -> list[str]:
    """Lines of constraints.txt that leave pip a choice, or that only one build satisfies."""
    exact = re.compile(r"#.*|[\w.-]+==[\w.!]+|")
    return [line for line in _lines(constraints) if not exact.fullmatch(line)]


def broken_links(files: Iterable[Path]) -> list[str]:
    """Links of Markdown pages to files that are not there."""
    return [
        f"{path}: {target}"
        for path in files
        if path.suffix == ".md"
        for target in PAGE_LINK.findall(path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    return [] if b"\0" in content[:8192] else content.decode("utf-8", "replace").splitlines()


def _pins(constraints: Path) -> Iterable[tuple[str, str]]:
    for line in _lines(constraints):
        name, pinned, version = line.partition("==")
        if pinned and not line.startswith("#"):
            yield canonicalize_name(name), version


def _closure(wanted: Iterable[str]) -> set[str]:
    """Names of everything that is installed because of these requirements."""
    waiting = [Requirement(text) for text in wanted]
    seen: set[tuple[str, str]] = set()
    names: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        extras = sorted(requirement.extras) or [""]
        name = canonicalize_name(requirement.name)
        for extra in extras:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                inner = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue
            names.add(name)
            needed = (Requirement(text) for text in inner)
            waiting += [each for each in needed if each.marker is None or each.marker.evaluate({"extra": extra})]
    return names
