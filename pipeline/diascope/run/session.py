"""Everything between what was found and the first case: the plan, and whether it can end well."""

from dataclasses import replace

from diascope import __version__
from diascope.errors import InputError
from diascope.explain.checks import choose_checked
from diascope.explain.targets import check_targets
from diascope.findings import FORMAT
from diascope.identity import IdentityKey
from diascope.io.outfolder import OutFolder
from diascope.io.private import write_tables
from diascope.io.series import Catalogue
from diascope.run.batch import BatchOrder
from diascope.run.planning.plan import check_disk, plan_run
from diascope.run.record import RunRecord, told_settings, versions
from diascope.run.request import RunRequest, check_earlier
from diascope.run.resume import earlier_results
from diascope.run.settings import RunConfig, results_hash
from diascope.tasks.device import Device


def make_order(request: RunRequest, found: Catalogue, key: IdentityKey, out: OutFolder, device: Device) -> BatchOrder:
    """Plan a batch, and refuse it where it cannot end well.

    Raises:
        InputError: No file is an image.
        ConfigError: The folder holds results of another key or other networks.
        OutputError: The disk cannot hold the results.
    """
    check_earlier(request, out, key)
    plan = plan_run(found, request.bundles, request.config)
    if not plan.studies:
        write_tables(out, found)
        raise InputError(
            f"none of {len(found.files)} files is an image",
            hint=f"see {out.rejects_csv.name} in the output folder: it names each file with the reason",
            code="no_image",
        )
    check_disk(plan, out)
    checked: frozenset[str] = frozenset()
    if request.config.explain is not None:
        check_targets(request.config.explain, plan.bundles)
        checked = choose_checked([study.case_id for study in plan.to_run], request.config.explain.checks)
    record = new_record(
        request.config, key, command=request.command, config_name=request.config_name, inputs=len(request.inputs)
    )
    record = replace(
        record, bundles=tuple(stamp for bundle in plan.bundles for stamp in bundle.stamps), device=device.description
    )
    order = BatchOrder(plan, request.config, out, device.name, record, checked)
    return replace(order, earlier=earlier_results(out, (order.job(study) for study in plan.to_run)))


def new_record(config: RunConfig, key: IdentityKey, *, command: str, config_name: str, inputs: int) -> RunRecord:
    """Describe a run before it starts; the device and the networks come later."""
    return RunRecord(
        format=FORMAT,
        diascope=__version__,
        command=command,
        inputs=inputs,
        config_name=config_name,
        config=told_settings(config),
        config_sha256=results_hash(config),
        bundles=(),
        device="",
        versions=versions(),
        key_fingerprint=key.fingerprint,
    )
