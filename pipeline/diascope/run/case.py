"""One case from its files to its report: the main path.

Five stages, each a function of what the one before it returned. They can be called in
one process or each in another one: an engine decides (`run/local.py`).

    job --read--> images --prepare--> inputs --infer--> outputs --finish--> results --write--> report
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diascope import __version__
from diascope.bundles.find import BundleInfo
from diascope.bundles.network import NetworkInput, open_network, prepare_input
from diascope.errors import UnsupportedInput
from diascope.findings import CaseReport, Measurement, Segmentation
from diascope.imaging.intensity import as_displayed
from diascope.imaging.measurements import measure_labels, reached_border
from diascope.imaging.numbers import fill_missing
from diascope.imaging.preview import draw_preview, encode_png, stack_pictures
from diascope.imaging.resample import GridOfLogits, straighten
from diascope.io.decode import decode
from diascope.io.outfolder import OutFolder, file_digest, folder_in_the_making
from diascope.io.selection import Choice
from diascope.io.series import RefusedImage, Series
from diascope.io.write_nifti import write_heatmap, write_mask, write_volume
from diascope.run.heatmaps import HeatmapOrder, MadeMap, make_maps, settle_maps
from diascope.run.image_record import doubts, image_file, record_images
from diascope.run.suitability import check_suits, outside_limits
from diascope.tasks.inference import Precision, run_network
from diascope.tasks.segment import certainty, segment
from diascope.volume import ColourImage, Heatmap, Mask, Volume


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

    def file_of(self, bundle: BundleInfo, volume: Volume) -> str:
        """Name the label map of a network; the image is named too where a network is given several."""
        several = any(len(choice.chosen) > 1 for choice in self.choices if choice.bundle == bundle.name)
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

    def pairs(self) -> list[tuple[BundleInfo, Volume]]:
        """List each network with each image it is given."""
        chosen = zip(self.job.bundles, self.job.choices, strict=True)
        return [(bundle, self.volumes[series.image_id]) for bundle, choice in chosen for series in choice.chosen]


@dataclass(frozen=True, slots=True, eq=False)
class CaseInputs:
    """A study whose images are as its networks want them, in the order of `images.pairs()`."""

    images: CaseImages
    inputs: tuple[NetworkInput, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CaseOutputs:
    """A study whose networks have spoken, in the order of `images.pairs()`."""

    images: CaseImages
    outputs: tuple[GridOfLogits, ...]
    maps: tuple[MadeMap, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CaseResults:
    """A study with everything that will be written.

    Attributes:
        images: What was read.
        report: The report.
        masks: Label maps by file name below the case folder.
        heatmaps: Heatmaps by file name, too.
        preview: (rows, columns, 3) uint8; None if there is nothing to show.
    """

    images: CaseImages
    report: CaseReport
    masks: dict[str, Mask]
    heatmaps: dict[str, Heatmap]
    preview: NDArray[np.uint8] | None


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
    inputs = (
        prepare_input(bundle, straighten(fill_missing(as_displayed(volume)))) for bundle, volume in images.pairs()
    )
    return CaseInputs(images, tuple(inputs))


def infer(prepared: CaseInputs) -> CaseOutputs:
    """Run the networks: the only stage that touches the device."""
    job = prepared.images.job
    outputs: list[GridOfLogits] = []
    maps: list[MadeMap] = []
    for (bundle, volume), network_input in zip(prepared.images.pairs(), prepared.inputs, strict=True):
        opened = open_network(bundle.folder, bundle.sha256, job.device)
        logits = run_network(opened, network_input, job.precision)
        outputs.append(GridOfLogits(logits, network_input.affine))
        if job.heatmaps is not None:
            maps += make_maps(job.heatmaps, bundle, volume.image_id, opened, (network_input, outputs[-1]))
    return CaseOutputs(prepared.images, tuple(outputs), tuple(maps))


def finish(inferred: CaseOutputs) -> CaseResults:
    """Bring every result back to the voxels of its source, measure it, and draw the preview."""
    images, job = inferred.images, inferred.images.job
    masks: dict[str, Mask] = {}
    segmentations: list[Segmentation] = []
    measurements: list[Measurement] = []
    for (bundle, volume), seen in zip(images.pairs(), inferred.outputs, strict=True):
        mask = segment(seen, volume.space, bundle)
        file = job.file_of(bundle, volume)
        masks[file] = mask
        segmentations.append(Segmentation(bundle.name, volume.image_id, file, bundle.labels, reached_border(mask)))
        measurements += measure_labels(mask, volume, bundle.name, volume.image_id)
    heatmaps, records = settle_maps(inferred.maps, {key: volume.space for key, volume in images.volumes.items()})
    scores = [score for seen in inferred.outputs if (score := certainty(seen.logits)) is not None]
    report = CaseReport(
        case_id=job.case_id,
        status="done",
        images=record_images(job, images.volumes),
        bundles=tuple(dict.fromkeys(bundle.stamp for bundle, _ in images.pairs())),
        segmentations=tuple(segmentations),
        measurements=tuple(measurements),
        heatmaps=records if job.heatmaps is not None else None,
        confidence=min(scores, default=None),
        confidence_kind="raw" if scores else "none",
        config_sha256=job.config_sha256,
        diascope_version=__version__,
    )
    reasons = (
        *outside_limits(images.pairs()),
        *doubts(report, {bundle.name: bundle.expected for bundle in job.bundles}),
    )
    report = replace(report, review_first=bool(reasons), review_reasons=reasons)
    return CaseResults(images, report, masks, heatmaps, _preview(images, report, masks))


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
        for file, heatmap in results.heatmaps.items():
            write_heatmap(folder / file, heatmap)
        drawn = tuple(replace(one, sha256=file_digest(folder / one.file)) for one in results.report.segmentations or ())
        report = replace(results.report, segmentations=drawn)
        if results.preview is not None:
            (folder / "preview.png").write_bytes(encode_png(results.preview))
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


def _preview(images: CaseImages, report: CaseReport, masks: dict[str, Mask]) -> NDArray[np.uint8] | None:
    """Draw each image that a network was given, with everything that lies on it, one below the other."""
    drawn = report.segmentations or ()
    pages = []
    for image_id in dict.fromkeys(one.image_id for one in drawn):
        here = [one for one in drawn if one.image_id == image_id]
        names = ", ".join(one.bundle for one in here)
        overlays = [(masks[one.file], one.labels) for one in here]
        pages.append(
            draw_preview(images.volumes[image_id], overlays, report.findings or (), f"{report.case_id}   {names}")
        )
    return stack_pictures(pages) if pages else None
