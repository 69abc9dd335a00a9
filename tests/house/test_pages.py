"""What our pages say is so: commands exist, examples run, the floor plan names every room."""

import doctest
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from diascope.cli.main import app
from tests.house.file_rules import tracked_files

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def pages(repository: Path) -> list[Path]:
    found = [path for path in tracked_files(repository) if path.suffix == ".md"]
    assert repository / "README.md" in found
    return found


def test_the_examples_of_the_pages_give_what_the_pages_say(pages: list[Path]) -> None:
    with_examples = [page for page in pages if "```pycon" in page.read_text()]
    assert with_examples

    for page in with_examples:
        text = page.read_text().replace("\n```\n", "\n\n")
        examples = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
        assert examples.examples
        said: list[str] = []
        assert doctest.DocTestRunner().run(examples, out=said.append).failed == 0, "".join(said)


def test_every_command_the_pages_and_configs_name_exists_with_its_options(pages: list[Path], repository: Path) -> None:
    configs = [path for path in tracked_files(repository) if path.parent.name == "configs" and path.suffix == ".yaml"]
    commands = [command for page in pages for command in shell_lines(page.read_text())]
    commands += [line[1:] for path in configs for line in path.read_text().splitlines() if line.startswith("#  ")]
    ours = [words for line in commands if "diascope" in (words := shlex.split(line, comments=True))[:1]]
    assert len(ours) > 3

    wrong = [f"{' '.join(words)}: {problem}" for words in ours if (problem := misfit(words[1:]))]

    assert not wrong, "\n".join(wrong)


def test_every_make_target_the_pages_name_exists(pages: list[Path], repository: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in pages for name in re.findall(r"^make ([a-z-]+)", in_code(page.read_text()), re.MULTILINE)}
    assert {"demo", "test"} <= named

    assert named - targets == set()


def test_the_two_commands_come_first_in_the_readme(repository: Path) -> None:
    commands = list(shell_lines((repository / "README.md").read_text()))

    assert commands[:2] == ["make demo", "make test"]


def test_the_floor_plan_names_every_room_on_the_floor_where_import_linter_has_it(repository: Path) -> None:
    contracts = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [re.findall(r"\w+", layer) for layer in contracts[0]["layers"]]
    plan = (repository / "pipeline" / "README.md").read_text()

    rows = re.findall(r"^\| *(\d*) *\| (.+?) \|", plan, re.MULTILINE)
    rooms = [room for _, cell in rows for room in re.findall(r"`(\w+)/?`", cell)]

    height = {room: at for at, layer in enumerate(layers) for room in layer if room != "__main__"}
    assert sorted(rooms) == sorted(height)
    assert rooms == sorted(rooms, key=height.__getitem__)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run scans -c brain -o out", ""),
        ("run scans --bundel x", "--bundel"),
        ("walk scans", "walk"),
        ("models inform x", "inform"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, said: str) -> None:
    assert said in misfit(line.split())
    assert bool(misfit(line.split())) == bool(said)


def shell_lines(text: str) -> list[str]:
    """Command lines of the sh and console blocks of a page, without path and prompt."""
    blocks = [body for kind, body in FENCE.findall(text) if kind in ("sh", "console", "bash")]
    lines = [line.removeprefix("$ ") for body in blocks for line in body.replace("\\\n", " ").splitlines()]
    return [re.sub(r"^\S*bin/diascope\b", "diascope", line) for line in lines if line]


def in_code(text: str) -> str:
    """What stands in code spans and shell blocks."""
    return "\n".join([*shell_lines(text), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))])


def misfit(words: list[str]) -> str:
    """Say what about the words of a command the command line does not know; empty if nothing."""
    command = typer.main.get_command(app)
    rest = list(words)
    while (inner := getattr(command, "commands", None)) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in inner:
            return name
        command = inner[name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return " ".join(word for word in rest if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known)
