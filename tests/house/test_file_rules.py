"""The repository keeps the rules for its files; and each rule finds what was planted to break it."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from diascope.config import load_settings
from diascope.run.settings import RunConfig
from diascope.train.settings import TrainConfig
from tests.house import file_rules as rules

# Apart from what makes them a place, so that this file keeps its own rule.
PYTHONHOSTED, DEBIAN, ROOT = "pythonhosted" + chr(46) + "org", "debian.org", "/root"


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout: which files are tracked is not known")
    files = rules.tracked_files(repository)
    assert len(files) > 20
    return files


def test_no_tracked_file_is_over_16_mb(tracked: list[Path]) -> None:
    assert rules.files_too_large(tracked) == []


def test_no_tracked_file_names_a_folder_of_this_machine_or_a_registry_host(
    tracked: list[Path], repository: Path
) -> None:
    named = rules.places_of_one_machine(tracked, [repository, repository.parent, Path.home()])

    assert not named, "\n".join(named)


def test_every_link_between_our_pages_leads_somewhere(tracked: list[Path]) -> None:
    assert [path for path in tracked if path.suffix == ".md"]

    assert rules.broken_links(tracked) == []


def test_every_config_loads_into_the_settings_of_its_kind(repository: Path) -> None:
    configs = sorted((repository / "configs").glob("*.yaml"))
    assert configs

    for path in configs:
        load_settings(TrainConfig if path.stem.startswith("train_") else RunConfig, path)


def test_every_config_opens_with_the_command_that_runs_it(repository: Path) -> None:
    assert rules.configs_without_their_command(repository / "configs") == []


def test_every_dependency_is_pinned_and_the_pin_is_one_we_allow(repository: Path) -> None:
    assert rules.unpinned(repository / "pyproject.toml", repository / "constraints.txt") == []


def test_every_pin_is_exact_and_names_no_build(repository: Path) -> None:
    assert rules.loose_pins(repository / "constraints.txt") == []


def test_a_file_over_16_mb_is_found(tmp_path: Path) -> None:
    large, fits = tmp_path / "large.bin", tmp_path / "fits.bin"
    large.write_bytes(bytes(rules.LARGEST_BYTES + 1))
    fits.write_bytes(bytes(rules.LARGEST_BYTES))

    assert rules.files_too_large([large, fits]) == [f"{large}: {rules.LARGEST_BYTES + 1} bytes"]


@pytest.mark.parametrize(
    "line",
    [
        "data: /srv/anna/diascope/data/x.nii.gz",
        "see file:///srv/anna/notes",
        f"index: https://files.{PYTHONHOSTED}/packages",
        f"deb http://deb.{DEBIAN}/debian bookworm main",
        f"cd {ROOT}/diascope",
    ],
)
def test_a_line_that_names_a_place_of_one_machine_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "page.md").write_text(f"fine\n{line}\n")

    found = rules.places_of_one_machine([tmp_path / "page.md"], [Path("/srv/anna"), Path("/")])

    assert [text.split(": ")[0] for text in found] == [f"{tmp_path / 'page.md'}:2"]


@pytest.mark.parametrize("line", ["out/srv/anna/x", "https://example.org/works/", "/srv/annabel/x", "a / b", "/tmp/x"])
def test_a_line_that_only_looks_like_one_passes(tmp_path: Path, line: str) -> None:
    (tmp_path / "page.md").write_text(line)

    assert rules.places_of_one_machine([tmp_path / "page.md"], [Path("/srv/anna"), Path("/"), Path("/tmp")]) == []


def test_only_files_that_git_knows_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "known.md").write_text("x")
    (tmp_path / "scratch.md").write_text("x")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "known.md"], cwd=tmp_path, check=True)

    assert rules.tracked_files(tmp_path) == [tmp_path / "known.md"]


@pytest.mark.usefixtures("tracked")
def test_no_tracked_file_is_one_that_is_made_or_fetched(repository: Path) -> None:
    assert rules.files_both_tracked_and_ignored(repository) == []


def test_a_fetched_file_that_was_committed_is_found(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("/library.js\n")
    for name in ("library.js", "page.js"):
        (tmp_path / name).write_text("x")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "--force", "."], cwd=tmp_path, check=True)

    assert rules.files_both_tracked_and_ignored(tmp_path) == ["library.js"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("brain", "bundles: []\n# diascope run -c brain x -o out\n"),
        ("brain", "# Brains. Run it with:\n#   diascope run -c brain_mri x -o out\n"),
        ("brain", "# Brains. Run it with:\n#   diascope train configs/brain.yaml -o out\n"),
        ("train_brain", "# Brains.\n"),
    ],
)
def test_a_config_without_its_command_is_found(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / f"{name}.yaml").write_text(text)

    assert len(rules.configs_without_their_command(tmp_path)) == 1


def test_a_config_with_its_command_by_name_or_by_path_passes(tmp_path: Path) -> None:
    (tmp_path / "brain.yaml").write_text("# Brains. Run it with:\n#   diascope run scans/ -c brain -o out\n")
    (tmp_path / "train_brain.yaml").write_text("# diascope\n#   diascope train configs/train_brain.yaml -o out\n")

    assert rules.configs_without_their_command(tmp_path) == []


def test_a_missing_pin_and_a_pin_outside_the_allowed_versions_are_found(tmp_path: Path) -> None:
    project, constraints = tmp_path / "pyproject.toml", tmp_path / "constraints.txt"
    project.write_text(
        "[build-system]\nrequires = []\n"
        '[project]\ndependencies = ["pyyaml>=6", "Jinja2>=3"]\n'
        "[dependency-groups]\ndev = []\n"
    )
    constraints.write_text("pyyaml==5.0\njinja2==3.1\n")

    # jinja2 requires markupsafe, which nobody named.
    assert rules.unpinned(project, constraints) == ["pyyaml>=6: pinned to 5.0", "markupsafe: not pinned"]


@pytest.mark.parametrize("line", ["torch>=2.13", "torch==2.13.*", "torch==2.13.0+cpu", "-e .", "torch"])
def test_a_line_that_does_not_pin_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "constraints.txt").write_text(f"# pins\nnumpy==2.4.6\n{line}\n")

    assert rules.loose_pins(tmp_path / "constraints.txt") == [line]


def test_a_link_to_a_page_that_is_not_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "there.md").write_text("[up](../README.md#why) [out](https://example.org) [here](#top)")
    (tmp_path / "README.md").write_text("[there](docs/there.md) and ![no](docs/no.png)")

    assert rules.broken_links(sorted(tmp_path.rglob("*.md"))) == [f"{tmp_path / 'README.md'}: docs/no.png"]


def test_every_marker_of_a_slow_tier_has_its_make_target_and_is_left_out_elsewhere(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    options = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    targets = dict(
        re.match(r"(\w+): .*\(make ([\w-]+)\)", text).groups() for text in options["markers"] if "(make " in text
    )
    assert sorted(targets) == ["real", "torture"]

    for marker, target in targets.items():
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert recipe is not None
        assert f'-m "{marker}' in recipe[1]
        assert f"not {marker}" in options["addopts"][-1]


def test_make_bench_calls_the_scripts_that_need_nothing_and_no_other(repository: Path) -> None:
    called = re.search(r"^BENCHMARKS := (.*)$", (repository / "Makefile").read_text(), re.MULTILINE)
    assert called is not None
    scripts = {path.stem: path.read_text(encoding="utf-8") for path in (repository / "benchmarks").glob("*.py")}
    scripts = {name: text for name, text in scripts.items() if '__name__ == "__main__"' in text}

    needs_nothing = {name for name, text in scripts.items() if not _needs_arguments(text)}

    assert "explain_checks" in scripts.keys() - needs_nothing
    assert set(called[1].split()) == needs_nothing


def _needs_arguments(script: str) -> bool:
    declared = re.findall(r"\.add_argument\((.*)\)", script)
    asked = [one for one in declared if "required=True" in one or not (one.startswith('"-') or "nargs" in one)]
    return bool(asked) or ("sys.argv[1]" in script and "len(sys.argv) > 1" not in script)
