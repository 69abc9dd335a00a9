"""Everything the page draws of a case, in one answer; what is missing says so and does not hide the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diascope.findings import (
    BoxIJK,
    CaseReport,
    Finding,
    HeatmapRecord,
    ImageRecord,
    Label,
    Measurement,
    Segmentation,
    UncertaintyMap,
)
from diascope.geometry import affine_of
from diascope.viewer.answers import Problem, error_part
from diascope.viewer.outs import ServedOut, inside
from diascope.viewer.volumes import LabelPart, image_file, label_parts, preview_shape
from diascope.viewer.voxels import read_header, stamp_of

MM3_PER_ML = 1000.0

COIN_FLIP = {"entropy": 1.0, "least_confidence": 0.5}
"""Of two classes that are equally likely, in the unit of each kind of map."""


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """A case and its folder.

    Attributes:
        out: Where it is.
        case_id: Its name.
        report: Its report.
        digest: SHA-256 of case.json.
    """

    out: ServedOut
    case_id: str
    report: CaseReport
    digest: str

    @property
    def folder(self) -> Path:
        """Folder of the case."""
        return self.out.folder.case(self.case_id)

    @property
    def address(self) -> str:
        """Where its files are asked for, relative to the page."""
        return f"./api/case/{self.out.out_id}/{self.case_id}"

    def label_parts(self) -> tuple[LabelPart, ...]:
        """List the files of all label maps, each with at most 255 labels; missing ones are left out."""
        found: list[LabelPart] = []
        for at, drawn in enumerate(self.report.segmentations or ()):
            try:
                found += label_parts(f"seg-{at}", inside(self.folder, drawn.file), drawn.labels)
            except Problem:
                continue
        return tuple(found)


def open_case(out: ServedOut, case_id: str) -> CaseFiles:
    """Read a case.

    Raises:
        Problem: There is no such case, or its report cannot be read.
    """
    report, digest = out.report(case_id)
    return CaseFiles(out, case_id, report, digest)


def case_answer(case: CaseFiles, *, hides_ai: bool) -> dict[str, Any]:
    """Describe a case to the page.

    Args:
        case: The case.
        hides_ai: Leave out everything that a network said: the reader's first read comes first.
    """
    report = case.report
    answer: dict[str, Any] = {
        "out": case.out.out_id,
        "case_id": case.case_id,
        "status": report.status,
        "failure": asdict(report.failure) if report.failure else None,
        "result_digest": case.digest,
        "images": [_image(case, record) for record in report.images if record.stored],
        "images_not_shown": [_bare_image(record) for record in report.images if not record.stored],
        "bundles": [asdict(stamp) for stamp in report.bundles],
        "hides_ai": hides_ai,
        "preview_png": None,
    }
    if hides_ai:
        hidden: tuple[str, ...] = ("segmentations", "heatmaps", "findings", "predictions", "measurements", "checks")
        hidden += ("uncertainty", "review_reasons")
        return answer | {name: [] for name in hidden} | {"confidence": None, "confidence_kind": "none", "classes": {}}
    return answer | {
        "segmentations": [
            one for at, drawn in enumerate(report.segmentations or ()) for one in _segmentation(case, at, drawn)
        ],
        "heatmaps": [_heatmap(case, at, record) for at, record in enumerate(report.heatmaps or ())],
        # None: no network looked for any. That is not the same as none found.
        "findings": None if report.findings is None else [_finding(case, finding) for finding in report.findings],
        "predictions": [asdict(one) for one in report.predictions or ()],
        "classes": _classes(report),
        "measurements": [asdict(one) for one in report.measurements or ()],
        "checks": [asdict(one) for one in report.checks or ()],
        "uncertainty": [_uncertainty(case, at, record) for at, record in enumerate(report.uncertainty or ())],
        "confidence": report.confidence,
        "confidence_kind": report.confidence_kind,
        "out_of_distribution": report.out_of_distribution,
        "review_first": report.review_first,
        "review_reasons": list(report.review_reasons),
        "preview_png": f"{case.address}/preview.png" if (case.folder / "preview.png").is_file() else None,
    }


def label_answers(case: CaseFiles, drawn: Segmentation, labels: Sequence[Label]) -> list[dict[str, Any]]:
    """Describe the labels of a part of a label map, by their dense values."""
    volumes = {
        one.subject: one for one in case.report.measurements or () if _is_volume(one, drawn.bundle, drawn.image_id)
    }
    return [
        {
            "value": at,
            "source_value": label.value,
            "name": label.name,
            "colour": label.colour,
            "volume_ml": _millilitres(volumes.get(label.name)),
            "volume_voxels": _voxels(volumes.get(label.name)),
            "reached_border": label.name in drawn.reached_border,
        }
        for at, label in enumerate(labels, start=1)
    ]


def window_range(record: ImageRecord) -> list[float] | None:
    """Give the lowest and highest value that are shown apart; None where the file names no window."""
    if record.display_window is None:
        return None
    centre, width = record.display_window
    return [centre - width / 2, centre + width / 2]


def _classes(report: CaseReport) -> dict[str, list[str]]:
    """List what a finding of each network may be called, so that its class can be corrected by key."""
    named = [
        *((finding.bundle, finding.label) for finding in report.findings or ()),
        *((one.bundle, one.target) for one in report.predictions or ()),
        *((drawn.bundle, label.name) for drawn in report.segmentations or () for label in drawn.labels),
    ]
    return {bundle: list(dict.fromkeys(label for of, label in named if of == bundle)) for bundle, _ in named}


def _image(case: CaseFiles, record: ImageRecord) -> dict[str, Any]:
    answer = _bare_image(record) | {
        "display_window": window_range(record),
        "is_inverted": record.is_inverted,
        "note": list(record.notes),
    }
    try:
        _, file = image_file(case.report, case.folder, record.image_id)
        header = read_header(file)
        stamp = stamp_of(file)
    except Problem as problem:
        return answer | {"url": None, "preview_url": None, "slices_url": None, "error": error_part(problem)}
    shape, _ = preview_shape(header.shape)
    return answer | {
        "shape_ijk": list(header.shape),
        "affine": affine_of(header.space).tolist(),
        "url": f"{case.address}/volume/image-{record.image_id}.nii.gz?v={stamp}",
        "preview_url": f"{case.address}/preview/{record.image_id}.nii.gz?v={stamp}",
        "preview_shape_ijk": list(shape),
        "slices_url": f"{case.address}/slices/{record.image_id}",
        "bytes": file.stat().st_size,
        "voxel_bytes": header.dtype.itemsize,
        "error": None,
    }


def _bare_image(record: ImageRecord) -> dict[str, Any]:
    return {
        "image_id": record.image_id,
        "facts": asdict(record.facts),
        "modality": record.facts.modality,
        "space": record.space,
        "shape_ijk": record.shape,
        "spacing_mm": record.spacing_mm,
        "axcodes": record.axcodes,
        "chosen_for": list(record.chosen_for),
        "not_chosen": list(record.not_chosen),
        "files": record.files,
        "series_number": record.series_number,
        "series_description": dict(record.facts.extra).get("SeriesDescription"),
    }


def _segmentation(case: CaseFiles, at: int, drawn: Segmentation) -> Iterable[dict[str, Any]]:
    known = {"bundle": drawn.bundle, "image_id": drawn.image_id, "reached_border": list(drawn.reached_border)}
    try:
        file = inside(case.folder, drawn.file)
        read_header(file)
        stamp = stamp_of(file)
    except Problem as problem:
        yield {**known, "name": f"seg-{at}", "url": None, "labels": label_answers(case, drawn, drawn.labels)} | {
            "part": 1,
            "parts": 1,
            "version": "ai",
            "error": error_part(problem),
        }
        return
    for part in label_parts(f"seg-{at}", file, drawn.labels):
        yield {
            **known,
            "name": part.name,
            "url": f"{case.address}/volume/{part.name}.nii.gz?v={stamp}",
            "labels": label_answers(case, drawn, part.labels),
            "part": part.part,
            "parts": part.parts,
            "version": "ai",
            "error": None,
        }


def _is_volume(number: Measurement, bundle: str, image_id: str) -> bool:
    return number.quantity == "volume" and number.bundle == bundle and number.image_id == image_id


def _millilitres(number: Measurement | None) -> float | None:
    if number is None or number.value is None or number.unit != "mm3":
        return None
    return number.value / MM3_PER_ML


def _voxels(number: Measurement | None) -> float | None:
    return number.value if number is not None and number.unit == "voxel" else None


def _uncertainty(case: CaseFiles, at: int, record: UncertaintyMap) -> dict[str, Any]:
    answer: dict[str, Any] = asdict(record) | {"name": f"unc-{at}", "shown_to": shown_to(record)}
    del answer["file"]
    try:
        stamp = stamp_of(inside(case.folder, record.file))
    except Problem as problem:
        return answer | {"url": None, "error": error_part(problem)}
    return answer | {"url": f"{case.address}/volume/unc-{at}.nii.gz?v={stamp}", "error": None}


def shown_to(record: UncertaintyMap) -> float:
    """Give the value that has the last colour: a coin flip between two classes, so that cases can be compared.

    How far answers disagree has no such mark; there it is the highest value of the map.
    """
    if record.kind == "disagreement":
        return record.highest or record.limit
    return min(record.limit, COIN_FLIP[record.kind])


def _heatmap(case: CaseFiles, at: int, record: HeatmapRecord) -> dict[str, Any]:
    answer: dict[str, Any] = {
        **{name: getattr(record, name) for name in ("bundle", "image_id", "target", "method", "trust", "finding_id")},
        "name": f"heat-{at}",
        "trust_reason": record.trust_reason,
        "raw_range": list(record.raw_range),
        "has_positive_evidence": record.has_positive_evidence,
        "checks": [asdict(check) for check in record.checks],
    }
    try:
        file = inside(case.folder, record.file)
        header = read_header(file)
        return answer | {
            "url": f"{case.address}/volume/heat-{at}.nii.gz?v={stamp_of(file)}",
            "shape_ijk": list(header.shape),
            "affine": affine_of(header.space).tolist(),
            "error": None,
        }
    except Problem as problem:
        return answer | {"url": None, "error": error_part(problem)}


def _finding(case: CaseFiles, finding: Finding) -> dict[str, Any]:
    kind = case.report.confidence_kind
    low, high = finding.box_ijk
    return {
        **asdict(finding),
        "confidence_kind": kind,
        "centre_ijk": [(one + other - 1) / 2 for one, other in zip(low, high, strict=True)],
        "source": source_of(case.report, finding.image_id, finding.box_ijk),
    }


def source_of(report: CaseReport, image_id: str, box_ijk: BoxIJK) -> dict[str, Any]:
    """Tell where in its source a box lies, so that it is found on a workstation.

    Returns:
        `named_by` says what the numbers are: `instance_number`, `frame_number` (from 1), or `slice_index` (k from
        0) where the source numbers no slices. `centre` is that of the slice at the middle of the box, None where no
        file holds it; `ranges` are the first and last number of every run without holes that the box spans.
    """
    record = next((one for one in report.images if one.image_id == image_id), None)
    low, high = box_ijk[0][2], box_ijk[1][2]
    middle = (low + high - 1) // 2
    if record is None or record.slices_named_by is None:
        named = {"named_by": "slice_index", "centre": middle, "ranges": [[low, high - 1]]}
    else:
        numbers = sorted({n for k in range(low, high) if (n := record.slice_number(k)) is not None})
        named = {
            "named_by": record.slices_named_by,
            "centre": record.slice_number(middle),
            "ranges": _ranges(numbers),
        }
    return {"image_id": image_id, "series_number": record.series_number if record else None, **named}


def _ranges(numbers: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
