"""The floors hold: import-linter would see a breach, and no light room loads a heavy library."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HEAVY = ("torch", "monai", "ignite", "captum")
LINT = Path(sys.executable).parent / "lint-imports"
START = f"import sys, pkgutil, importlib; heavy = {HEAVY!r}\n"
REPORT = "print(*[name for name in heavy if name in sys.modules])\n"


# Each line in a module that must not hold it; together they break every contract.
PLANTED = {
    "io/planted.py": "import torch",
    "io/climbing.py": "import diascope.tasks",
    "config.py": "import diascope.geometry",
    "errors.py": "import pydicom",
    "train/planted.py": "import mlflow",
    "run/planted.py": "import mlflow",
    "run/ledger.py": "import torch",
    "attic/__init__.py": "",
    "imaging/planted.py": "import torch",
    "evaluation/planted.py": "from diascope.imaging import planted",
    "viewer/planted.py": "import torch",
    "imaging/one.py": "from diascope.imaging import other",
    "imaging/other.py": "from diascope.imaging import one",
}


def test_planted_breaches_break_every_contract_and_are_named(repository: Path, tmp_path: Path) -> None:
    shutil.copyfile(repository / "pyproject.toml", tmp_path / "pyproject.toml")
    contracts = tomllib.loads((tmp_path / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    package = tmp_path / "pipeline" / "diascope"
    shutil.copytree(repository / "pipeline" / "diascope", package, ignore=shutil.ignore_patterns("__pycache__"))
    for module, line in PLANTED.items():
        (package / module).parent.mkdir(exist_ok=True)
        with (package / module).open("a") as file:
            file.write(f"\n{line}\n")

    lint = subprocess.run(
        [LINT, "--no-cache", "--no-logo"],
        cwd=tmp_path, env={"PYTHONPATH": str(package.parent)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    # Behind the verdict may stand how many imports a contract allows by name.
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)\b", lint.stdout, flags=re.MULTILINE))
    assert {contract["name"]: verdicts.get(contract["name"]) for contract in contracts} == {
        contract["name"]: "BROKEN" for contract in contracts
    }
    for module in PLANTED:
        name = module.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
        # A cycle inside a room is told as `.one -> .other`.
        assert name in lint.stdout or f".{name.rpartition('.')[2]} " in lint.stdout, name


def test_the_rooms_below_the_networks_load_none_when_they_are_imported() -> None:
    light = "['diascope.io', 'diascope.evaluation', 'diascope.viewer']"
    script = START + (
        "import importlib.util as util\n"
        f"rooms = [importlib.import_module(name) for name in {light} if util.find_spec(name)]\n"
        "names = [each.name for room in rooms for each in pkgutil.walk_packages(room.__path__, room.__name__ + '.')]\n"
        "assert len(names) > 10, names\n"
        "for name in names: importlib.import_module(name)\n"
    )  # fmt: skip

    assert loaded_by(script + REPORT) == ""


def test_a_heavy_import_would_be_seen() -> None:
    assert loaded_by("import sys, types; heavy = ('torch',); sys.modules['torch'] = types\n" + REPORT) == "torch"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["models", "list"]])
def test_a_command_that_only_answers_loads_no_network_library(words: list[str]) -> None:
    script = START + (
        "from diascope.cli.main import main\n"
        f"sys.argv = ['diascope', *{words!r}]\n"
        "sys.stdout, shown = sys.stderr, sys.stdout\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "sys.stdout = shown\n"
    )

    assert loaded_by(script + REPORT) == ""


def loaded_by(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
