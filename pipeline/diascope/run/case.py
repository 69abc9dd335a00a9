"""One case from its files to its report: the main path.

Five stages, each a function of what the one before it returned. They can be called in
one process or each in another one: an engine decides (`run/local.py`).

    job --read--> images --prepare--> inputs --infer--> outputs --finish--> results --write--> report
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diascope import __version__
from diascope.bundles.find import BundleInfo
from diascope.bundles.network import NetworkInput, open_network, prepare_input
from diascope.errors import UnsupportedInput
from diascope.evaluation.feature_file import ImageFeatures
from diascope.findings import CaseReport
from diascope.imaging.channels import on_first
from diascope.imaging.intensity import as_displayed
from diascope.imaging.numbers import fill_missing
from diascope.imaging.places import WHOLE, Part, Place
from diascope.imaging.preview import draw_preview, encode_png, stack_pictures
from diascope.imaging.resample import GridOfLogits, straighten
from diascope.io.decode import decode
from diascope.io.outfolder import OutFolder, file_digest, folder_in_the_making
from diascope.io.selection import Choice
from diascope.io.series import RefusedImage, Series
from diascope.io.write_nifti import write_heatmap, write_mask, write_steps, write_volume
from diascope.run.answers import Said, answers_of
from diascope.run.features import farthest, features_of, write_seen
from diascope.run.heatmaps import HeatmapOrder, MadeMap, draw_maps, make_maps, of_case, settle_maps, standings_of
from diascope.run.image_record import captions, doubts, image_file, record_images
from diascope.run.record import in_words
from diascope.run.suitability import check_suits, not_shown_to_suit, outside_limits
from diascope.run.uncertainty_maps import Unsure, uncertainty_maps
from diascope.run.within import Awaited, Spoken, settle
from diascope.tasks.inference import Precision
from diascope.tasks.uncertainty import Averaged, ask
from diascope.tasks.uncertainty_settings import UncertaintySettings
from diascope.volume import ColourImage, Heatmap, Mask, Steps, Volume

PREVIEW = "preview.png"
"""A picture of the case, below its folder."""


@dataclass(frozen=True, slots=True)
class CaseJob:
    """One study, and what is to be done with it.

    Attributes:
        case_id: Its name.
        series: All its images.
        refused: Images of it that cannot be read.
        choices: What each network is given, in the order of the networks.
        bundles: The networks, in the same order.
        out: Where the results go.
        device: As torch spells it.
        precision: Of the networks.
        config_sha256: Of the run's settings.
        store_images: Whether the images are written beside the results.
        heatmaps: What is to be explained; None where nothing is.
        uncertainty: How often networks are asked, and what is promised of misses.
        places: Where networks look that do not look everywhere, by their name.
    """

    case_id: str
    series: tuple[Series, ...]
    refused: tuple[RefusedImage, ...]
    choices: tuple[Choice, ...]
    bundles: tuple[BundleInfo, ...]
    out: OutFolder
    device: str = "cpu"
    precision: Precision = "auto"
    config_sha256: str = ""
    store_images: bool = True
    heatmaps: HeatmapOrder | None = None
    uncertainty: UncertaintySettings = field(default_factory=UncertaintySettings)
    places: Mapping[str, Place] = field(default_factory=dict)

    def parts_of(self, bundle: BundleInfo) -> tuple[Part | None, ...]:
        """List the parts of an image that a network is given one by one; None is all of it."""
        return self.places[bundle.name].parts if bundle.name in self.places else (None,)

    def file_of(self, bundle: BundleInfo, volume: Volume) -> str:
        """Name the label map of a network; the image is named too where a network is given several."""
        several = any(len(choice.groups) > 1 for choice in self.choices if choice.bundle == bundle.name)
        return f"{bundle.name}.{volume.image_id}.seg.nii.gz" if several else f"{bundle.name}.seg.nii.gz"


@dataclass(frozen=True, slots=True, eq=False)
class CaseImages:
    """A study whose chosen images have been read.

    Attributes:
        job: The study.
        volumes: The images, by image_id.
        sha256: Digest of each file that was read, by path. Private.
    """

    job: CaseJob
    volumes: dict[str, Volume]
    sha256: dict[Path, str]

    def groups(self) -> list[tuple[BundleInfo, list[Volume]]]:
        """List each network with the images of each of its inputs: several where they are its channels."""
        chosen = zip(self.job.bundles, self.job.choices, strict=True)
        return [
            (bundle, [self.volumes[series.image_id] for series in group])
            for bundle, choice in chosen
            for group in choice.groups
        ]

    def pairs(self) -> list[tuple[BundleInfo, Volume]]:
        """List each network with each image it is given; of several channels the first, where its answer lies.

        A network that looks at an image part by part is there once for each part.
        """
        return [(bundle, volumes[0]) for bundle, volumes in self.groups() for _ in self.job.parts_of(bundle)]

    def parts(self) -> list[str]:
        """Name the part of the image that each of `pairs()` is given; empty is all of it."""
        every = [part for bundle, _ in self.groups() for part in self.job.parts_of(bundle)]
        return ["" if part in (None, WHOLE) else part.name for part in every]


@dataclass(frozen=True, slots=True, eq=False)
class CaseInputs:
    """A study whose images are as its networks want them, in the order of `images.pairs()`; some have to wait."""

    images: CaseImages
    inputs: tuple[NetworkInput | Awaited, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CaseOutputs:
    """A study whose networks have spoken, in the order of `images.pairs()`."""

    images: CaseImages
    outputs: tuple[GridOfLogits, ...]
    maps: tuple[MadeMap, ...] = ()
    averaged: tuple[Averaged, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CaseResults:
    """A study with everything that will be written.

    Attributes:
        images: What was read.
        report: The report.
        masks: Label maps by file name below the case folder.
        heatmaps: Heatmaps by file name, too.
        unsure: Maps of how unsure each voxel is, by file name, too.
        preview: (rows, columns, 3) uint8; None if there is nothing to show.
        features: What the networks saw of the images.
        kept: Probabilities of labels by file name, where the run was asked to keep them.
    """

    images: CaseImages
    report: CaseReport
    masks: dict[str, Mask]
    heatmaps: dict[str, Heatmap]
    unsure: dict[str, Steps]
    preview: NDArray[np.uint8] | None
    features: tuple[ImageFeatures, ...] = ()
    kept: Mapping[str, Volume] = field(default_factory=dict)


def read(job: CaseJob) -> CaseImages:
    """Decode every image that a network was given, and take the digests of its files."""
    chosen = {series.image_id: series for choice in job.choices for series in choice.chosen}
    volumes = {image_id: _scalar(decode(series)) for image_id, series in chosen.items()}
    files = sorted({path for series in chosen.values() for path in series.files})
    return CaseImages(job, volumes, {path: file_digest(path) for path in files})


def prepare(images: CaseImages) -> CaseInputs:
    """Run each network's own preprocessing."""
    for bundle, choice in zip(images.job.bundles, images.job.choices, strict=True):
        for series in choice.chosen:
            check_suits(bundle, choice.field_of_view, images.volumes[series.image_id])
    inputs: list[NetworkInput | Awaited] = []
    for bundle, group in images.groups():
        volumes = on_first([straighten(fill_missing(as_displayed(volume))) for volume in group])
        for part in images.job.parts_of(bundle):
            if part is None:
                inputs.append(prepare_input(bundle, *volumes))
            else:
                inputs.append(Awaited(bundle, volumes[0], images.job.places[bundle.name], part))
    return CaseInputs(images, tuple(inputs))


