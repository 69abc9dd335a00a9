"""How long a run will take: how much the networks have to compute, and what that took before.

    seconds of a study = sum over networks of (a fixed part + voxels through the network x seconds per voxel)
                       + the same of reading, measuring and writing, by the voxels of its images

Voxels are counted from the headers (`bundles/workload.py`); the seconds, and how far they
scatter, are those of the newest cases on this machine (`speeds.py`), heatmaps and their
checks included, or else of one window that is tried. Stages of several cases overlap, so
a run of many cases may be faster; nothing is taken off for that. Loading the libraries
comes on top.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from math import prod

from diascope.bundles.find import BundleInfo
from diascope.bundles.workload import Recipe, Workload, read_recipe
from diascope.geometry import IndexGrid
from diascope.io.series import Series
from diascope.run.planning.plan import Plan, StudyPlan
from diascope.run.planning.speeds import Span, Speed, Speeds, Timing, around_name, network_name

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

    seconds: Mapping[str, Span]
    basis: tuple[str, ...]
    is_known: bool = True

    @property
    def total(self) -> Span | None:
        """Of all studies; None where nothing is known."""
        return sum(self.seconds.values(), Span(0.0, 0.0, 0.0)) if self.is_known else None

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
    return Estimate(
        {
            study.case_id: sum(
                (known[name].expect(voxels) for name, voxels in work[study.case_id].items()),
                around.expect(image_voxels(study)) if around else Span(0.0, 0.0, 0.0),
            )
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


def learned(plan: Plan, cases: Mapping[str, Mapping[str, float]], machine: Machine) -> dict[str, list[Timing]]:
    """Tell from a run that has ended what each of its cases took, in their order.

    The time of several networks is dealt out by their voxels: which of them took it is not known.

    Args:
        plan: Of the run.
        cases: Seconds of each stage of the cases that its networks went through, by case_id.
        machine: Where it took place.
    """
    work = workloads(plan)
    images = {study.case_id: image_voxels(study) for study in plan.to_run}
    found: dict[str, list[Timing]] = {}
    for case_id, stages in cases.items():
        voxels, seconds = work.get(case_id, {}), stages.get("infer", 0.0)
        total = sum(voxels.values())
        if not total or seconds <= 0:
            continue
        for bundle in plan.bundles:
            if one := voxels.get(bundle.name):
                found.setdefault(machine.name(bundle), []).append(Timing(seconds * one / total, one))
        if images[case_id]:
            around = Timing(sum(stages.values()) - seconds, images[case_id])
            found.setdefault(around_name(machine.device), []).append(around)
    return found


def _workload(recipe: Recipe, series: Series) -> Workload:
    return recipe.workload(series.space if series.space is not None else _USUAL)


def _basis(bundle: BundleInfo, speed: Speed | None) -> str:
    if speed is None:
        return f"{bundle.name}: no run of it on this device is known yet"
    if speed.is_tried:
        missing = "; its heatmaps were never timed here, the upper end allows for them" if speed.is_explained else ""
        return f"{bundle.name}: one window tried now{missing}"
    return f"{bundle.name}: {_rests_on(speed)}"


def _around_basis(around: Speed | None) -> str:
    return f"reading and writing: {_rests_on(around) if around else 'not known yet, left out'}"


def _rests_on(speed: Speed) -> str:
    seconds = sorted(one.seconds for one in speed.cases)
    took = f"{seconds[0]:.2g} s" if len(seconds) == 1 else f"{seconds[0]:.2g} to {seconds[-1]:.2g} s each"
    return f"{len(seconds)} earlier case{'' if len(seconds) == 1 else 's'} on this device, {took}"
