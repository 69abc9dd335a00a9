"""What a run will do, from headers alone: per study the choice of images and the reasons."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from diascope.bundles.find import BundleInfo
from diascope.errors import OutputError
from diascope.geometry import FieldOfView
from diascope.io.channels import choose_channels
from diascope.io.outfolder import OutFolder
from diascope.io.selection import Choice, SelectRule, choose
from diascope.io.series import Catalogue, RefusedImage, Series
from diascope.run.settings import BundleUse, RunConfig

# A 16-bit image packs to about 0.7 of its size, the label map beside it to a few
# hundredths (measured on the scans of the tests); previews and reports add little.
PACKED_BYTES_PER_VOXEL = 1.6
BYTES_PER_CASE = 500_000


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What will be done with one study.

    Attributes:
        case_id: Its name.
        series: Its images that can be read.
        refused: Its images that cannot.
        choices: What each network is given, in the order of the networks.
    """

    case_id: str
    series: tuple[Series, ...]
    refused: tuple[RefusedImage, ...]
    choices: tuple[Choice, ...]

    @property
    def chosen(self) -> tuple[Series, ...]:
        """Every image that some network is given, once."""
        by_id = {series.image_id: series for choice in self.choices for series in choice.chosen}
        return tuple(by_id.values())

    @property
    def disk_bytes(self) -> int:
        """Estimate what its results will take on disk."""
        voxels = sum(prod(series.space.shape) for series in self.chosen if series.space is not None)
        return int(voxels * PACKED_BYTES_PER_VOXEL) + BYTES_PER_CASE


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do.

    Attributes:
        studies: All of them, by case_id.
        bundles: The networks, verified, in the order of the config.
        catalogue: What was found.
    """

    studies: tuple[StudyPlan, ...]
    bundles: tuple[BundleInfo, ...]
    catalogue: Catalogue

    @property
    def to_run(self) -> tuple[StudyPlan, ...]:
        """Studies of which a network is given an image."""
        return tuple(study for study in self.studies if study.chosen)

    @property
    def refused(self) -> tuple[StudyPlan, ...]:
        """Studies of which no image can be read."""
        return tuple(study for study in self.studies if not study.series)

    @property
    def nothing_to_do(self) -> tuple[StudyPlan, ...]:
        """Studies that can be read and fit no network."""
        return tuple(study for study in self.studies if study.series and not study.chosen)

    @property
    def disk_bytes(self) -> int:
        """Estimate what the results will take on disk."""
        return sum(study.disk_bytes for study in self.studies)


def plan_run(found: Catalogue, bundles: tuple[BundleInfo, ...], config: RunConfig) -> Plan:
    """Choose for each study what each network is given.

    Args:
        found: What lies in the inputs.
        bundles: The networks of the config, verified, in its order.
        config: The settings.
    """
    refused: dict[str, list[RefusedImage]] = {}
    for image in found.refused:
        refused.setdefault(image.case_id, []).append(image)
    studies = tuple(
        StudyPlan(case_id, series, tuple(refused.get(case_id, ())), _choices(series, bundles, config))
        for case_id, series in found.cases().items()
    )
    return Plan(studies, bundles, found)


def check_disk(plan: Plan, out: OutFolder) -> None:
    """Refuse a run whose results the disk cannot hold.

    Raises:
        OutputError: There is less room than the estimate.
    """
    free_gb, needed_gb = shutil.disk_usage(out.root).free / 1e9, plan.disk_bytes / 1e9
    if free_gb < needed_gb:
        raise OutputError(
            f"the results need about {needed_gb:.1f} GB, the disk of the output folder has {free_gb:.1f} GB free",
            hint="free some space, choose another -o, or run fewer cases at a time",
            code="disk_full",
        )


def _choices(series: Sequence[Series], bundles: Sequence[BundleInfo], config: RunConfig) -> tuple[Choice, ...]:
    return tuple(_choice(series, bundle, use) for bundle, use in zip(bundles, config.bundles, strict=True))


def _choice(series: Sequence[Series], bundle: BundleInfo, use: BundleUse) -> Choice:
    name, needs = bundle.name, bundle.block.needs
    field_of_view = FieldOfView() if use.any_field_of_view or use.within else bundle.block.field_of_view
    if use.channels:
        return choose_channels(name, needs, use.channels, series, field_of_view=field_of_view)
    return choose(name, needs, _rule(bundle, use), series, field_of_view=field_of_view)


def _rule(bundle: BundleInfo, use: BundleUse) -> SelectRule:
    """Give the rule of the config; where it has none, the one that the network brings."""
    return use.select if "select" in use.model_fields_set else bundle.block.own_select
