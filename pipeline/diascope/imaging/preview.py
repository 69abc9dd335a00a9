"""The picture of a case: the slice worth looking at, with everything that was drawn on it.

A pure function of its arguments: the same ones give the same bytes. Nothing is read
from or written to disk but the font that comes with matplotlib.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from diascope.findings import Finding, Label
from diascope.geometry import Grid, PixelGrid, Space, check_same_space
from diascope.imaging.intensity import GreyRange, grey_range, to_grey
from diascope.imaging.planes import Plane, best_slice, planes_of, values_present
from diascope.volume import Mask, Volume

Overlay = tuple[Mask, Sequence[Label]]
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

# A fill that lets the tissue be seen, a contour that stands out from it.
FILL_PART = 0.28
CONTOUR_PART = 0.95

# Where a voxel has fewer picture pixels than this, contours of two would cover small structures.
WIDE_CONTOUR_SCALE = 3

# Lengths a scale bar may have; the longest that is not over a third of the panel is taken.
SCALE_BARS_MM = (500, 200, 100, 50, 20, 10, 5, 2, 1)
MOST_LEGEND_ENTRIES = 48


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
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


def draw_preview(
    volume: Volume, overlays: Sequence[Overlay], findings: Sequence[Finding] = (), caption: str = ""
) -> NDArray[np.uint8]:
    """Draw an image with its overlays in the slices that show most.

    In the radiological convention, in the true aspect ratio, with letters from the
    affine, a legend, and a scale bar where there are millimetres. Thick slices are
    shown in their own plane, without and with the overlay; else three planes.

    Args:
        volume: The image.
        overlays: Label maps on its voxels, each with the names and colours of its labels.
        findings: Boxes; those of other images are left out.
        caption: First line of the picture; it must not hold an identifier.

    Returns:
        (rows, columns, 3) uint8, RGB.

    Raises:
        GridMismatch: A label map does not lie on the image's voxels.
    """
    for mask, _ in overlays:
        check_same_space(mask.space, volume.space)
    here = [finding for finding in findings if finding.image_id == volume.image_id]
    shown = grey_range(volume)
    panels = _cut_panels(volume, overlays, here, shown)
    pictures = [_annotated(panel, volume.space) for panel in panels]
    width = max(sum(picture.width + MARGIN_PX for picture in pictures) + MARGIN_PX, 2 * PANEL_PX)
    present, absent = _found_labels(overlays)
    legend = _wrap_legend(_legend_entries(present, here), width - 2 * MARGIN_PX)
    notes = _notes(volume, absent, shown)
    height = max(picture.height for picture in pictures)
    page = Image.new("RGB", (width, height + MARGIN_PX * 3 + LINE_PX * (2 + len(legend) + len(notes))), BACKGROUND)
    draw = ImageDraw.Draw(page)
    _write_line(draw, caption, MARGIN_PX, 15, TEXT)
    left, top = MARGIN_PX, MARGIN_PX + LINE_PX
    for panel, picture in zip(panels, pictures, strict=True):
        draw.text((left, top), panel.title, DIM, _font(13))
        page.paste(picture, (left, top + LINE_PX))
        left += picture.width + MARGIN_PX
    top += LINE_PX + height + MARGIN_PX
    for at, row in enumerate(legend):
        _draw_legend_row(draw, row, top + at * LINE_PX)
    for at, note in enumerate(notes, start=len(legend)):
        _write_line(draw, note, top + at * LINE_PX, 13, DIM)
    return np.asarray(page)


def stack_pictures(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put pictures below each other, on the background of the widest.

    Args:
        pictures: Each (rows, columns, 3) uint8, RGB; at least one.

    Returns:
        (rows, columns, 3) uint8, RGB.
    """
    page = np.empty((sum(len(one) for one in pictures), max(one.shape[1] for one in pictures), 3), np.uint8)
    page[:] = BACKGROUND
    top = 0
    for one in pictures:
        page[top : top + len(one), : one.shape[1]] = one
        top += len(one)
    return page


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Write a picture as PNG; no clock and no software name is in it.

    Args:
        picture: (rows, columns, 3) uint8, RGB.
    """
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def _cut_panels(
    volume: Volume, overlays: Sequence[Overlay], findings: Sequence[Finding], shown: GreyRange
) -> list[_Panel]:
    planes = planes_of(volume.space)
    shape = volume.data.shape
    longest_mm = max(
        max(shape[plane.row_axis] * plane.row_mm, shape[plane.column_axis] * plane.column_mm) for plane in planes
    )
    panels = []
    for plane in planes:
        at = best_slice(plane, shape, [mask for mask, _ in overlays], findings)
        grey = to_grey(plane.cut(volume.data, at), shown)
        rows, columns = (
            max(1, round(count * step_mm * PANEL_PX / longest_mm))
            for count, step_mm in zip(grey.shape, (plane.row_mm, plane.column_mm), strict=True)
        )
        plain = np.asarray(
            Image.fromarray(np.ascontiguousarray(grey)).resize((columns, rows), Image.Resampling.BICUBIC).convert("RGB")
        )
        drawn = plain
        for mask, labels in overlays:
            drawn = _overlaid(drawn, plane.cut(mask.data, at), labels)
        scale = rows / grey.shape[0], columns / grey.shape[1]
        drawn = _with_boxes(drawn, plane, at, scale, shape, findings)
        title = f"{plane.name} {at + 1} of {shape[plane.through_axis]}"
        if len(planes) == 1 and (overlays or findings):
            panels.append(_Panel(plane, at, plain, *scale, title))
        panels.append(_Panel(plane, at, drawn, *scale, title))
    return panels


def _overlaid(picture: NDArray[np.uint8], cut: NDArray[np.generic], labels: Sequence[Label]) -> NDArray[np.uint8]:
    # cut: (rows, columns) label values of the slice; each voxel is drawn as it is, never smoothed.
    rows, columns = picture.shape[:2]
    at_row = ((np.arange(rows) + 0.5) * cut.shape[0] / rows).astype(np.intp)
    at_column = ((np.arange(columns) + 0.5) * cut.shape[1] / columns).astype(np.intp)
    values = cut[np.ix_(at_row, at_column)].astype(np.intp)
    colours = np.zeros((max((label.value for label in labels), default=0) + 1, 3))
    for label in labels:
        colours[label.value] = ImageColor.getrgb(label.colour)[:3]
    width = 2 if rows >= WIDE_CONTOUR_SCALE * cut.shape[0] else 1
    part = np.where(_contour(values, width), CONTOUR_PART, FILL_PART) * (values > 0)
    mixed = picture * (1 - part[:, :, None]) + colours[values] * part[:, :, None]
    painted: NDArray[np.uint8] = np.round(mixed).astype(np.uint8)
    return painted


def _contour(values: NDArray[np.intp], width: int) -> NDArray[np.bool_]:
    # (rows, columns) true on the outermost pixels of each label, inside of it.
    rows, columns = values.shape
    padded = np.pad(values, width)
    edge = np.zeros(values.shape, dtype=np.bool_)
    for step in range(1, width + 1):
        for down, right in ((-step, 0), (step, 0), (0, -step), (0, step)):
            edge |= padded[width + down : width + down + rows, width + right : width + right + columns] != values
    return edge


def _with_boxes(
    picture: NDArray[np.uint8],
    plane: Plane,
    at: int,
    scale: tuple[float, float],
    shape: tuple[int, ...],
    findings: Sequence[Finding],
) -> NDArray[np.uint8]:
    page = Image.fromarray(picture)
    draw = ImageDraw.Draw(page)
    for finding in findings:
        low, high = finding.box_ijk[0][plane.through_axis], finding.box_ijk[1][plane.through_axis]
        if low <= at < high:
            top, left, bottom, right = plane.box_in_picture(finding.box_ijk, shape)
            box = (left * scale[1], top * scale[0], right * scale[1] - 1, bottom * scale[0] - 1)
            draw.rectangle(box, outline=FINDING_COLOUR, width=2)
            text = f"{finding.label} {finding.score:.2f}"
            place = (box[0], box[1] - 16 if box[1] > 16 else box[3] + 2)
            draw.text(place, text, FINDING_COLOUR, _font(12), stroke_width=2, stroke_fill=(0, 0, 0))
    return np.asarray(page)


def _annotated(panel: _Panel, space: Space) -> Image.Image:
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
        draw.text(place, letter, LETTER, _font(20, "-Bold"), anchor, stroke_width=2, stroke_fill=(0, 0, 0))
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
    draw.text(middle, f"{length_mm} mm", TEXT, _font(12), "md", stroke_width=2, stroke_fill=(0, 0, 0))


def _found_labels(overlays: Sequence[Overlay]) -> tuple[list[Label], list[Label]]:
    # Labels that have a voxel, and those that have none.
    present, absent = [], []
    for mask, labels in overlays:
        found = values_present(mask.data)
        present += [label for label in labels if label.value in found]
        absent += [label for label in labels if label.value not in found]
    return present, absent


def _legend_entries(present: Sequence[Label], findings: Sequence[Finding]) -> list[tuple[str, str]]:
    entries = list(dict.fromkeys((label.colour, _in_words(label.name)) for label in present))
    if findings:
        entries.append((FINDING_COLOUR, f"finding ({len(findings)})"))
    if len(entries) > MOST_LEGEND_ENTRIES:
        return [*entries[:MOST_LEGEND_ENTRIES], ("", f"and {len(entries) - MOST_LEGEND_ENTRIES} more")]
    return entries


def _wrap_legend(entries: Sequence[tuple[str, str]], width: int) -> list[list[tuple[int, str, str]]]:
    # Rows of (left edge, colour, name).
    font = _font(13)
    rows: list[list[tuple[int, str, str]]] = []
    left = MARGIN_PX
    for colour, name in entries:
        need = 18 + int(font.getlength(name)) + 18
        if not rows or left + need > MARGIN_PX + width:
            rows.append([])
            left = MARGIN_PX
        rows[-1].append((left, colour, name))
        left += need
    return rows


def _draw_legend_row(draw: ImageDraw.ImageDraw, row: Sequence[tuple[int, str, str]], top: int) -> None:
    for left, colour, name in row:
        if colour:
            draw.rectangle((left, top + 2, left + 12, top + 14), fill=colour)
        draw.text((left + 18, top), name, TEXT, _font(13))


def _notes(volume: Volume, absent: Sequence[Label], shown: GreyRange) -> list[str]:
    notes = []
    if absent:
        notes.append(f"Not found: {', '.join(_in_words(label.name) for label in absent)}.")
    if isinstance(volume.space, Grid):
        notes.append("Radiological convention: the patient's right is on the left of the picture.")
    elif isinstance(volume.space, PixelGrid):
        notes.append("Orientation unknown: left and right are not marked.")
    else:
        notes.append("Orientation unknown: left and right are not marked. Spacing unknown: pixels are shown square.")
    source = "the file's window" if shown.source == "window" else "percentiles of the image"
    unit = " HU" if volume.facts.modality == "CT" else ""
    inverted = ", low is bright" if shown.is_inverted else ""
    notes.append(f"Grey from {shown.low:.4g} to {shown.high:.4g}{unit}: {source}{inverted}.")
    return notes


def _in_words(name: str) -> str:
    return name.replace("_", " ")


def _write_line(draw: ImageDraw.ImageDraw, text: str, top: int, size: int, colour: RGB) -> None:
    font = _font(size)
    width = draw.im.size[0] - 2 * MARGIN_PX
    if font.getlength(text) > width:
        while text and font.getlength(text + "…") > width:
            text = text[:-1]
        text += "…"
    draw.text((MARGIN_PX, top), text, colour, font)


def _font(size: int, style: str = "") -> ImageFont.FreeTypeFont:
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("matplotlib, which brings the font of the previews")
    file = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / f"DejaVuSans{style}.ttf"
    # The basic engine draws the same with and without the optional text-shaping library.
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)
