"""Slices with their overlays, drawn by the server: for hospital terminals whose browser has no WebGL2.

Radiological convention: the patient's right is on the left. Every plane is cut along the
voxels, so that nothing is interpolated between slices; pixels are square millimetres.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from diascope.geometry import Grid, PixelGrid, Space
from diascope.imaging.heatmap_preview import COLOURS as HEAT_COLOURS
from diascope.imaging.intensity import GreyRange, to_grey
from diascope.imaging.planes import Plane, patient_planes

# The longest side of a picture: what a terminal shows of one plane. Thin slices are stretched to it.
MOST_PX = 640

HEAT_PART = 0.5

# As the page's own (local_maps.js), after matplotlib's of these names.
MAP_COLOURS: Mapping[str, Sequence[tuple[int, int, int]]] = {
    "inferno": HEAT_COLOURS,
    "viridis": ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)),
    "plasma": ((13, 8, 135), (126, 3, 168), (204, 71, 120), (248, 149, 64), (240, 249, 33)),
    "hot": ((3, 0, 0), (178, 0, 0), (255, 106, 0), (255, 255, 32), (255, 255, 255)),
    "gray": ((0, 0, 0), (255, 255, 255)),
}


@dataclass(frozen=True, slots=True)
class Display:
    """How large slices of a plane are shown.

    Attributes:
        plane: Which way they are cut.
        count: How many there are.
        width_px: Of the picture.
        height_px: Of the picture.
        mm_per_px: None where the spacing is not known.
    """

    plane: Plane
    count: int
    width_px: int
    height_px: int
    mm_per_px: float | None


@dataclass(frozen=True, slots=True, eq=False)
class LabelLayer:
    """A label map to be drawn.

    Attributes:
        data: (i, j, k) dense values.
        colours: By dense value; those that are missing are not drawn.
        opacity: 0..1.
        is_outline: Draw the border only.
    """

    data: NDArray[Any]
    colours: Mapping[int, str]
    opacity: float = 0.4
    is_outline: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class HeatLayer:
    """A heatmap, or a map of uncertainty, to be drawn.

    Attributes:
        data: (i, j, k) raw values on its own grid.
        space: Where they lie.
        low: What is below is not drawn.
        high: Shown brightest.
        colours: From that of 0 to that of `high`.
        opacity: 0..1.
    """

    data: NDArray[Any]
    space: Space
    low: float
    high: float
    colours: Sequence[tuple[int, int, int]] = HEAT_COLOURS
    opacity: float = HEAT_PART


def displays(space: Space) -> tuple[Display, ...]:
    """List the three planes of an image; without a frame they are those of its axes, and have no letters."""
    planes = patient_planes(space) if isinstance(space, Grid) else _unplaced_planes(space)
    return tuple(_display(plane, space) for plane in planes)


def draw_slice(
    image: tuple[NDArray[Any], Space],
    shown: GreyRange,
    at: tuple[Display, int],
    labels: Sequence[LabelLayer] = (),
    maps: Sequence[HeatLayer] = (),
) -> NDArray[np.uint8]:
    """Draw a slice; boxes, letters and crosshair are the page's.

    Args:
        image: (i, j, k) numbers, and where they lie.
        shown: What is black and what is white.
        at: Which plane, and which slice of it.
        labels: Label maps on the same voxels.
        maps: Heatmaps and the like, below them, the first lowest.

    Returns:
        (rows, columns, 3) uint8, RGB.
    """
    data, space = image
    display, index = at
    size = (display.width_px, display.height_px)
    grey = np.ascontiguousarray(to_grey(display.plane.cut(data, index), shown))
    picture = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR).convert("RGB"))
    for heat in maps:
        picture = _with_heat(picture, heat, space, display, index)
    for layer in labels:
        picture = _with_labels(picture, display.plane.cut(layer.data, index), layer)
    return picture


def encode(picture: NDArray[np.uint8]) -> bytes:
    """Write a picture as PNG; lightly packed, since it is made while somebody waits.

    Args:
        picture: (rows, columns, 3) uint8, RGB.
    """
    stream = io.BytesIO()
    red, green, blue = (picture[:, :, channel] for channel in range(3))
    # Three equal channels take three times as long to pack as one.
    is_grey = np.array_equal(red, green) and np.array_equal(red, blue)
    Image.fromarray(np.ascontiguousarray(red) if is_grey else picture).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def describe(display: Display, space: Space) -> dict[str, Any]:
    """Spell a display for the page: sizes, letters, and how a pixel is taken to a voxel and back."""
    plane = display.plane
    left, right, top, bottom = plane.letters
    return {
        "count": display.count,
        "width_px": display.width_px,
        "height_px": display.height_px,
        "mm_per_px": display.mm_per_px,
        "rows": space.shape[plane.row_axis],
        "columns": space.shape[plane.column_axis],
        "axes": {
            "horizontal": plane.column_axis,
            "vertical": plane.row_axis,
            "normal": plane.through_axis,
            "horizontal_sign": -1 if plane.is_column_flipped else 1,
            "vertical_sign": -1 if plane.is_row_flipped else 1,
        },
        "letters": {"left": left, "right": right, "top": top, "bottom": bottom} if any(plane.letters) else None,
    }


def _unplaced_planes(space: Space) -> tuple[Plane, Plane, Plane]:
    # i to the right, j down, k upwards: rows and columns as they lie in the file.
    i_mm, j_mm = space.spacing_mm[:2] if isinstance(space, PixelGrid) else (1.0, 1.0)
    nowhere = ("", "", "", "")
    return (
        Plane("axial", 2, 1, 0, False, False, j_mm, i_mm, nowhere),
        Plane("coronal", 1, 2, 0, True, False, 1.0, i_mm, nowhere),
        Plane("sagittal", 0, 2, 1, True, False, 1.0, j_mm, nowhere),
    )


def _display(plane: Plane, space: Space) -> Display:
    rows, columns = space.shape[plane.row_axis], space.shape[plane.column_axis]
    high, wide = rows * plane.row_mm, columns * plane.column_mm
    scale = MOST_PX / max(high, wide)
    is_known = isinstance(space, Grid | PixelGrid)
    return Display(
        plane,
        space.shape[plane.through_axis],
        max(1, round(wide * scale)),
        max(1, round(high * scale)),
        1 / scale if is_known else None,
    )


def _spread(cut: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    # (rows, columns) nearest voxel of every pixel: labels are drawn as they are, never smoothed.
    at_row = ((np.arange(rows) + 0.5) * cut.shape[0] / rows).astype(np.intp)
    at_column = ((np.arange(columns) + 0.5) * cut.shape[1] / columns).astype(np.intp)
    spread: NDArray[Any] = cut[np.ix_(at_row, at_column)]
    return spread


def _with_labels(picture: NDArray[np.uint8], cut: NDArray[Any], layer: LabelLayer) -> NDArray[np.uint8]:
    rows, columns = picture.shape[:2]
    values = _spread(np.asarray(cut), rows, columns).astype(np.intp)
    table = np.zeros((max(int(values.max(initial=0)), *layer.colours, 0) + 1, 3))
    is_drawn = np.zeros(len(table), np.bool_)
    for value, colour in layer.colours.items():
        table[value] = ImageColor.getrgb(colour)[:3]
        is_drawn[value] = True
    drawn = is_drawn[values] & _border(values) if layer.is_outline else is_drawn[values]
    part = 1.0 if layer.is_outline else layer.opacity
    painted = picture.copy()
    painted[drawn] = (picture[drawn] * (1 - part) + table[values[drawn]] * part).round().astype(np.uint8)
    return painted


def _border(values: NDArray[np.intp]) -> NDArray[np.bool_]:
    # (rows, columns) true on the two outermost pixels of every label.
    padded = np.pad(values, 2)
    rows, columns = values.shape
    edge = np.zeros(values.shape, np.bool_)
    for step in (-2, -1, 1, 2):
        edge |= padded[2 + step : 2 + step + rows, 2 : 2 + columns] != values
        edge |= padded[2 : 2 + rows, 2 + step : 2 + step + columns] != values
    return edge


def _with_heat(
    picture: NDArray[np.uint8], heat: HeatLayer, space: Space, display: Display, index: int
) -> NDArray[np.uint8]:
    values = _heat_at(heat, space, display, index)
    if heat.high <= heat.low:
        return picture
    part = np.clip(values / heat.high, 0, 1)
    places = np.linspace(0, 1, len(heat.colours))
    colours = np.stack([np.interp(part, places, [one[c] for one in heat.colours]) for c in range(3)], axis=-1)
    opacity = np.where(values > heat.low, heat.opacity, 0.0)[:, :, None]
    painted: NDArray[np.uint8] = (picture * (1 - opacity) + colours * opacity).round().astype(np.uint8)
    return painted


def _heat_at(heat: HeatLayer, space: Space, display: Display, index: int) -> NDArray[np.float64]:
    # (rows, columns) the map's nearest voxel at the middle of each pixel; below `low` outside of the map.
    rows, columns = display.height_px, display.width_px
    plane, shape = display.plane, space.shape
    row = (np.arange(rows) + 0.5) * shape[plane.row_axis] / rows - 0.5
    column = (np.arange(columns) + 0.5) * shape[plane.column_axis] / columns - 0.5
    if plane.is_row_flipped:
        row = shape[plane.row_axis] - 1 - row
    if plane.is_column_flipped:
        column = shape[plane.column_axis] - 1 - column
    index_ijk = np.empty((rows, columns, 3))
    index_ijk[:, :, plane.row_axis] = row[:, None]
    index_ijk[:, :, plane.column_axis] = column[None, :]
    index_ijk[:, :, plane.through_axis] = index
    flat = index_ijk.reshape(-1, 3)
    if isinstance(space, Grid) and isinstance(heat.space, Grid):
        there = heat.space.to_ijk(space.to_ras_mm(flat))
    else:
        # Without a frame a map covers its image from edge to edge.
        ratio = np.array(heat.space.shape) / np.array(shape)
        there = (flat + 0.5) * ratio - 0.5
    nearest = np.round(there).astype(np.intp)
    inside = ((nearest >= 0) & (nearest < np.array(heat.space.shape))).all(axis=1)
    found = np.full(len(nearest), -np.inf)
    i, j, k = nearest[inside].T
    found[inside] = np.asarray(heat.data[i, j, k], dtype=np.float64)
    return found.reshape(rows, columns)
