"""Everything before the first case: settings, key, device, what was found, the plan."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

from diascope.config import find_config, load_settings, parse_settings
from diascope.errors import ConfigError, InputError
from diascope.explain.checks import choose_checked
from diascope.explain.targets import check_targets
from diascope.identity import IdentityKey
from diascope.io.catalogue import catalogue
from diascope.io.header_cache import SqliteHeaderCache
from diascope.io.outfolder import OutFolder
from diascope.io.private import write_tables
from diascope.io.reader import Context
from diascope.io.series import Catalogue
from diascope.run.batch import BatchOrder
from diascope.run.plan import Plan, check_disk, plan_run
from diascope.run.record import check_same_key, check_same_networks, new_record, read_record
from diascope.run.settings import RunConfig
from diascope.tasks.device import Device

HEADER_CACHE = "headers.sqlite"


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What was asked for on the command line.

    Attributes:
        inputs: Files and folders.
        config: The settings.
        config_name: Name of the yaml without its folder, or of the bundle.
        command: Name of the command.
    """

    inputs: tuple[Path, ...]
    config: RunConfig
    config_name: str
    command: str = "run"


def run_config(config: str | None, bundle: str | None, overrides: Sequence[str]) -> tuple[RunConfig, str]:
    """Read the settings of a run, from a yaml or for a single network.

    Returns:
        The settings, and the name to show for them.

    Raises:
        ConfigError: Neither or both were given, or a setting does not fit.
    """
    if (config is None) == (bundle is None):
        raise ConfigError(
            "a run needs -c CONFIG or --bundle NAME" + (", not both" if config else ""),
            hint="for example -c brain_mri; `diascope models list` shows the networks",
        )
    if config is not None:
        source = find_config(config)
        return load_settings(RunConfig, source, overrides), source.stem
    settings = parse_settings(RunConfig, {"bundles": [{"name": bundle}]}, overrides, where="--bundle")
    return settings, Path(str(bundle)).name


@contextmanager
def found_in(request: RunRequest, key: IdentityKey, private: Path | None = None) -> Iterator[Catalogue]:
    """Find everything in the inputs; members of archives stay unpacked until the block ends.

    Args:
        request: What was asked for.
        key: Names what is found.
        private: The private folder of the output: archives are unpacked there, and headers
            are remembered for the next time. The system's temporary folder if left out.

    Raises:
        InputError: There is nothing at all in the inputs.
    """
    settings = request.config.ingest
    with ExitStack() as stack:
        cache = stack.enter_context(SqliteHeaderCache(private / HEADER_CACHE, key, settings)) if private else None
        scratch = Path(mkdtemp(prefix=".unpacked.", suffix=".part", dir=private))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        found = catalogue(request.inputs, Context(key, settings, scratch, cache))
        if not found.files:
            raise InputError("the inputs hold no file", hint="give a folder of DICOM or NIfTI files", code="empty")
        yield found


def make_order(request: RunRequest, found: Catalogue, key: IdentityKey, out: OutFolder, device: Device) -> BatchOrder:
    """Plan a batch, and refuse it where it cannot end well.

    Raises:
        InputError: No file is an image.
        ConfigError: The folder was made with another key.
        OutputError: The disk cannot hold the results.
    """
    check_same_key(read_record(out), key)
    plan = plan_run(found, request.config)
    if not plan.studies:
        write_tables(out, found)
        raise InputError(
            f"none of {len(found.files)} files is an image",
            hint=f"see {out.rejects_csv.name} in the output folder: it names each file with the reason",
            code="no_image",
        )
    check_same_networks(read_record(out), [bundle.stamp for bundle in plan.bundles])
    check_disk(plan, out)
    checked: frozenset[str] = frozenset()
    if request.config.explain is not None:
        check_targets(request.config.explain, plan.bundles)
        checked = choose_checked([study.case_id for study in plan.to_run], request.config.explain.checks)
    record = new_record(
        request.config, key, command=request.command, config_name=request.config_name, inputs=len(request.inputs)
    )
    record = replace(record, bundles=tuple(bundle.stamp for bundle in plan.bundles), device=device.description)
    return BatchOrder(plan, request.config, out, device.name, record, checked)


def plan_only(request: RunRequest, found: Catalogue) -> Plan:
    """Plan without an output folder."""
    return plan_run(found, request.config)
