"""Heatmaps of a case: made while the network is there, judged, and kept on their own grids."""

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo
from diascope.bundles.network import NetworkInput, OpenNetwork
from diascope.errors import PipelineError
from diascope.evaluation.feature_file import ImageFeatures
from diascope.explain.checks import check, heatmap_record
from diascope.explain.heatmap import Explained, explain_mean, located
from diascope.explain.reference import Standing, locked_weights, standing_checks
from diascope.explain.request import RawMap, to_heatmap
from diascope.explain.settings import ExplainSettings
from diascope.explain.targets import is_explained, requests_for
from diascope.findings import CaseReport, Check, HeatmapRecord
from diascope.geometry import Space
from diascope.imaging.heatmap_preview import draw_heatmap
from diascope.imaging.resample import GridOfLogits
from diascope.run.calibrated import calibration_of
from diascope.run.features import distance_from_reference
from diascope.tasks.uncertainty import segmentation_confidence
from diascope.volume import Heatmap, Mask, Volume

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeatmapOrder:
    """What is to be explained of a case.

    Attributes:
        settings: Method, targets, checks.
        is_checked: Whether this case is of the sample that is asked the dear questions.
    """

    settings: ExplainSettings
    is_checked: bool


@dataclass(frozen=True, slots=True, eq=False)
class MadeMap:
    """A raw map and what the questions to it came to.

    Attributes:
        bundle: Whose answer is explained.
        image_id: Of which image.
        raw: The map.
        checks: The answers.
        output_at: Which of the case's outputs is explained, from 0: an image may be looked at part by part.
    """

    bundle: str
    image_id: str
    raw: RawMap
    checks: tuple[Check, ...]
    output_at: int = 0


def heatmap_order(
    settings: ExplainSettings | None, bundles: Iterable[BundleInfo], *, is_checked: bool
) -> HeatmapOrder | None:
    """Say what is to be explained of a case; None where no network of the run has anything to explain."""
    if settings is None or not any(is_explained(settings, bundle) for bundle in bundles):
        return None
    return HeatmapOrder(settings, is_checked)


def make_maps(
    order: HeatmapOrder,
    bundle: BundleInfo,
    image_id: str,
    members: Sequence[OpenNetwork],
    seen: tuple[NetworkInput, GridOfLogits],
) -> tuple[MadeMap, ...]:
    """Explain one network's output for one image; a map that cannot be made costs the case nothing else.

    Args:
        order: What is asked for.
        bundle: The network.
        image_id: The image.
        members: The network, where it runs, and the others of its ensemble: explained is their mean.
        seen: What it was given, and what it said.
    """
    prepared, said = seen
    questions = order.settings.checks.model_copy(update={"enabled": order.is_checked and order.settings.checks.enabled})
    locked = [locked_weights(one.folder, one.sha256) for one in (bundle, *bundle.members)]
    opened, *others = members
    made = []
    for wish in requests_for(order.settings, bundle, said.logits):
        try:
            request = located(opened, prepared, wish)
            raw = explain_mean(members, prepared, request)
            asked = check(Explained(opened, prepared, request, raw, others=tuple(others)), questions, locked)
            if bundle.is_repeated:
                raw = replace(raw, notes=(*raw.notes, "of the plain answer, not of the repeated ones"))
            made.append(MadeMap(bundle.name, image_id, raw, asked))
        except PipelineError as error:
            log.warning("%s, %s of %s: no heatmap: %s", image_id, wish.target_name, bundle.name, error)
    return tuple(made)


def standings_of(
    maps: Iterable[MadeMap],
    pairs: Iterable[tuple[BundleInfo, Volume]],
    outputs: Iterable[GridOfLogits],
    features: Iterable[ImageFeatures],
) -> dict[tuple[str, str], Standing]:
    """Say how each image that was explained stands to those that its network is known to do well on.

    Args:
        maps: Of one case.
        pairs: Its networks, each with an image.
        outputs: What they said, in the same order.
        features: What they saw, of those that have features.

    Returns:
        By bundle and image_id.
    """
    explained = {(one.bundle, one.image_id) for one in maps}
    seen = {(one.bundle, one.image_id): one for one in features}
    return {
        key: _standing(bundle, said, seen.get(key))
        for (bundle, volume), said in zip(pairs, outputs, strict=True)
        if (key := (bundle.name, volume.image_id)) in explained
    }


