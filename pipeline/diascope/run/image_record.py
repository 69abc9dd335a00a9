"""What a report says of the images of a case, chosen or not, and what a reader should doubt."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from diascope.findings import CaseReport, ImageFacts, ImageRecord, SpaceKind
from diascope.geometry import Grid, IndexGrid, PixelGrid, Space
from diascope.image_facts import slice_runs
from diascope.imaging.numbers import count_missing
from diascope.io.channels import lies_on
from diascope.io.selection import Choice
from diascope.io.series import RefusedImage, Series
from diascope.volume import Volume

_KINDS: dict[type, SpaceKind] = {Grid: "grid", PixelGrid: "pixels", IndexGrid: "index"}


def image_file(image_id: str) -> Path:
    """Where an image lies below the folder of its case."""
    return Path("images") / f"{image_id}.nii.gz"


class Study(Protocol):
    """What is known of a case before it is read: a `CaseJob`."""

    @property
    def series(self) -> tuple[Series, ...]:
        """All its images that can be read."""

    @property
    def refused(self) -> tuple[RefusedImage, ...]:
        """Its images that cannot."""

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What each network is given."""

    @property
    def store_images(self) -> bool:
        """Whether decoded images are written beside the report."""


def record_images(study: Study, volumes: Mapping[str, Volume]) -> tuple[ImageRecord, ...]:
    """Describe every image of a case: given to a network, left out, or refused.

    Args:
        study: The case.
        volumes: The images that were decoded, by image_id.
    """
    read = tuple(_record(one, study, volumes.get(one.image_id)) for one in study.series)
    return read + tuple(
        ImageRecord(image.image_id, ImageFacts(), files=image.files, not_chosen=(f"refused: {image.failure.reason}",))
        for image in study.refused
    )


def doubts(report: CaseReport, expected: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Say in words why somebody should look at this case early; empty where nothing stands out.

    Args:
        report: Of the case.
        expected: Labels that every suitable image shows, by bundle.
    """
    seen = [image for image in report.images if image.chosen_for or not report.bundles]
    reasons = [text for image in seen if (text := interpolated_text(image))]
    for drawn in report.segmentations or ():
        found = {
            number.subject
            for number in report.measurements or ()
            if (number.bundle, number.image_id, number.quantity) == (drawn.bundle, drawn.image_id, "volume")
            and number.value
        }
        if missing := [name for name in expected.get(drawn.bundle, ()) if name not in found]:
            reasons.append(f"{drawn.bundle} found no {', '.join(missing)}")
        if drawn.reached_border:
            reasons.append(f"{drawn.bundle}: {', '.join(drawn.reached_border)} cut off by the border of the image")
    if report.out_of_distribution is not None and report.out_of_distribution > 1:
        times = f"{report.out_of_distribution:.1f} times the border of what is usual"
        reasons.append(f"unlike the images its network was tried on ({times})")
    return tuple(reasons)


def captions(image: ImageRecord) -> tuple[str, ...]:
    """Say what must stand on a picture of an image, so that nobody takes it for what it is not."""
    # Short, and before anything that may be cut off: a line of a picture has an end.
    slices = (f"{image.interpolated_slices} slices interpolated",) if image.interpolated_slices else ()
    channels = dict.fromkeys(one.partition(": ")[2].partition(",")[0] for one in image.channel_of)
    return (*slices, *(f"channel {name}" for name in channels))


def interpolated_text(image: ImageRecord) -> str:
    """Say how many slices of an image nobody scanned; empty where all were."""
    if not image.interpolated_slices:
        return ""
    slices = f" of {image.shape[2]}" if image.shape else ""
    return f"{image.image_id}: {image.interpolated_slices}{slices} slices were interpolated between their neighbours"


def _record(series: Series, study: Study, volume: Volume | None) -> ImageRecord:
    space: Space | None = volume.space if volume is not None else series.space
    return ImageRecord(
        image_id=series.image_id,
        facts=series.facts,
        space=_KINDS[type(space)] if space is not None else None,
        shape=space.shape if space is not None else None,
        spacing_mm=_spacing_mm(space),
        axcodes=space.axcodes if isinstance(space, Grid) else None,
        is_sheared=space.is_sheared if isinstance(space, Grid) else None,
        files=len(series.files),
        chosen_for=tuple(choice.bundle for choice in study.choices if series.image_id in choice.chosen_ids),
        not_chosen=tuple(
            f"{choice.bundle}: {reason}"
            for choice in study.choices
            for image_id, reason in choice.why_not
            if image_id == series.image_id
        ),
        notes=(*series.notes, *_notes(volume)),
        stored=str(image_file(series.image_id)) if study.store_images and volume is not None else None,
        display_window=volume.display_window if volume is not None else None,
        is_inverted=volume is not None and volume.is_inverted,
        interpolated_slices=series.interpolated_slices,
        channel_of=tuple(_channels(series, study.choices)),
        series_number=series.series_number,
        slices_named_by=series.slices_named_by,
        slice_runs=slice_runs(series.slice_numbers),
    )


def _channels(series: Series, choices: Sequence[Choice]) -> Iterator[str]:
    for choice in choices:
        for name, one in zip(choice.channels, choice.chosen, strict=False):
            if one.image_id == series.image_id:
                first = choice.chosen[0]
                moved = "" if lies_on(one, first) else f", brought onto the grid of {first.image_id}"
                yield f"{choice.bundle}: {name}{moved}"


def _notes(volume: Volume | None) -> tuple[str, ...]:
    missing = count_missing(volume) if volume is not None else 0
    return (f"{missing} voxels hold no number; networks were given the lowest one there",) if missing else ()


def _spacing_mm(space: Space | None) -> tuple[float, ...] | None:
    if isinstance(space, Grid):
        # Rounded to the nanometre: the last digits are noise of the square root.
        return tuple(round(step, 6) for step in space.spacing_mm)
    return space.spacing_mm if isinstance(space, PixelGrid) else None
