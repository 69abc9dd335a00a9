"""Files of many frames: functional groups, nuclear medicine, and films."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from pydicom import Dataset

from diascope.errors import InputError
from diascope.io.damage import damage_of
from diascope.io.dicom.dataset import MALFORMED, read_dataset, without_warnings
from diascope.io.dicom.headers import Frame, Header, Orientation, Vector
from diascope.io.dicom.ordering import normal_of
from diascope.io.dicom.values import LARGEST

_STACK_ID, _IN_STACK_POSITION, _POSITION = 0x00209056, 0x00209057, 0x00200032


def expanded(header: Header, count: int) -> Header:
    """Give each frame of a file its own place and facts.

    Args:
        header: As read from the top level of the data set.
        count: NumberOfFrames.

    Raises:
        InputError: The frames do not have one description each.
    """
    try:
        dataset = read_dataset(header.file.path, header.layout.transfer_syntax, with_pixels=False)
        with without_warnings():
            frames = tuple(_frames(dataset, header.frames[0], count))
    except MALFORMED as error:
        raise InputError(f"the description of its frames is broken: {damage_of(error)}", code="bad_frames") from None
    if len(frames) != count:
        raise InputError(f"{count} frames are promised, {len(frames)} are described", code="bad_frames")
    return replace(header, frames=frames)


def _frames(dataset: Dataset, top: Frame, count: int) -> Iterator[Frame]:
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if per_frame:
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        free = _free_dimensions(dataset)
        for number, group in enumerate(per_frame):
            yield _grouped_frame(number, group, shared, top, free)
    elif "DetectorInformationSequence" in dataset and "SpacingBetweenSlices" in dataset:
        yield from _nuclear_frames(dataset, top, count)
    else:
        # One position for many frames is that of none of them.
        for number in range(count):
            yield replace(top, number=number, position_lps_mm=None, orientation=None)


def _free_dimensions(dataset: Dataset) -> list[int]:
    """Find the dimensions that are not the place of a frame."""
    pointers = [int(item.DimensionIndexPointer) for item in dataset.get("DimensionIndexSequence") or []]
    return [at for at, tag in enumerate(pointers) if tag not in (_STACK_ID, _IN_STACK_POSITION, _POSITION)]


def _grouped_frame(number: int, group: Dataset, shared: Dataset, top: Frame, free: list[int]) -> Frame:
    def item(macro: str) -> Dataset:
        # What a frame says of itself goes before what all frames share.
        for source in (group, shared):
            if source.get(macro):
                return source[macro].value[0]
        return Dataset()

    measures, content, value = item("PixelMeasuresSequence"), item("FrameContentSequence"), item("FrameVOILUTSequence")
    transform, diffusion = item("PixelValueTransformationSequence"), item("MRDiffusionSequence")
    spacing = _floats(measures.get("PixelSpacing"))
    window = _first(value.get("WindowCenter")), _first(value.get("WindowWidth"))
    gradient = (diffusion.get("DiffusionGradientDirectionSequence") or [Dataset()])[0]
    intercept = _first(transform.get("RescaleIntercept"))
    index = [int(part) for part in _values(content.get("DimensionIndexValues"))]
    return replace(
        top,
        number=number,
        position_lps_mm=_vector(item("PlanePositionSequence").get("ImagePositionPatient")),
        orientation=_orientation(item("PlaneOrientationSequence").get("ImageOrientationPatient")),
        spacing_mm=(spacing[1], spacing[0]) if len(spacing) == 2 and min(spacing) > 0 else None,
        thickness_mm=_first(measures.get("SliceThickness")),
        spacing_between_mm=_first(measures.get("SpacingBetweenSlices")),
        slope=_first(transform.get("RescaleSlope")) or top.slope,
        intercept=top.intercept if intercept is None else intercept,
        echo_ms=_first(item("MREchoSequence").get("EffectiveEchoTime")),
        b_value=_first(diffusion.get("DiffusionBValue")),
        direction=_vector(gradient.get("DiffusionGradientOrientation")),
        temporal=_first(content.get("TemporalPositionIndex")),
        trigger_ms=_first(item("CardiacSynchronizationSequence").get("NominalCardiacTriggerDelayTime")),
        stack=str(content.get("StackID") or ""),
        display_window=(window[0], window[1]) if window[0] is not None and window[1] else None,
        kind=_kind(item),
        dimensions=tuple(index[at] for at in free if at < len(index)),
    )


def _kind(item: Any) -> tuple[str, ...]:
    kinds: tuple[str, ...] = ()
    for macro in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"):
        found = item(macro)
        kinds += tuple(str(value).upper() for value in _values(found.get("FrameType"))[2:])
        if component := found.get("ComplexImageComponent"):
            kinds += (str(component).upper(),)
    return kinds


def _nuclear_frames(dataset: Dataset, top: Frame, count: int) -> Iterator[Frame]:
    """Nuclear medicine: one position, and a step per slice (PS3.3, C.8.4.15)."""
    detector = dataset.DetectorInformationSequence[0]
    position = _vector(detector.get("ImagePositionPatient"))
    orientation = _orientation(detector.get("ImageOrientationPatient"))
    is_tomography = any("TOMO" in str(part).upper() for part in _values(dataset.get("ImageType"))[2:])
    slices = [int(part) for part in _values(dataset.get("SliceVector"))] or list(range(1, count + 1))
    slots = [int(part) for part in _values(dataset.get("TimeSlotVector"))]
    if position is None or orientation is None or not is_tomography or len(slices) != count:
        for number in range(count):
            yield replace(top, number=number, position_lps_mm=None, orientation=None)
        return
    step_mm = normal_of(orientation) * float(dataset.SpacingBetweenSlices)
    for number, slice_at in enumerate(slices):
        point_mm = np.array(position) + step_mm * (slice_at - 1)
        yield replace(
            top,
            number=number,
            position_lps_mm=_vector(point_mm.tolist()),
            orientation=orientation,
            temporal=float(slots[number]) if len(slots) == count else None,
        )


def _values(value: Any) -> list[Any]:
    if value is None or isinstance(value, str):
        return [value] if value else []
    try:
        return list(value)
    except TypeError:
        return [value]


def _floats(value: Any) -> list[float]:
    found = [float(part) for part in _values(value)]
    return found if all(abs(part) < LARGEST for part in found) else []


def _first(value: Any) -> float | None:
    found = _floats(value)
    return found[0] if found else None


def _vector(value: Any) -> Vector | None:
    found = _floats(value)
    return (found[0], found[1], found[2]) if len(found) == 3 else None


def _orientation(value: Any) -> Orientation | None:
    found = _floats(value)
    return (found[0], found[1], found[2], found[3], found[4], found[5]) if len(found) == 6 else None
