"""What the networks of a case said, brought back to its images and put into the words of `findings`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from diascope.bundles.find import BundleInfo
from diascope.findings import ConfidenceKind, Finding, Measurement, Prediction, Segmentation
from diascope.imaging.measurements import measure_labels, reached_border
from diascope.imaging.places import merged
from diascope.imaging.resample import GridOfLogits
from diascope.run.calibrated import (
    Confidence,
    calibrate_findings,
    calibrate_predictions,
    confidence_in_classes,
    confidence_in_findings,
    confidence_in_outline,
    least_sure,
    with_promised_misses,
)
from diascope.tasks.classify import classify
from diascope.tasks.detect import candidate_scores, detect
from diascope.tasks.segment import segment
from diascope.tasks.uncertainty import kept_probabilities
from diascope.volume import Mask, Volume


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What one network said of one image.

    Attributes:
        bundle: The network.
        volume: The image.
        seen: Its output, on the grid of its input.
        file: Name of the label map, should there be one.
        agreement: By label value, how alike several answers were (`tasks.uncertainty`).
        controls_misses: Draw labels from the probability at which a promise about missed volume holds.
        part: The part of the image that it was given, where it looks part by part; else empty.
        keeps_probabilities: Keep the probability of each label beside the label map.
    """

    bundle: BundleInfo
    volume: Volume
    seen: GridOfLogits
    file: str
    agreement: Mapping[int, float] = field(default_factory=dict)
    controls_misses: bool = False
    part: str = ""
    keeps_probabilities: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """All answers of a case. None where no network of the run asks that question.

    Attributes:
        segmentations: Label maps.
        findings: Lesions.
        predictions: Classes, of images and of slices.
        measurements: Numbers about all of them.
        masks: The label maps by file name below the case folder.
        confidence: Of the least certain network.
        confidence_kind: A raw one promises nothing.
        finding_ids: For each output, the id in the case of each of its findings, by the id within that output.
        kept: Probabilities of labels by file name, in two-hundredths on the voxels of their image.
    """

    segmentations: tuple[Segmentation, ...] | None
    findings: tuple[Finding, ...] | None
    predictions: tuple[Prediction, ...] | None
    measurements: tuple[Measurement, ...]
    masks: dict[str, Mask]
    confidence: float | None
    confidence_kind: ConfidenceKind
    finding_ids: tuple[Mapping[str, str], ...] = ()
    kept: Mapping[str, Volume] = field(default_factory=dict)


def answers_of(said: Iterable[Said]) -> Answers:
    """Turn every network's output into answers, each by its own task.

    Findings of a network are numbered through the whole case: over all its images, and parts of them.
    """
    segmentations: list[Segmentation] = []
    findings: list[Finding] = []
    predictions: list[Prediction] = []
    measurements: list[Measurement] = []
    # A network that looked at an image part by part drew one map all the same.
    parts: dict[str, list[Mask]] = {}
    outlines: dict[str, tuple[Said, Mapping[str, float]]] = {}
    confidences: list[Confidence] = []
    kept: dict[str, Volume] = {}
    finding_ids: list[Mapping[str, str]] = []
    asked = set()
    for one in said:
        bundle, volume, seen = one.bundle, one.volume, one.seen
        finding_ids.append({})
        asked.add(bundle.block.task)
        if bundle.block.task == "segment":
            drawn, promised = with_promised_misses(bundle, seen) if one.controls_misses else (seen, {})
            mask = segment(drawn, volume.space, bundle)
            parts.setdefault(one.file, []).append(mask)
            outlines[one.file] = _together(one, promised, outlines.get(one.file))
            confidences.append(confidence_in_outline(bundle, seen, is_empty=not mask.data.any()))
            if one.keeps_probabilities:
                keep_probabilities(kept, one)
        elif bundle.block.task == "detect":
            found = calibrate_findings(bundle, detect(seen, volume.space, bundle, volume.image_id))
            finding_ids[-1] = _ids_in_case(found, sum(other.bundle == bundle.name for other in findings))
            found = tuple(replace(lesion, finding_id=finding_ids[-1][lesion.finding_id]) for lesion in found)
            findings += found
            confidences.append(confidence_in_findings(found, candidate_scores(seen)))
            measurements += numbers_of_findings(found)
        else:
            named = classify(seen, volume.space, bundle, volume.image_id)
            named = calibrate_predictions(bundle, [replace(each, part=one.part) for each in named])
            predictions += named
            confidences.append(confidence_in_classes(named))
            measurements += numbers_of_predictions(named)
    masks = {file: merged(drawn) for file, drawn in parts.items()}
    for file, (one, bounds) in outlines.items():
        segmentations.append(_segmentation(one, masks[file], bounds, kept))
        measurements += numbers_of_agreement(one)
        measurements += measure_labels(masks[file], one.volume, one.bundle.name, one.volume.image_id)
    confidence, kind = least_sure(confidences)
    return Answers(
        segmentations=tuple(segmentations) if "segment" in asked else None,
        findings=tuple(findings) if "detect" in asked else None,
        predictions=tuple(predictions) if "classify" in asked else None,
        measurements=tuple(measurements),
        masks=masks,
        confidence=confidence,
        confidence_kind=kind,
        finding_ids=tuple(finding_ids),
        kept=kept,
    )


