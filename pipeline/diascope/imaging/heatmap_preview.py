"""The picture of a heatmap: where it says most, with its verdict in words.

A map that failed a question is not drawn unless it is asked for, and then it is marked;
a map in which no place speaks for the target has no colours to show.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from diascope.findings import Finding, HeatmapRecord, Label
from diascope.imaging.intensity import grey_range
from diascope.imaging.page import (
    BACKGROUND,
    DIM,
    LINE_PX,
    MARGIN_PX,
    PANEL_PX,
    RGB,
    TEXT,
    Panel,
    contour,
    font,
    in_words,
    longest_side_mm,
    nearest,
    number_of,
    plain_panel,
    row_of_panels,
    with_boxes,
    wrapped,
    write_line,
)
from diascope.imaging.planes import Plane, planes_of
from diascope.imaging.upsampling import map_affines, map_on_grid
from diascope.volume import Heatmap, Mask, Volume

# Black to yellow with rising brightness, after matplotlib's inferno: order is seen without colour vision, too.
COLOURS: tuple[RGB, ...] = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
VERDICT_COLOURS: dict[str, RGB] = {
    "supported": (92, 201, 143),
    "doubtful": (224, 169, 74),
    "unsupported": (255, 138, 128),
    "unchecked": DIM,
}

# Where the map is highest the tissue below is still seen.
MOST_PART = 0.75

BAR_PX = 160


def draw_heatmap(
    volume: Volume,
    heat: Heatmap,
    record: HeatmapRecord,
    drawn: tuple[Mask, Label] | None = None,
    findings: Sequence[Finding] = (),
    *,
    draw_unsupported: bool = False,
) -> NDArray[np.uint8]:
    """Draw a heatmap over its image in the slices where most speaks for the target, and say how far to trust it.

    Only what is above 0 is coloured, from 0 to the highest value of the whole map; the
    raw numbers are beside the colours.

    Args:
        volume: The image.
        heat: The map.
        record: Its verdict.
        drawn: The label map on the image's voxels and the label that is explained, if it is one.
        findings: The finding that is explained, if it is one.
        draw_unsupported: Whether a map that failed a question is drawn, marked.

    Returns:
        (rows, columns, 3) uint8, RGB.
    """
    reasons = [*_why_not_drawn(record, draw_unsupported=draw_unsupported), record.trust_reason]
    is_drawn = len(reasons) == 1
    row = row_of_panels(_panels(volume, heat, record, drawn, findings), volume.space) if is_drawn else None
    width = max(row.width + 2 * MARGIN_PX if row else 0, 2 * PANEL_PX)
    title = wrapped(title_of(record, findings), width - 2 * MARGIN_PX, 15)
    lines = [line for reason in reasons for line in wrapped(reason, width - 2 * MARGIN_PX, 13)]
    high = (row.height + MARGIN_PX if row else 0) + MARGIN_PX * 2 + LINE_PX * (1 + len(title) + len(lines) + is_drawn)
    page = Image.new("RGB", (width, high), BACKGROUND)
    draw = ImageDraw.Draw(page)
    for at, line in enumerate(title):
        write_line(draw, line, MARGIN_PX + at * LINE_PX, 15, TEXT)
    top = MARGIN_PX + len(title) * LINE_PX
    if row:
        page.paste(row, (MARGIN_PX, top))
        top += row.height + MARGIN_PX
        _draw_bar(draw, record.raw_range, top)
        top += LINE_PX
    write_line(draw, f"Trust: {record.trust.upper()}", top, 15, VERDICT_COLOURS[record.trust])
    for at, line in enumerate(lines, start=1):
        write_line(draw, line, top + at * LINE_PX, 13, DIM)
    return np.asarray(page)


def title_of(record: HeatmapRecord, findings: Sequence[Finding]) -> str:
    """Say what is explained: a finding by its number and score."""
    about = "".join(f", finding {number_of(one)}, score {one.score:.2f}," for one in findings)
    return f"Heatmap of {in_words(record.target)}{about} by {in_words(record.method)}   {record.bundle}"


def _why_not_drawn(record: HeatmapRecord, *, draw_unsupported: bool) -> list[str]:
    if not record.has_positive_evidence:
        return [f"No map is drawn: no place in the image speaks for {in_words(record.target)}."]
    if record.trust == "unsupported" and not draw_unsupported:
        return ["No map is drawn, because it failed a question (explain.draw_unsupported shows it all the same)."]
    return []


def _panels(
    volume: Volume,
    heat: Heatmap,
    record: HeatmapRecord,
    drawn: tuple[Mask, Label] | None,
    findings: Sequence[Finding],
) -> list[Panel]:
    planes = planes_of(volume.space)
    longest_mm = longest_side_mm(planes, volume.data.shape)
    shown = grey_range(volume)
    panels = []
    for plane in planes:
        at = _hottest_slice(volume, heat, plane)
        plain = with_boxes(plain_panel(volume, plane, at, shown, longest_mm), volume.data.shape, findings)
        if drawn is not None:
            plain = _outlined(plain, *drawn)
        picture = _coloured(plain.picture, plane.cut(_slice_of_map(volume, heat, plane, at), 0), heat.range[1])
        coloured = replace(plain, picture=picture)
        if record.trust == "unsupported":
            coloured = _struck(coloured)
        panels += [plain, coloured] if len(planes) == 1 else [coloured]
    return panels


def _hottest_slice(volume: Volume, heat: Heatmap, plane: Plane) -> int:
    """Find the slice with most of the positive map; each of its voxels counts where its centre lies."""
    map_affine, affine = map_affines(heat, volume.space)
    axis = plane.through_axis
    *step_ijk, first = (np.linalg.inv(affine) @ map_affine)[axis].tolist()
    i, j, k = np.ogrid[tuple(slice(0, n) for n in heat.data.shape)]
    slices = int(volume.data.shape[axis])
    at = np.clip(np.rint(first + step_ijk[0] * i + step_ijk[1] * j + step_ijk[2] * k), 0, slices - 1).astype(np.intp)
    sums = np.bincount(at.ravel(), weights=np.clip(heat.data, 0, None).ravel(), minlength=slices)
    # Sums in another order differ in the last digits: what is equal must stay equal on every machine.
    return int(np.round(sums / max(float(sums.max()), 1e-30), 9).argmax())


def _slice_of_map(volume: Volume, heat: Heatmap, plane: Plane, at: int) -> NDArray[np.float32]:
    map_affine, affine = map_affines(heat, volume.space)
    there = np.eye(4)
    there[plane.through_axis, 3] = at
    i, j, k = (1 if axis == plane.through_axis else n for axis, n in enumerate(volume.data.shape))
    return map_on_grid(heat.data, map_affine, (i, j, k), affine @ there)


def _coloured(picture: NDArray[np.uint8], cut: NDArray[np.float32], highest: float) -> NDArray[np.uint8]:
    # cut: (rows, columns) of the slice; mixed into the picture the more, the higher it is.
    rows, columns = picture.shape[:2]
    scaled = Image.fromarray(np.ascontiguousarray(np.clip(cut, 0, None))).resize(
        (columns, rows), Image.Resampling.BILINEAR
    )
    part = np.clip(np.asarray(scaled) / highest, 0, 1)
    places = np.linspace(0, 1, len(COLOURS))
    colours = np.stack([np.interp(part, places, [one[c] for one in COLOURS]) for c in range(3)], axis=-1)
    weight = (MOST_PART * np.sqrt(part))[..., None]
    mixed: NDArray[np.uint8] = np.round(picture * (1 - weight) + colours * weight).astype(np.uint8)
    return mixed


def _outlined(panel: Panel, mask: Mask, label: Label) -> Panel:
    rows, columns = panel.picture.shape[:2]
    values = nearest(panel.plane.cut(mask.data, panel.at), rows, columns) == label.value
    edge = contour(values.astype(np.uint8), 1) & values
    picture = panel.picture.copy()
    picture[edge] = ImageColor.getrgb(label.colour)[:3]
    return replace(panel, picture=picture)


def _struck(panel: Panel) -> Panel:
    page = Image.fromarray(panel.picture)
    draw = ImageDraw.Draw(page)
    draw.text(
        (page.width / 2, page.height - 28), "UNSUPPORTED", VERDICT_COLOURS["unsupported"], font(22, "-Bold"), "md",
        stroke_width=2, stroke_fill=(0, 0, 0),
    )  # fmt: skip
    return replace(panel, picture=np.asarray(page))


def _draw_bar(draw: ImageDraw.ImageDraw, raw_range: tuple[float, float], top: int) -> None:
    low, high = raw_range
    draw.text((MARGIN_PX, top), "0", TEXT, font(13))
    left = MARGIN_PX + 16
    places = np.linspace(0, 1, len(COLOURS))
    for x in range(BAR_PX):
        part = (x + 0.5) / BAR_PX
        colour = tuple(round(float(np.interp(part, places, [one[c] for one in COLOURS]))) for c in range(3))
        draw.line((left + x, top + 2, left + x, top + 14), fill=colour)
    against = f"; against it down to {low:.3g}, not coloured" if low < 0 else ""
    text = f"{high:.3g}   raw numbers; coloured is what speaks for the target{against}"
    draw.text((left + BAR_PX + 8, top), text, TEXT, font(13))