def infer(prepared: CaseInputs) -> CaseOutputs:
    """Run the networks: the only stage that touches the device."""
    job = prepared.images.job
    outputs: list[GridOfLogits] = []
    averaged: list[Averaged] = []
    maps: list[MadeMap] = []
    spoken: dict[tuple[str, str], Spoken] = {}
    for (bundle, volume), waiting in zip(prepared.images.pairs(), prepared.inputs, strict=True):
        network_input = settle(waiting, spoken) if isinstance(waiting, Awaited) else waiting
        members = [open_network(one.folder, one.sha256, job.device) for one in (bundle, *bundle.members)]
        averaged.append(ask(members, network_input, job.uncertainty, job.precision, bundle.block.activation))
        outputs.append(GridOfLogits(averaged[-1].logits, network_input.affine))
        spoken[bundle.name, volume.image_id] = Spoken(bundle, outputs[-1])
        if job.heatmaps is not None:
            made = make_maps(job.heatmaps, bundle, volume.image_id, members, (network_input, outputs[-1]))
            maps += (replace(one, output_at=len(outputs) - 1) for one in made)
    return CaseOutputs(prepared.images, tuple(outputs), tuple(maps), tuple(averaged))


def finish(inferred: CaseOutputs) -> CaseResults:
    """Bring every result back to the voxels of its source, measure it, and draw the preview."""
    images, job = inferred.images, inferred.images.job
    said = answers_of(
        Said(
            bundle,
            volume,
            seen,
            job.file_of(bundle, volume),
            one.agreement,
            job.uncertainty.control_misses,
            part,
            job.uncertainty.keep_probabilities,
        )
        for (bundle, volume), part, seen, one in zip(
            images.pairs(), images.parts(), inferred.outputs, inferred.averaged, strict=True
        )
    )
    features = features_of(images.pairs(), inferred.averaged)
    spaces = {key: volume.space for key, volume in images.volumes.items()}
    maps = of_case(inferred.maps, said.finding_ids)
    standings = standings_of(maps, images.pairs(), inferred.outputs, features)
    heatmaps, records = settle_maps(maps, spaces, standings)
    unsure, unsure_records = uncertainty_maps(
        (
            Unsure(bundle, volume, seen, one, job.file_of(bundle, volume))
            for (bundle, volume), seen, one in zip(images.pairs(), inferred.outputs, inferred.averaged, strict=True)
        ),
        job.uncertainty,
    )
    report = CaseReport(
        case_id=job.case_id,
        status="done",
        images=record_images(job, images.volumes),
        bundles=tuple(dict.fromkeys(stamp for bundle, _ in images.pairs() for stamp in bundle.stamps)),
        segmentations=said.segmentations,
        measurements=said.measurements,
        findings=said.findings,
        predictions=said.predictions,
        heatmaps=records if job.heatmaps is not None else None,
        uncertainty=unsure_records,
        confidence=said.confidence,
        confidence_kind=said.confidence_kind,
        out_of_distribution=farthest(features, {bundle.name: bundle for bundle in job.bundles}),
        config_sha256=job.config_sha256,
        diascope_version=__version__,
    )
    reasons = (
        *outside_limits(images.pairs(), job.places),
        *not_shown_to_suit(job.choices),
        *doubts(report, {bundle.name: bundle.expected for bundle in job.bundles}),
    )
    report = replace(report, review_first=bool(reasons), review_reasons=reasons)
    preview = _preview(images, report, said.masks, heatmaps)
    return CaseResults(images, report, said.masks, heatmaps, unsure, preview, features, said.kept)


