"""One stack of slices into one Series, or the reason why not."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from diascope.errors import IncompleteSeries, InputError, UnsupportedInput
from diascope.findings import ImageFacts
from diascope.geometry import Space
from diascope.image_facts import SliceNaming
from diascope.io.dicom.geometry import Placement, flat_space_of, grid_of
from diascope.io.dicom.headers import Header, Layout
from diascope.io.dicom.ordering import Ordered, order
from diascope.io.dicom.pixels import Pick, has_decoder
from diascope.io.dicom.splitting import Slice, Stack
from diascope.io.facts import plane_of
from diascope.io.reader import IngestSettings
from diascope.io.series import FRAME, Series

MOST_DIGITS = 12
"""Characters of DICOM's integer strings (PS3.5, 6.2)."""


@dataclass(frozen=True, slots=True)
class PixelPlan:
    """How the volumes of a series are put together; what decoding needs.

    Attributes:
        layouts: Ways in which its frames are stored.
        volumes: For each volume its slices along k.
        between: For each slice of a volume, the picked slice below it and how far it
            lies towards the next; empty where the picked slices are the volume's.
        display_window: (centre, width) that the header proposes.
        axis_values: Where each volume lies on the fourth axis; empty where not known.
    """

    layouts: tuple[Layout, ...]
    volumes: tuple[tuple[Pick, ...], ...]
    between: tuple[tuple[int, float], ...] = ()
    display_window: tuple[float, float] | None = None
    axis_values: tuple[float, ...] = ()


