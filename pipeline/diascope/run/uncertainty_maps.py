"""Maps of how unsure each voxel of a label map is: made of what was averaged, brought to the source's voxels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo
from diascope.findings import AskedAgain, UncertaintyMap
from diascope.geometry import affine_of
from diascope.imaging.resample import GridOfLogits, steps_on_grid
from diascope.tasks.uncertainty import Averaged
from diascope.tasks.uncertainty_map import disagreement, highest_possible, unsure_voxels
from diascope.tasks.uncertainty_settings import UncertaintySettings
from diascope.volume import Steps, Volume


@dataclass(frozen=True, slots=True, eq=False)
class Unsure:
    """What one network said of one image, and how often it was asked.

    Attributes:
        bundle: The network.
        volume: The image.
        seen: Its averaged output.
        averaged: What was averaged.
        seg_file: Of the label map that the map belongs to.
    """

    bundle: BundleInfo
    volume: Volume
    seen: GridOfLogits
    averaged: Averaged
    seg_file: str


def uncertainty_maps(
    said: Iterable[Unsure], settings: UncertaintySettings
) -> tuple[dict[str, Steps], tuple[UncertaintyMap, ...] | None]:
    """Make the map that the settings ask for of every label map.

    Where a network looked at an image part by part, the least sure part counts at each voxel.

    Returns:
        The maps by file name below the case folder, and their records; None where none are asked for.
    """
    if settings.map == "none":
        return {}, None
    maps: dict[str, Steps] = {}
    records: dict[str, UncertaintyMap] = {}
    for one in said:
        if one.bundle.block.task != "segment":
            continue
        file = one.seg_file.replace(".seg.", f".uncertainty.{settings.map}.")
        steps, record = _map_of(one, settings, file)
        if file in maps:
            steps, record = _together(maps[file], records[file], steps)
        maps[file], records[file] = steps, record
    return maps, tuple(records.values())


def _map_of(one: Unsure, settings: UncertaintySettings, file: str) -> tuple[Steps, UncertaintyMap]:
    kind = settings.map
    activation = one.bundle.block.activation
    each = one.averaged.entropy_of_each
    if kind == "disagreement":
        mean = unsure_voxels(one.seen.logits, "entropy", activation)
        numbers = np.zeros_like(mean) if each is None else disagreement(mean, each)
    else:
        numbers = unsure_voxels(one.seen.logits, "entropy" if kind == "entropy" else "least_confidence", activation)
    highest = float(numbers.max(initial=0.0))
    limit = highest_possible("least_confidence" if kind == "least_confidence" else "entropy", len(one.seen.logits))
    # Steps of what there is: a disagreement is often a hundredth of what it could be.
    top = highest if highest > 0 else limit
    space = one.volume.space
    data = steps_on_grid((numbers, one.seen.affine), space.shape, affine_of(space), top)
    record = UncertaintyMap(
        bundle=one.bundle.name,
        image_id=one.volume.image_id,
        kind="disagreement" if kind == "none" else kind,
        file=file,
        unit="1" if kind == "least_confidence" else "bit",
        answers=one.averaged.members,
        asked_again=tuple(_asked_again(one.bundle, settings)),
        highest=round(float(data.max(initial=0)) * top / 255, 6),
        limit=round(limit, 6),
    )
    return Steps(data, space, top), record


def _asked_again(bundle: BundleInfo, settings: UncertaintySettings) -> Iterator[AskedAgain]:
    if bundle.members:
        yield "ensemble"
    if settings.mirrors:
        yield "mirrors"
    if settings.dropout_draws:
        yield "dropout"


def _together(before: Steps, record: UncertaintyMap, part: Steps) -> tuple[Steps, UncertaintyMap]:
    top = max(before.top, part.top)
    data = np.maximum(_in_steps_of(before, top), _in_steps_of(part, top))
    highest = round(float(data.max(initial=0)) * top / 255, 6)
    return Steps(data, before.space, top), replace(record, highest=highest)


def _in_steps_of(steps: Steps, top: float) -> NDArray[np.uint8]:
    table: NDArray[np.uint8] = np.rint(np.arange(256) * (steps.top / top)).astype(np.uint8)
    return table[steps.data]
