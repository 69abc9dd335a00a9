"""The picture of a case: the slice worth looking at, with everything that was drawn on it.

A pure function of its arguments: the same ones give the same bytes. Nothing is read
from or written to disk but the font that comes with matplotlib.
"""

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from diascope.findings import Finding, Label
from diascope.geometry import Grid, PixelGrid, check_same_space
from diascope.imaging.intensity import GreyRange, grey_range
from diascope.imaging.page import (
    BACKGROUND,
    DIM,
    FINDING_COLOUR,
    LINE_PX,
    MARGIN_PX,
    PANEL_PX,
    TEXT,
    Panel,
    contour,
    font,
    in_words,
    longest_side_mm,
    nearest,
    plain_panel,
    row_of_panels,
    with_boxes,
    wrapped,
    write_line,
)
from diascope.imaging.planes import best_slice, planes_of, values_present
from diascope.volume import Mask, Volume

Overlay = tuple[Mask, Sequence[Label]]

# A fill that lets the tissue be seen, a contour that stands out from it.
FILL_PART = 0.28
CONTOUR_PART = 0.95

# Where a voxel has fewer picture pixels than this, contours of two would cover small structures.
WIDE_CONTOUR_SCALE = 3

MOST_LEGEND_ENTRIES = 48


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
    row = row_of_panels(_cut_panels(volume, overlays, here, shown), volume.space)
    width = max(row.width + 2 * MARGIN_PX, 2 * PANEL_PX)
    present, absent = _found_labels(overlays)
    legend = _wrap_legend(_legend_entries(present, here), width - 2 * MARGIN_PX)
    notes = _notes(volume, absent, shown)
    head = wrapped(caption, width - 2 * MARGIN_PX, 15)
    lines = len(head) + len(legend) + len(notes)
    page = Image.new("RGB", (width, row.height + MARGIN_PX * 3 + LINE_PX * lines), BACKGROUND)
    draw = ImageDraw.Draw(page)
    for at, words in enumerate(head):
        write_line(draw, words, MARGIN_PX + at * LINE_PX, 15, TEXT)
    page.paste(row, (MARGIN_PX, MARGIN_PX + len(head) * LINE_PX))
    top = row.height + 2 * MARGIN_PX + len(head) * LINE_PX
    for at, line in enumerate(legend):
        _draw_legend_row(draw, line, top + at * LINE_PX)
    for at, note in enumerate(notes, start=len(legend)):
        write_line(draw, note, top + at * LINE_PX, 13, DIM)
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
) -> list[Panel]:
    planes = planes_of(volume.space)
    shape = volume.data.shape
    longest_mm = longest_side_mm(planes, shape)
    panels = []
    for plane in planes:
        at = best_slice(plane, shape, [mask for mask, _ in overlays], findings)
        plain = plain_panel(volume, plane, at, shown, longest_mm)
        drawn = plain.picture
        for mask, labels in overlays:
            drawn = _overlaid(drawn, plane.cut(mask.data, at), labels)
        if len(planes) == 1 and (overlays or findings):
            panels.append(plain)
        panels.append(with_boxes(replace(plain, picture=drawn), shape, findings))
    return panels


def _overlaid(picture: NDArray[np.uint8], cut: NDArray[np.generic], labels: Sequence[Label]) -> NDArray[np.uint8]:
    # cut: (rows, columns) label values of the slice; each voxel is drawn as it is, never smoothed.
    rows, columns = picture.shape[:2]
    values = nearest(cut, rows, columns).astype(np.intp)
    colours = np.zeros((max((label.value for label in labels), default=0) + 1, 3))
    for label in labels:
        colours[label.value] = ImageColor.getrgb(label.colour)[:3]
    width = 2 if rows >= WIDE_CONTOUR_SCALE * cut.shape[0] else 1
    part = np.where(contour(values, width), CONTOUR_PART, FILL_PART) * (values > 0)
    mixed = picture * (1 - part[:, :, None]) + colours[values] * part[:, :, None]
    painted: NDArray[np.uint8] = np.round(mixed).astype(np.uint8)
    return painted


def _found_labels(overlays: Sequence[Overlay]) -> tuple[list[Label], list[Label]]:
    # Labels that have a voxel, and those that have none.
    present, absent = [], []
    for mask, labels in overlays:
        found = values_present(mask.data)
        present += [label for label in labels if label.value in found]
        absent += [label for label in labels if label.value not in found]
    return present, absent


def _legend_entries(present: Sequence[Label], findings: Sequence[Finding]) -> list[tuple[str, str]]:
    entries = list(dict.fromkeys((label.colour, in_words(label.name)) for label in present))
    if findings:
        entries.append((FINDING_COLOUR, f"finding ({len(findings)})"))
    if len(entries) > MOST_LEGEND_ENTRIES:
        return [*entries[:MOST_LEGEND_ENTRIES], ("", f"and {len(entries) - MOST_LEGEND_ENTRIES} more")]
    return entries


def _wrap_legend(entries: Sequence[tuple[str, str]], width: int) -> list[list[tuple[int, str, str]]]:
    # Rows of (left edge, colour, name).
    face = font(13)
    rows: list[list[tuple[int, str, str]]] = []
    left = MARGIN_PX
    for colour, name in entries:
        need = 18 + int(face.getlength(name)) + 18
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
        draw.text((left + 18, top), name, TEXT, font(13))


def _notes(volume: Volume, absent: Sequence[Label], shown: GreyRange) -> list[str]:
    notes = []
    if absent:
        notes.append(f"Not found: {', '.join(in_words(label.name) for label in absent)}.")
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
