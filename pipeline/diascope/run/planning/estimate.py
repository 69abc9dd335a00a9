"""How long a run will take: how much the networks have to compute, times how fast they were.

    seconds of a study = sum over networks and images of (voxels through the network x seconds per voxel)
                       + voxels of its images x seconds per voxel of reading, measuring and writing

Voxels are counted from the headers (`bundles/workload.py`), seconds per voxel are what
earlier runs on this machine took (`speeds.py`), or else one window that is tried.
Stages of several cases overlap, so a run of many cases may be faster; nothing is
taken off for that.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod

from diascope.bundles.find import BundleInfo
from diascope.bundles.workload import Recipe, Workload, read_recipe
from diascope.geometry import IndexGrid
from diascope.io.series import Series
from diascope.run.planning.plan import Plan, StudyPlan
from diascope.run.planning.speeds import Speed, Speeds, around_name, network_name

# A shape that no header tells is taken for a usual one.
_USUAL = IndexGrid((256, 256, 64))


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run takes place, as far as its time goes.

    Attributes:
        device: As `Device.description` has it.
        is_explained: Whether heatmaps are asked for.
    """

    device: str
    is_explained: bool

    def name(self, bundle: BundleInfo) -> str:
        """Name a network on this machine."""
        return network_name(bundle, self.device, is_explained=self.is_explained)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a run will take.

    Attributes:
        seconds: Of each study that runs, by case_id.
        basis: What the numbers rest on, a sentence per network.
        is_known: Whether the speed of each network is; else there are no seconds.
    """

    seconds: Mapping[str, float]
    basis: tuple[str, ...]
    is_known: bool = True

    @property
    def total_seconds(self) -> float | None:
        """Of all studies; None where nothing is known."""
        return sum(self.seconds.values()) if self.is_known else None

    def without(self, done: Container[str]) -> "Estimate":
        """Leave out cases that are done already."""
        return replace(self, seconds={case_id: one for case_id, one in self.seconds.items() if case_id not in done})


def estimate(plan: Plan, speeds: Speeds, machine: Machine) -> Estimate:
    """Tell how long a run will take.

    Args:
        plan: What is to be done.
        speeds: What is known of networks by `network_name`, and of files by `around_name`.
        machine: Where.
    """
    around = speeds.get(around_name(machine.device))
    known = {bundle.name: speed for bundle in plan.bundles if (speed := speeds.get(machine.name(bundle))) is not None}
    basis = (*(_basis(bundle, known.get(bundle.name)) for bundle in plan.bundles), _around_basis(around))
    work = workloads(plan)
    if any(bundle not in known for study in plan.to_run for bundle in work[study.case_id]):
        return Estimate({}, basis, is_known=False)
    per_file = around.seconds_per_voxel if around else 0.0
    return Estimate(
        {
            study.case_id: sum(known[name].seconds_per_voxel * voxels for name, voxels in work[study.case_id].items())
            + per_file * image_voxels(study)
            for study in plan.to_run
        },
        basis,
    )


def workloads(plan: Plan) -> dict[str, dict[str, int]]:
    """Count the voxels that go through each network, by case_id, then by network."""
    recipes = {bundle.name: read_recipe(bundle.folder) for bundle in plan.bundles}
    return {
        study.case_id: {
            choice.bundle: sum(_workload(recipes[choice.bundle], group[0]).voxels for group in choice.groups)
            for choice in study.choices
            if choice.chosen
        }
        for study in plan.to_run
    }


def window_of(plan: Plan, bundle: BundleInfo) -> Workload | None:
    """Give one window of a network as the studies of a plan ask for it; None if none does."""
    recipe = read_recipe(bundle.folder)
    chosen = (series for study in plan.to_run for choice in study.choices if choice.bundle == bundle.name
              for series in choice.chosen)  # fmt: skip
    return next((Workload(1, _workload(recipe, series).window_shape) for series in chosen), None)


def image_voxels(study: StudyPlan) -> int:
    """Count the voxels of the images that networks are given."""
    return sum(prod(series.space.shape) for series in study.chosen if series.space is not None)


def learned(plan: Plan, done: Iterable[str], stage_seconds: Mapping[str, float], machine: Machine) -> dict[str, Speed]:
    """Tell from a run that has ended how fast it was.

    The time of several networks is dealt out by their voxels: which of them took it is not known.

    Args:
        plan: Of the run.
        done: The cases that its networks went through.
        stage_seconds: Time of each stage over all of them.
        machine: Where it took place.
    """
    cases = set(done)
    work = {case_id: voxels for case_id, voxels in workloads(plan).items() if case_id in cases}
    total = sum(sum(voxels.values()) for voxels in work.values())
    seconds = stage_seconds.get("infer", 0.0)
    if not total or seconds <= 0:
        return {}
    found: dict[str, Speed] = {}
    for bundle in plan.bundles:
        voxels = sum(one.get(bundle.name, 0) for one in work.values())
        if voxels:
            found[machine.name(bundle)] = Speed(seconds * voxels / total, voxels, len(work))
    around = sum(stage_seconds.values()) - seconds
    read = sum(image_voxels(study) for study in plan.to_run if study.case_id in cases)
    return {**found, around_name(machine.device): Speed(around, read, len(work))} if read else found


def _workload(recipe: Recipe, series: Series) -> Workload:
    return recipe.workload(series.space if series.space is not None else _USUAL)


def _basis(bundle: BundleInfo, speed: Speed | None) -> str:
    if speed is None:
        return f"{bundle.name}: no run of it on this device is known yet"
    per_million = f"{speed.seconds_per_voxel * 1e6:.3g} s per million voxels through the network"
    if not speed.cases:
        return f"{bundle.name}: {per_million}, one window tried now"
    return f"{bundle.name}: {per_million}, {speed.cases} earlier case{'' if speed.cases == 1 else 's'} on this device"


def _around_basis(around: Speed | None) -> str:
    if around is None:
        return "reading and writing: not known yet, left out"
    return f"reading and writing: {around.seconds_per_voxel * 1e6:.3g} s per million voxels of the images"