def write(results: CaseResults) -> CaseReport:
    """Write the folder of the case: whole, or not at all."""
    job = results.images.job
    with folder_in_the_making(job.out.case(job.case_id)) as folder:
        if job.store_images:
            (folder / "images").mkdir()
            for image_id, volume in results.images.volumes.items():
                write_volume(folder / image_file(image_id), volume)
        for file, mask in results.masks.items():
            write_mask(folder / file, mask)
        for file, shares in results.kept.items():
            write_volume(folder / file, shares)
        for file, heatmap in results.heatmaps.items():
            write_heatmap(folder / file, heatmap)
        for file, steps in results.unsure.items():
            write_steps(folder / file, steps)
        write_seen(folder, results.features)
        drawn = tuple(replace(one, sha256=file_digest(folder / one.file)) for one in results.report.segmentations or ())
        report = replace(results.report, segmentations=drawn)
        if results.preview is not None:
            (folder / PREVIEW).write_bytes(encode_png(results.preview))
        (folder / "case.json").write_text(report.to_json(), encoding="utf-8")
    return report


def run_case(job: CaseJob) -> CaseReport:
    """Take one case from its files to its report."""
    return write(finish(infer(prepare(read(job)))))


def _scalar(image: Volume | ColourImage) -> Volume:
    if isinstance(image, ColourImage):
        raise UnsupportedInput(
            f"{image.image_id} is a colour image, no network takes one",
            hint="leave it out by a select rule",
            code="colour_image",
        )
    return image


def _preview(
    images: CaseImages, report: CaseReport, masks: dict[str, Mask], heatmaps: dict[str, Heatmap]
) -> NDArray[np.uint8] | None:
    """Draw each image that a network was given, with everything that lies on it, one below the other."""
    drawn = report.segmentations or ()
    records = {record.image_id: record for record in report.images}
    pages = []
    for image_id, volume in images.volumes.items():
        overlays = [(masks[one.file], one.labels) for one in drawn if one.image_id == image_id]
        names = ", ".join(dict.fromkeys(bundle.name for bundle, given in images.pairs() if given is volume))
        classes = in_words([one for one in report.predictions or () if one.image_id == image_id])
        caption = "   ".join(part for part in (report.case_id, *captions(records[image_id]), classes, names) if part)
        pages.append(draw_preview(volume, overlays, report.findings or (), caption))
        if images.job.heatmaps is not None:
            pages += draw_maps(images.job.heatmaps, report, volume, masks, heatmaps)
    return stack_pictures(pages) if pages else None
