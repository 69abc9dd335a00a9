"""What the pictures of a case are made of: panels with letters and scale bars, on a dark page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from diascope.findings import BoxIJK, Finding
from diascope.geometry import Grid, Space
from diascope.imaging.intensity import GreyRange, to_grey
from diascope.imaging.planes import Plane
from diascope.volume import Volume

RGB = tuple[int, int, int]

# Longest side of a panel. Three of them fit side by side on a page or a laptop's screen.
PANEL_PX = 440
MARGIN_PX = 12
LINE_PX = 20

BACKGROUND: RGB = (17, 19, 22)
TEXT: RGB = (232, 232, 228)
DIM: RGB = (150, 152, 156)
LETTER: RGB = (255, 204, 64)
FINDING_COLOUR = "#ffd60a"

# Lengths a scale bar may have; the longest that is not over a third of the panel is taken.
SCALE_BARS_MM = (500, 200, 100, 50, 20, 10, 5, 2, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One slice, cut and scaled.

    Attributes:
        plane: How it was cut.
        at: Which slice.
        picture: (rows, columns, 3) uint8.
        pixels_per_row: How many picture rows a row of voxels has.
        pixels_per_column: How many picture columns a column of voxels has.
        title: Written above it.
    """

    plane: Plane
    at: int
    picture: NDArray[np.uint8]
    pixels_per_row: float
    pixels_per_column: float
    title: str


def longest_side_mm(planes: Sequence[Plane], shape: tuple[int, ...]) -> float:
    """Measure the longest side of the pictures of some planes: it becomes `PANEL_PX` long.

    Args:
        planes: How an image is shown.
        shape: Its voxels along i, j and k.
    """
    return max(
        max(shape[plane.row_axis] * plane.row_mm, shape[plane.column_axis] * plane.column_mm) for plane in planes
    )


def plain_panel(volume: Volume, plane: Plane, at: int, shown: GreyRange, longest_mm: float) -> Panel:
    """Cut a slice and scale it to the page, in its true aspect ratio.

    Args:
        volume: The image.
        plane: Which way it is cut.
        at: Which slice.
        shown: What is black and what is white.
        longest_mm: Becomes `PANEL_PX` long.
    """
    grey = to_grey(plane.cut(volume.data, at), shown)
    rows, columns = (
        max(1, round(count * step_mm * PANEL_PX / longest_mm))
        for count, step_mm in zip(grey.shape, (plane.row_mm, plane.column_mm), strict=True)
    )
    scaled = Image.fromarray(np.ascontiguousarray(grey)).resize((columns, rows), Image.Resampling.BICUBIC)
    title = f"{plane.name} {at + 1} of {volume.data.shape[plane.through_axis]}"
    return Panel(plane, at, np.asarray(scaled.convert("RGB")), rows / grey.shape[0], columns / grey.shape[1], title)


def row_of_panels(panels: Sequence[Panel], space: Space) -> Image.Image:
    """Put panels beside each other, each with its title above it and with letters from the affine on it.

    Args:
        panels: At least one.
        space: Of the image they were cut from.
    """
    pictures = [_annotated(panel, space) for panel in panels]
    width = sum(picture.width + MARGIN_PX for picture in pictures) - MARGIN_PX
    page = Image.new("RGB", (width, LINE_PX + max(picture.height for picture in pictures)), BACKGROUND)
    draw = ImageDraw.Draw(page)
    left = 0
    for panel, picture in zip(panels, pictures, strict=True):
        draw.text((left, 0), panel.title, DIM, font(13))
        page.paste(picture, (left, LINE_PX))
        left += picture.width + MARGIN_PX
    return page


def contour(values: NDArray[np.integer[Any]], width: int) -> NDArray[np.bool_]:
    """Find the outermost pixels of each label, inside of it.

    Args:
        values: (rows, columns) label values.
        width: How many pixels.

    Returns:
        (rows, columns); background has an edge too.
    """
    rows, columns = values.shape
    padded = np.pad(values, width)
    edge = np.zeros(values.shape, dtype=np.bool_)
    for step in range(1, width + 1):
        for down, right in ((-step, 0), (step, 0), (0, -step), (0, step)):
            edge |= padded[width + down : width + down + rows, width + right : width + right + columns] != values
    return edge


def nearest(cut: NDArray[np.generic], rows: int, columns: int) -> NDArray[np.generic]:
    """Scale a slice of labels to a picture: every pixel is the voxel that it lies in.

    Args:
        cut: (rows, columns) of voxels.
        rows: Of the picture.
        columns: Of the picture.
    """
    at_row = ((np.arange(rows) + 0.5) * cut.shape[0] / rows).astype(np.intp)
    at_column = ((np.arange(columns) + 0.5) * cut.shape[1] / columns).astype(np.intp)
    scaled: NDArray[np.generic] = cut[np.ix_(at_row, at_column)]
    return scaled