def image_of(stack: Stack, case_id: str, image_id: str, settings: IngestSettings, *, is_scout: bool) -> Series:
    """Put a stack together from its headers.

    Raises:
        InputError: It is no image that can be read; the code says why.
    """
    _check_readable(stack.slices)
    slices, notes = _whole_ones(stack.slices) if settings.allow_gaps else (stack.slices, ())
    ordered, placement = _placed(slices, settings)
    _check_whole(ordered)
    space = placement.space
    _check_size(space, slices[0].header.layout, settings)
    headers = _in_order(ordered)
    first = ordered.volumes[0][len(ordered.volumes[0]) // 2]
    selection = dict(first.header.common.selection)
    if is_scout:
        selection["is_localizer"] = "yes"
    named_by, numbers = _slice_numbers(ordered.volumes[0], placement)
    if first.header.frame_of_reference:
        selection[FRAME] = first.header.frame_of_reference
    return Series(
        case_id=case_id,
        image_id=image_id,
        reader="dicom",
        files=tuple(header.file.path for header in headers),
        facts=_facts(first, ordered, space),
        space=space,
        volumes=len(ordered.volumes),
        axis=ordered.axis,
        selection=selection,
        notes=(
            *notes,
            *placement.notes,
            *_scale_note(ordered),
            *sorted({note for header in headers for note in header.notes}),
        ),
        interpolated_slices=sum(0 < part < 1 for _, part in placement.between),
        series_number=_whole(selection.get("series_number", "")),
        slices_named_by=named_by,
        slice_numbers=numbers,
        details={"plan": _plan(ordered, headers, placement, first)},
    )


def _slice_numbers(slices: Sequence[Slice], placement: Placement) -> tuple[SliceNaming | None, tuple[int | None, ...]]:
    """Find the numbers by which a workstation finds each slice along k.

    Frames of a file share its InstanceNumber, and are counted from 1 (PS3.3, C.7.6.6.1.2).
    """
    is_of_many = any(len(one.header.frames) > 1 and one.frame.tile < 0 for one in slices)
    found = [one.frame.number + 1 if is_of_many else one.header.instance for one in slices]
    if None in found:
        return None, ()
    if placement.between:
        # A slice between two that are there is in no file.
        found = [None if 0 < part < 1 else found[below + int(part)] for below, part in placement.between]
    return "frame_number" if is_of_many else "instance_number", tuple(found)


def _whole(text: str) -> int | None:
    # An IS has at most 12 characters; what is no number may be a name.
    return int(text) if len(text) <= MOST_DIGITS and re.fullmatch(r"[+-]?[0-9]+", text) else None


def _scale_note(ordered: Ordered) -> tuple[str, ...]:
    scales = {(one.frame.slope, one.frame.intercept) for volume in ordered.volumes for one in volume}
    return (f"slices have {len(scales)} different scales, and each was given its own",) if len(scales) > 1 else ()


def _whole_ones(slices: Sequence[Slice]) -> tuple[tuple[Slice, ...], tuple[str, ...]]:
    """Leave out slices whose pixels are not all there, where gaps are allowed."""
    whole = tuple(one for one in slices if one.header.broken is None)
    if not whole or len(whole) == len(slices):
        return tuple(slices), ()
    return whole, (f"{len(slices) - len(whole)} of {len(slices)} slices have broken pixels and were left out",)


def _check_readable(slices: Sequence[Slice]) -> None:
    layout = slices[0].header.layout
    for known in {one.header.layout for one in slices}:
        if not has_decoder(known):
            raise UnsupportedInput(
                "its pixels are packed in a way that no decoder here knows",
                hint="send it uncompressed, or as JPEG 2000",
                code="transfer_syntax",
            )
    if layout.samples not in (1, 3):
        raise UnsupportedInput(f"{layout.samples} samples per pixel are neither grey nor RGB", code="samples")
    if layout.bits_allocated == 1:
        raise UnsupportedInput("one bit per pixel: a mask or an overlay, not an image", code="one_bit")


def _placed(slices: Sequence[Slice], settings: IngestSettings) -> tuple[Ordered, Placement]:
    frames = [one.frame for one in slices]
    if all(frame.position_lps_mm and frame.orientation and frame.spacing_mm for frame in frames):
        ordered = order(slices)
        return ordered, grid_of(ordered.volumes[0], allow_gaps=settings.allow_gaps)
    if len(slices) == 1:
        return Ordered((tuple(slices),)), _flat(slices[0])
    if len({one.header.file for one in slices}) == 1:
        # Frames without a place, one after the other: a film, each frame an image.
        in_order = sorted(slices, key=lambda one: one.frame.number)
        return Ordered(tuple((one,) for one in in_order), "time"), _flat(slices[0])
    return _counted(slices)


def _flat(one: Slice, slices: int = 1) -> Placement:
    space, notes = flat_space_of(one.header, slices)
    return Placement(space, notes=notes)


def _counted(slices: Sequence[Slice]) -> tuple[Ordered, Placement]:
    """Slices without a place: their count orders them, and no affine is made up."""
    instances = [one.header.instance for one in slices]
    if None in instances or len(set(instances)) < len(instances):
        raise IncompleteSeries(
            f"{len(slices)} slices without positions, and their numbers do not order them",
            hint="send the series again with ImagePositionPatient",
            code="no_positions",
        )
    in_order = tuple(sorted(slices, key=lambda one: one.header.instance or 0))
    placement = _flat(slices[0], len(slices))
    note = "the slices have no positions: they are in the order of their numbers"
    return Ordered((in_order,)), replace(placement, notes=(*placement.notes, note))


def _check_whole(ordered: Ordered) -> None:
    for volume in ordered.volumes:
        for k, one in enumerate(volume):
            if one.header.broken is not None:
                raise InputError(
                    f"slice {k} of {len(volume)}: {one.header.broken.reason}",
                    hint=one.header.broken.cure,
                    code=one.header.broken.code,
                )


def _check_size(space: Space, layout: Layout, settings: IngestSettings) -> None:
    size_gb = int(np.prod(space.shape, dtype=np.int64)) * max(layout.bits_allocated // 8, 4) * layout.samples / 1e9
    if size_gb > settings.max_image_gb:
        raise UnsupportedInput(
            f"one volume would take {size_gb:.1f} GB, allowed are {settings.max_image_gb:g} GB",
            hint="raise max_image_gb if it is true",
            code="too_large",
        )


def _in_order(ordered: Ordered) -> list[Header]:
    return list({one.header.file: one.header for volume in ordered.volumes for one in volume}.values())


def _facts(first: Slice, ordered: Ordered, space: Space) -> ImageFacts:
    header, frame = first.header, first.frame
    facts = header.common.facts
    return replace(
        facts,
        image_type=header.image_type,
        plane=plane_of(space),
        slice_thickness_mm=frame.thickness_mm if frame.thickness_mm is not None else facts.slice_thickness_mm,
        echo_time_ms=frame.echo_ms if frame.echo_ms is not None else facts.echo_time_ms,
        b_value_s_per_mm2=frame.b_value if len(ordered.volumes) == 1 else None,
        burned_in=header.burned_in,
    )


def _plan(ordered: Ordered, headers: Iterable[Header], placement: Placement, first: Slice) -> PixelPlan:
    file_at = {header.file: at for at, header in enumerate(headers)}
    layouts: dict[Layout, int] = {}
    volumes = tuple(
        tuple(
            Pick(
                file=file_at[one.header.file],
                frame=one.frame.number,
                tile=one.frame.tile,
                layout=layouts.setdefault(one.header.layout, len(layouts)),
                pixel_at=one.header.pixel_at,
                slope=one.frame.slope,
                intercept=one.frame.intercept,
            )
            for one in volume
        )
        for volume in ordered.volumes
    )
    return PixelPlan(tuple(layouts), volumes, placement.between, first.frame.display_window, ordered.values)