def of_case(maps: Iterable[MadeMap], finding_ids: Sequence[Mapping[str, str]]) -> tuple[MadeMap, ...]:
    """Name the findings that are explained as the case does; a map of a box that became no finding is left out.

    Args:
        maps: Of one case, their findings numbered within one output.
        finding_ids: For each output of the case, its own numbers and those of the case (`answers.Answers`).
    """
    named = []
    for made in maps:
        if made.raw.finding_id is None:
            named.append(made)
        elif finding_id := finding_ids[made.output_at].get(made.raw.finding_id):
            named.append(replace(made, raw=replace(made.raw, finding_id=finding_id)))
    return tuple(named)


def settle_maps(
    maps: Iterable[MadeMap],
    spaces: Mapping[str, Space],
    standings: Mapping[tuple[str, str], Standing] | None = None,
) -> tuple[dict[str, Heatmap], tuple[HeatmapRecord, ...]]:
    """Put maps into the world and write down what they are.

    Args:
        maps: Of one case.
        spaces: Of its images, by image_id.
        standings: Of its images to their networks' cards, by bundle and image_id.

    Returns:
        The maps by file name below the case folder, and their records for the report.
    """
    files: dict[str, Heatmap] = {}
    records = []
    for made in maps:
        file = next(name for name in _file_names(made) if name not in files)
        files[file] = to_heatmap(made.raw, spaces[made.image_id])
        standing = (standings or {}).get((made.bundle, made.image_id), Standing())
        checks = (*made.checks, *standing_checks(standing))
        records.append(heatmap_record(made.raw, checks, bundle=made.bundle, image_id=made.image_id, file=file))
    return files, tuple(records)


def draw_maps(
    order: HeatmapOrder, report: CaseReport, volume: Volume, masks: Mapping[str, Mask], heatmaps: Mapping[str, Heatmap]
) -> list[NDArray[np.uint8]]:
    """Draw every heatmap of one image.

    Args:
        order: What was asked for.
        report: Of the case.
        volume: The image.
        masks: Label maps of the case by file name.
        heatmaps: Of the case by file name.

    Returns:
        Pictures, each (rows, columns, 3) uint8, RGB.
    """
    labels = {
        (drawn.bundle, drawn.image_id, label.name): (masks[drawn.file], label)
        for drawn in report.segmentations or ()
        for label in drawn.labels
    }
    return [
        draw_heatmap(
            volume,
            heatmaps[record.file],
            record,
            labels.get((record.bundle, record.image_id, record.target)),
            [one for one in report.findings or () if one.finding_id == record.finding_id],
            draw_unsupported=order.settings.draw_unsupported,
        )
        for record in report.heatmaps or ()
        if record.image_id == volume.image_id
    ]


def _file_names(made: MadeMap) -> Iterator[str]:
    # A finding's number tells maps of one label apart; the image is named too where a network is given several,
    # and counted are the maps of an image that is looked at part by part.
    number = "" if made.raw.finding_id is None else f"-{made.raw.finding_id.rpartition('-')[2]}"
    yield f"{made.bundle}.heatmap.{made.raw.target}{number}.nii.gz"
    yield f"{made.bundle}.{made.image_id}.heatmap.{made.raw.target}{number}.nii.gz"
    for count in itertools.count(2):
        yield f"{made.bundle}.{made.image_id}.heatmap.{made.raw.target}{number}.{count}.nii.gz"


def _standing(bundle: BundleInfo, said: GridOfLogits, seen: ImageFeatures | None) -> Standing:
    learnt = calibration_of(bundle)
    known = learnt.confidence if learnt is not None and bundle.block.task == "segment" else None
    return Standing(
        confidence=segmentation_confidence(said.logits) if known is not None else None,
        lowest_confidence=known.raw[0] if known is not None else None,
        out_of_distribution=distance_from_reference(seen, bundle) if seen is not None else None,
    )
