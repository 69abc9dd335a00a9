"""The image: no engine runs in the tests, so its install and start commands run in a bare environment instead."""

import fnmatch
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from diascope import __version__
from tests.house.file_rules import tracked_files


def test_the_image_runs_as_a_user_without_privileges(repository: Path) -> None:
    users = [words for order, words in orders(repository) if order == "USER"]

    assert users == ["diascope"]


def test_the_build_argument_chooses_cpu_or_cuda_and_both_services_use_it(repository: Path) -> None:
    services = yaml.safe_load((repository / "docker" / "compose.yaml").read_text())["services"]

    assert ("ARG", "TORCH=cpu") in orders(repository)
    assert {name: service["build"]["args"]["TORCH"] for name, service in services.items()} == {
        "cpu": "cpu",
        "cuda": "cuda",
    }


def test_only_what_the_image_is_made_of_is_sent_to_the_engine(repository: Path) -> None:
    rules = (repository / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert next(rule for rule in rules if not rule.startswith("#")) == "*"

    sent = {path.split("/")[0] for path in build_context(repository)}

    made_of = {
        "LICENSE",
        "README.md",
        "constraints.txt",
        "pyproject.toml",
        "hatch_build.py",
        "configs",
        "docker",
        "pipeline",
    }
    assert made_of <= sent
    assert not sent & {"tests", "docs", "data_manifests", "benchmarks", ".ci", ".venv"}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_install_and_start_commands_of_the_image_work_in_a_bare_environment(
    repository: Path, tmp_path: Path
) -> None:
    source, venv = tmp_path / "src", tmp_path / "opt" / "diascope"
    for path in build_context(repository):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repository / path, source / path)
    given = {
        name: value for name, value in os.environ.items() if name.upper().startswith(("PIP_", "SSL_", "NODE_", "NPM_"))
    }
    bare = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", **given}
    # The home is a bare one, but where packages come from is this machine's affair.
    bare["NPM_CONFIG_USERCONFIG"] = str(Path.home() / ".npmrc")
    bare["PIP_CACHE_DIR"] = subprocess.run(
        [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    install = next(words for order, words in orders(repository) if order == "RUN" and "install.sh" in words)
    assert "/src" in install
    assert "/opt/diascope" in install

    install = install.replace("/opt/diascope", str(venv)).replace("/src", str(source))
    subprocess.run(["sh", "-ec", install], env={**bare, "TORCH": "cpu", "TORCH_INDEX": ""}, cwd=tmp_path, check=True)

    assert not source.exists()
    (entry,) = json.loads(next(words for order, words in orders(repository) if order == "ENTRYPOINT"))
    diascope = entry.replace("/opt/diascope", str(venv))
    version = subprocess.run(
        [diascope, "--version"], env=bare, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert __version__ in version.stdout
    bundles = subprocess.run(
        [diascope, "models", "list"], env=bare, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for folder in sorted(path.parent.name for path in (repository / "models").glob("*/LICENSE")):
        assert folder in bundles.stdout


def orders(repository: Path) -> list[tuple[str, str]]:
    """The lines of the Dockerfile, as (order, rest)."""
    text = (repository / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def build_context(repository: Path) -> list[str]:
    """Tracked files that docker/Dockerfile.dockerignore lets through."""
    rules = (repository / "docker" / "Dockerfile.dockerignore").read_text().split()
    kept = [rule[1:] for rule in rules if rule.startswith("!")]
    paths = [str(path.relative_to(repository)) for path in tracked_files(repository)]
    return [path for path in paths if any(path == rule or fnmatch.fnmatch(path, f"{rule}/*") for rule in kept)]
