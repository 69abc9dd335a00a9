"""Slices drawn by the server, as the page asks for them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from diascope.findings import HeatmapRecord, UncertaintyMap
from diascope.imaging.intensity import GreyRange, grey_range
from diascope.viewer.answers import Problem, json_answer
from diascope.viewer.case_page import CaseFiles, shown_to
from diascope.viewer.outs import inside
from diascope.viewer.slices import (
    MAP_COLOURS,
    Display,
    HeatLayer,
    LabelLayer,
    describe,
    displays,
    draw_slice,
    encode,
)
from diascope.viewer.volumes import LabelPart, as_volume, image_file
from diascope.viewer.voxels import Scratch, read_header, stamp_of
from diascope.volume import Volume

PlaneAsked = Literal["axial", "coronal", "sagittal"]
Drawn = TypeVar("Drawn", HeatmapRecord, UncertaintyMap)


class SliceAsked(BaseModel):
    """How a slice is to be drawn."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    seg: Annotated[str, Field(max_length=2000)] = ""
    """Bundles whose label maps are drawn, with commas between them."""

    heat: Annotated[str, Field(pattern=r"^(heat-\d{1,4})?$")] = ""
    """Name of the heatmap that is drawn."""

    heat_min: Annotated[float, Field(ge=0, le=1)] = 0.0
    """What is below this part of its highest value is not drawn; what speaks against never is."""

    heat_colours: Literal["inferno", "viridis", "plasma", "hot", "gray"] = "inferno"
    heat_alpha: Annotated[float, Field(ge=0, le=1)] = 0.5

    unc: Annotated[str, Field(pattern=r"^(unc-\d{1,4})?$")] = ""
    """Name of the map of uncertainty that is drawn."""

    unc_min: Annotated[float, Field(ge=0, le=1)] = 0.2
    """What is below this part of its colours is not drawn."""

    unc_alpha: Annotated[float, Field(ge=0, le=1)] = 0.6

    wl: Annotated[str, Field(max_length=60)] = ""
    """`lower,upper`: what is black and what is white; by default as the previews have it."""

    outline: bool = False
    hidden: Annotated[str, Field(max_length=20_000)] = ""
    """`bundle:dense value`, with commas between them: labels that are not drawn."""

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.4
    truth: bool = False


def slices_answer(case: CaseFiles, image_id: str, scratch: Scratch) -> Response:
    """Describe the planes of an image, and what is black and white."""
    record, file = image_file(case.report, case.folder, image_id)
    volume, header = as_volume(record, file, scratch)
    shown = grey_range(volume)
    planes = {display.plane.name: describe(display, header.space) for display in displays(header.space)}
    window = {"low": shown.low, "high": shown.high, "source": shown.source, "is_inverted": shown.is_inverted}
    return json_answer({"planes": planes, "window": window})


def slice_answer(case: CaseFiles, asked: SliceAsked, request: Request, scratch: Scratch) -> Response:
    """Draw a slice.

    Raises:
        Problem: There is no such image, plane or slice.
    """
    record, file = image_file(case.report, case.folder, request.path_params["image_id"])
    volume, _ = as_volume(record, file, scratch)
    at = _place(volume, request.path_params["plane"], request.path_params["index"])
    shown = _shown(volume, asked, is_inverted=record.is_inverted)
    layers = tuple(_label_layers(case, volume, asked, scratch))
    maps = (_unsure_layer(case, volume.image_id, asked, scratch), _heat_layer(case, volume.image_id, asked, scratch))
    picture = draw_slice((volume.data, volume.space), shown, at, layers, [one for one in maps if one is not None])
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{stamp_of(file)}"'}
    return Response(encode(picture), headers=headers, media_type="image/png")


def _place(volume: Volume, plane: str, index: str) -> tuple[Display, int]:
    for display in displays(volume.space):
        if display.plane.name == plane and index.isdecimal() and int(index) < display.count:
            return display, int(index)
    raise Problem("no_such_image", "the image has no such slice", "reload the case")


def _shown(volume: Volume, asked: SliceAsked, *, is_inverted: bool) -> GreyRange:
    if not asked.wl:
        return grey_range(volume)
    try:
        low, high = (float(text) for text in asked.wl.split(","))
    except ValueError:
        raise Problem("bad_request", "wl: expected lower,upper", "reload the page") from None
    if not -1e12 < low < high < 1e12:
        raise Problem("bad_request", "wl: the lower value must be below the upper one", "reload the page")
    return GreyRange(low, high, is_inverted, "window")


def _label_layers(case: CaseFiles, volume: Volume, asked: SliceAsked, scratch: Scratch) -> list[LabelLayer]:
    bundles = set(filter(None, asked.seg.split(",")))
    hidden = set(filter(None, asked.hidden.split(",")))
    drawn = case.report.segmentations or ()
    layers = []
    for part in case.label_parts() if bundles else ():
        made = drawn[int(part.name.split("-")[1])]
        if made.bundle in bundles and made.image_id == volume.image_id:
            layers.append(_layer(part, made.bundle, hidden, asked, scratch))
    return [layer for layer in layers if layer.data.shape == volume.data.shape]


def _layer(part: LabelPart, bundle: str, hidden: set[str], asked: SliceAsked, scratch: Scratch) -> LabelLayer:
    colours: Mapping[int, str] = {
        label.value: label.colour for at, label in enumerate(part.labels, start=1) if f"{bundle}:{at}" not in hidden
    }
    # A slice is drawn by the values of the file: nothing of a large map is renumbered while somebody waits.
    return LabelLayer(scratch.voxels(part.file), colours, asked.alpha, asked.outline)


def _heat_layer(case: CaseFiles, image_id: str, asked: SliceAsked, scratch: Scratch) -> HeatLayer | None:
    record = _named(case.report.heatmaps or (), asked.heat, image_id)
    if record is None:
        return None
    file = inside(case.folder, record.file)
    high = record.raw_range[1]
    colours = MAP_COLOURS[asked.heat_colours]
    return HeatLayer(
        scratch.voxels(file), read_header(file).space, asked.heat_min * high, high, colours, asked.heat_alpha
    )


def _unsure_layer(case: CaseFiles, image_id: str, asked: SliceAsked, scratch: Scratch) -> HeatLayer | None:
    record = _named(case.report.uncertainty or (), asked.unc, image_id)
    if record is None:
        return None
    file = inside(case.folder, record.file)
    header = read_header(file)
    # In the steps of the file: a slice of a large map is not rescaled while somebody waits.
    high = shown_to(record) / header.slope
    low = max(asked.unc_min * high, 0.5)
    # Not the colours of evidence: nobody shall take doubt for it.
    return HeatLayer(scratch.voxels(file), header.space, low, high, MAP_COLOURS["viridis"], asked.unc_alpha)


def _named(records: Sequence[Drawn], name: str, image_id: str) -> Drawn | None:
    at = name.partition("-")[2]
    return next((one for n, one in enumerate(records) if str(n) == at and one.image_id == image_id), None)