def with_boxes(panel: Panel, shape: tuple[int, ...], findings: Sequence[Finding]) -> Panel:
    """Draw the boxes of findings that the panel's slice goes through.

    Args:
        panel: A slice.
        shape: Voxels of the image along i, j and k.
        findings: Of this image.
    """
    plane, down, right = panel.plane, panel.pixels_per_row, panel.pixels_per_column
    page = Image.fromarray(panel.picture)
    draw = ImageDraw.Draw(page)
    for finding in findings:
        here = box_in_slice(finding, plane.through_axis, panel.at)
        if here is not None:
            top, left, bottom, end = plane.box_in_picture(here, shape)
            box = (left * right, top * down, end * right - 1, bottom * down - 1)
            draw.rectangle(box, outline=FINDING_COLOUR, width=2)
            text = f"{number_of(finding)} {in_words(finding.label)} {finding.score:.2f}"
            place = (box[0], box[1] - 16 if box[1] > 16 else box[3] + 2)
            draw.text(place, text, FINDING_COLOUR, font(12), stroke_width=2, stroke_fill=(0, 0, 0))
    return replace(panel, picture=np.asarray(page))


def box_in_slice(finding: Finding, axis: int, at: int) -> BoxIJK | None:
    """Cut a finding by a slice: its box there, which is smaller than the box that holds all of it.

    Args:
        finding: With a box for each slice it was found in, or with one for all.
        axis: Of the image, that the slice is cut across.
        at: Index of the slice.

    Returns:
        Half-open; None where the slice does not go through it.
    """
    boxes = finding.slice_boxes_ijk or (finding.box_ijk,)
    cut = [np.array(box) for box in boxes if box[0][axis] <= at < box[1][axis]]
    if not cut:
        return None
    low, high = np.min([box[0] for box in cut], axis=0), np.max([box[1] for box in cut], axis=0)
    (i0, j0, k0), (i1, j1, k1) = low.tolist(), high.tolist()
    return (i0, j0, k0), (i1, j1, k1)


def number_of(finding: Finding) -> str:
    """Give the number that a finding has in its case, such as `2` of `flair_glioma_detection-2`."""
    return finding.finding_id.rpartition("-")[2]


def in_words(name: str) -> str:
    """Write a name such as `white_matter` as people do."""
    return name.replace("_", " ")


def wrapped(text: str, width_px: int, size: int) -> list[str]:
    """Break a text into lines that fit, between words; a word that does not fit is broken.

    Args:
        text: Without line breaks.
        width_px: Of a line.
        size: Of the font.
    """
    face, lines = font(size), [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if face.getlength(longer) <= width_px:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and face.getlength(lines[-1] + letter) > width_px:
                lines.append("")
            lines[-1] += letter
    return lines


def write_line(draw: ImageDraw.ImageDraw, text: str, top: int, size: int, colour: RGB) -> None:
    """Write a line from margin to margin; what does not fit is cut off."""
    face = font(size)
    width = draw.im.size[0] - 2 * MARGIN_PX
    if face.getlength(text) > width:
        while text and face.getlength(text + "…") > width:
            text = text[:-1]
        text += "…"
    draw.text((MARGIN_PX, top), text, colour, face)


def font(size: int, style: str = "") -> ImageFont.FreeTypeFont:
    """Open the font that comes with matplotlib; `style` such as `-Bold`."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("matplotlib, which brings the font of the previews")
    file = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / f"DejaVuSans{style}.ttf"
    # The basic engine draws the same with and without the optional text-shaping library.
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


def _annotated(panel: Panel, space: Space) -> Image.Image:
    page = Image.fromarray(panel.picture)
    draw = ImageDraw.Draw(page)
    wide, high = page.size
    places = (
        ((6, high // 2), "lm"),
        ((wide - 6, high // 2), "rm"),
        ((wide // 2, 4), "ma"),
        ((wide // 2, high - 4), "md"),
    )
    for letter, (place, anchor) in zip(panel.plane.letters, places, strict=True):
        draw.text(place, letter, LETTER, font(20, "-Bold"), anchor, stroke_width=2, stroke_fill=(0, 0, 0))
    if isinstance(space, Grid):
        _draw_scale_bar(draw, wide, high, panel.pixels_per_column / panel.plane.column_mm)
    return page


def _draw_scale_bar(draw: ImageDraw.ImageDraw, wide: int, high: int, pixels_per_mm: float) -> None:
    length_mm = next((mm for mm in SCALE_BARS_MM if mm * pixels_per_mm <= wide / 3), None)
    if length_mm is None:
        return
    left, right, at = wide - 10 - length_mm * pixels_per_mm, wide - 10, high - 12
    draw.rectangle((left - 1, at - 1, right + 1, at + 3), fill=(0, 0, 0))
    draw.rectangle((left, at, right, at + 2), fill=TEXT)
    middle = ((left + right) / 2, at - 4)
    draw.text(middle, f"{length_mm} mm", TEXT, font(12), "md", stroke_width=2, stroke_fill=(0, 0, 0))