def keep_probabilities(kept: dict[str, Volume], said: Said) -> None:
    """Add the probability of each label; of several parts of an image the highest counts."""
    volume = said.volume
    for value, label in said.bundle.block.labels.items():
        file, shares = probability_file(said.file, label), kept_probabilities(said.seen, value, volume.space)
        if file in kept:
            shares = np.maximum(shares, kept[file].data)
        kept[file] = Volume(shares, volume.space, volume.facts, volume.image_id)


def probability_file(label_map: str, label: str) -> str:
    """Name the file of a label's probability beside its label map."""
    return f"{label_map.removesuffix('.seg.nii.gz')}.probability.{label}.nii.gz"


def numbers_of_agreement(said: Said) -> Iterator[Measurement]:
    """Tell of each label that was drawn how alike several answers were; nothing where there was one."""
    for value, alike in said.agreement.items():
        yield Measurement(
            said.volume.image_id, said.bundle.name, said.bundle.block.labels[value], "agreement", alike, "1"
        )


def numbers_of_findings(findings: Sequence[Finding]) -> Iterator[Measurement]:
    """List what was measured of each finding; what is not defined off a Grid is left out."""
    for one in findings:
        for quantity, value, unit in (
            ("score", one.score, "1"),
            ("size", one.size_voxels, "voxel"),
            ("volume", one.volume_mm3, "mm3"),
            ("longest_diameter", one.longest_diameter_mm, "mm"),
            ("perpendicular_diameter", one.perpendicular_diameter_mm, "mm"),
        ):
            if value is not None:
                yield Measurement(one.image_id, one.bundle, one.finding_id, quantity, float(value), unit)


def numbers_of_predictions(predictions: Sequence[Prediction]) -> Iterator[Measurement]:
    """List the score of each image's classes; where slices were judged, also which one was highest."""
    for one in predictions:
        if one.slice_k is not None:
            continue
        subject = f"{one.target} ({one.part})" if one.part else one.target
        yield Measurement(one.image_id, one.bundle, subject, "score", one.score, "1")
        of_slices = [other for other in predictions if other.slice_k is not None and other.target == one.target]
        if of_slices:
            highest = max(of_slices, key=lambda other: other.score)
            yield Measurement(
                one.image_id, one.bundle, subject, "highest_slice", float(highest.slice_k or 0), "slice_k"
            )


def _ids_in_case(found: Sequence[Finding], before: int) -> dict[str, str]:
    # An output counts its own findings from 1; the case goes on where the network's last image or part ended.
    return {one.finding_id: f"{one.bundle}-{number}" for number, one in enumerate(found, start=before + 1)}


def _together(
    said: Said, promised: Mapping[str, float], before: tuple[Said, Mapping[str, float]] | None
) -> tuple[Said, Mapping[str, float]]:
    return _least_alike(said, before), _kept_by_all(promised, before)


def _least_alike(said: Said, before: tuple[Said, object] | None) -> Said:
    # A label that was drawn in several parts has one agreement in the report: that of its least certain part.
    if before is None:
        return said
    alike = dict(before[0].agreement)
    for value, of_part in said.agreement.items():
        alike[value] = min(of_part, alike.get(value, of_part))
    return replace(said, agreement=alike)


def _kept_by_all(promised: Mapping[str, float], before: tuple[object, Mapping[str, float]] | None) -> dict[str, float]:
    # One map of several parts promises of a label what every part does, and of those the least.
    if before is None:
        return dict(promised)
    return {label: max(bound, before[1][label]) for label, bound in promised.items() if label in before[1]}


def _segmentation(said: Said, mask: Mask, promised: Mapping[str, float], kept: Mapping[str, Volume]) -> Segmentation:
    names = [(label.name, probability_file(said.file, label.name)) for label in said.bundle.labels]
    return Segmentation(
        said.bundle.name,
        said.volume.image_id,
        said.file,
        said.bundle.labels,
        reached_border(mask),
        promised_misses=tuple(promised.items()),
        probabilities=tuple((label, file) for label, file in names if file in kept),
    )
