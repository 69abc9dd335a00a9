"""How long a run will take, on this machine: for `--plan`, and before a run."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diascope.run.batch import BatchOrder, Books
    from diascope.run.planning.estimate import Estimate, Machine
    from diascope.run.planning.plan import Plan
    from diascope.run.planning.speeds import Speed
    from diascope.run.settings import RunConfig
    from diascope.tasks.device import Device


def expected_of(plan: "Plan", config: "RunConfig", device: "Device", *, try_windows: bool) -> "Estimate":
    """Estimate a run from what earlier runs took.

    Args:
        plan: Of the run.
        config: Its settings.
        device: Where its networks run.
        try_windows: Run one window of each network that has not run here yet.
    """
    from diascope.run.planning.estimate import estimate
    from diascope.run.planning.speeds import read_speeds, speeds_file

    machine = _machine(config, device)
    speeds = read_speeds(speeds_file())
    if try_windows:
        speeds |= _tried(plan, config, device, machine, set(speeds))
    return estimate(plan, speeds, machine)


def remember_run(order: "BatchOrder", books: "Books", device: "Device") -> None:
    """Keep how fast a run was, for the next estimate.

    Args:
        order: Of the run.
        books: As they stand when it has ended.
        device: Where its networks ran.
    """
    from diascope.run.planning.estimate import learned
    from diascope.run.planning.speeds import remember, speeds_file

    done = {case_id: one for case_id, one in books.case_stages.items() if books.rows[case_id].status == "done"}
    if found := learned(order.plan, done, _machine(order.config, device)):
        remember(speeds_file(), found)


def _tried(
    plan: "Plan", config: "RunConfig", device: "Device", machine: "Machine", known: set[str]
) -> "dict[str, Speed]":
    from diascope.errors import PipelineError
    from diascope.explain.targets import is_explained
    from diascope.run.planning.estimate import window_of
    from diascope.run.planning.speeds import Speed, Timing
    from diascope.tasks.device import limit_threads
    from diascope.tasks.speed import time_window

    limit_threads()
    tried: dict[str, Speed] = {}
    for bundle in plan.bundles:
        name, one = machine.name(bundle), window_of(plan, bundle)
        if name in known or one is None:
            continue
        try:
            seconds = time_window(bundle, one.window_shape, device.name, config.precision)
            has_maps = config.explain is not None and is_explained(config.explain, bundle)
            tried[name] = Speed((Timing(seconds, one.voxels),), is_tried=True, is_explained=has_maps)
        except PipelineError:  # it will be told when it runs; an estimate is not worth a failure
            continue
    return tried


def _machine(config: "RunConfig", device: "Device") -> "Machine":
    from diascope.run.planning.estimate import Machine

    return Machine(device.description, config.explain is not None)
