"""Split what one SeriesInstanceUID holds into stacks that can each be one image."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from diascope.errors import InputError
from diascope.io.dicom.headers import Frame, Header, Orientation, Vector

# Direction cosines are written with at least six digits; a radial scan turns by degrees.
SAME_DIRECTION = 1e-3

# Echo times of one echo differ in the last digit that a scanner writes.
SAME_ECHO_MS = 0.01

# Planes at more than 45 degrees.
ACROSS_COSINE = 0.7


class Place(NamedTuple):
    """Where a slice lies: centre of its first pixel, directions of row and column, pixel distances along i and j."""

    position_lps_mm: Vector
    orientation: Orientation
    spacing_mm: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Slice:
    """One frame, with the file it lies in."""

    header: Header
    frame: Frame

    @property
    def place(self) -> Place:
        """Give its place in the patient.

        Raises:
            InputError: The header does not say it.
        """
        frame = self.frame
        if frame.position_lps_mm is None or frame.orientation is None or frame.spacing_mm is None:
            raise InputError("a slice without position, orientation or pixel spacing", code="no_positions")
        return Place(frame.position_lps_mm, frame.orientation, frame.spacing_mm)


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices that may be one image, and what sets them apart from the rest of their series.

    Attributes:
        slices: In no order.
        key: What they have in common, as a stable text.
    """

    slices: tuple[Slice, ...]
    key: str


def split(headers: Iterable[Header]) -> list[Stack]:
    """Split by what can never vary within an image.

    These are orientation, matrix, pixel spacing, colour, echo, kind of image and frame of
    reference. Exposure, times and tube current vary within one scan and split nothing.
    """
    orientations: list[Orientation] = []
    found: dict[tuple[object, ...], list[Slice]] = {}
    for header in headers:
        for frame in header.frames:
            turned = _known_direction(frame.orientation, orientations)
            found.setdefault(_address(header, frame, turned), []).append(Slice(header, frame))
    return [Stack(tuple(slices), repr(address)) for address, slices in found.items()]


def crosses_itself(stacks: Sequence[Stack]) -> bool:
    """Say whether stacks of a series lie across each other, as those of a localizer in several planes do.

    The stacks through the discs of a spine are tilted against each other, too, but far less.
    """
    found = (stack.slices[0].frame.orientation for stack in stacks)
    normals = [np.cross(six[:3], six[3:]) for six in found if six is not None]
    return any(abs(float(one @ other)) < ACROSS_COSINE for one, other in combinations(normals, 2))


def _known_direction(orientation: Orientation | None, known: list[Orientation]) -> Orientation | None:
    if orientation is None:
        return None
    for other in known:
        if max(abs(one - two) for one, two in zip(orientation, other, strict=True)) < SAME_DIRECTION:
            return other
    known.append(orientation)
    return orientation


def _address(header: Header, frame: Frame, turned: Orientation | None) -> tuple[object, ...]:
    layout = header.layout
    return (
        tuple(round(cosine, 3) + 0.0 for cosine in turned) if turned else None,
        tuple(f"{step:.4g}" for step in frame.spacing_mm) if frame.spacing_mm else None,
        (layout.rows, layout.columns, layout.samples, layout.photometric, layout.tiles),
        round(frame.echo_ms / SAME_ECHO_MS) if frame.echo_ms is not None else None,
        frame.echo_number,
        # The first two values tell only whether pixels were computed; a scanner may
        # call the first slice of a volume ORIGINAL and the next DERIVED.
        header.image_type[2:],
        frame.kind,
        header.frame_of_reference,
        header.sop_class,
        frame.stack,
    )
