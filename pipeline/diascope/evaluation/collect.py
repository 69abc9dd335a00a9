"""From an output folder and its truth to rows: one per image and label, class or lesion."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from scipy import ndimage

from diascope.errors import GridMismatch, InputError, PipelineError
from diascope.evaluation.calibration_file import absence_of
from diascope.evaluation.detection import Lesion, Scan, mark_of
from diascope.evaluation.heatmap_hits import HeatmapHit, heatmap_hits
from diascope.evaluation.segmentation import LabelScore, compare_masks
from diascope.evaluation.settings import EvaluationSettings
from diascope.evaluation.truth import Place, Places, TruthRow, read_truth_table
from diascope.findings import CaseReport, ConfidenceKind, ImageFacts, Prediction, Segmentation, read_report
from diascope.geometry import Grid
from diascope.io.labels.nifti_map import read_nifti_map
from diascope.io.labels.reading import read_label_map
from diascope.io.outfolder import OutFolder
from diascope.volume import Mask


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose a row is, and what is known of patient and scanner.

    Attributes:
        case_id: The case.
        image_id: The image.
        patient: Keyed patient; the case where the patient is not known.
        bundle: The network.
        facts: Of the image.
    """

    case_id: str
    image_id: str
    patient: str
    bundle: str
    facts: ImageFacts


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label of an image, compared with its truth.

    Attributes:
        origin: Whose it is.
        score: How well it fits.
        promised: Mean missed share that was promised of this label; None if nothing was.
        confidence: Raw, of the case, if this outline is all that it rests on; else None.
    """

    origin: Origin
    score: LabelScore
    promised: float | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class of an image, with its truth.

    Attributes:
        origin: Whose it is.
        target: The class.
        is_positive: Whether it is there.
        score: 0..1.
        score_kind: A raw one promises nothing.
        covered: Whether the conformal set holds the truth; None if there is no set.
        promised: Coverage that was promised; None if none was.
    """

    origin: Origin
    target: str
    is_positive: bool
    score: float
    score_kind: ConfidenceKind = "raw"
    covered: bool | None = None
    promised: float | None = None


@dataclass(frozen=True, slots=True)
class MapRow:
    """A heatmap, compared with the truth of what it explains."""

    origin: Origin
    hit: HeatmapHit


@dataclass(frozen=True, slots=True)
class ScanRow:
    """An image with the lesions that are there and the marks that were made."""

    origin: Origin
    label: str
    scan: Scan


_Row = TypeVar("_Row", LabelRow, ClassRow)


@dataclass(frozen=True, slots=True)
class Problem:
    """A truth that could not be compared: named, never dropped.

    Attributes:
        line: Line of the truth manifest.
        case_id: Empty where none was found.
        code: Stable short name.
        reason: What was seen.
    """

    line: int
    case_id: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Compared:
    """Everything that could be compared, and what could not.

    Attributes:
        labels: Of segmentations.
        classes: Of classifications.
        scans: Of detections.
        maps: Of heatmaps.
        problems: Truths without a comparison.
        without_truth: Cases of the output folder that the manifest does not name.
        notes: What a reader should know.
    """

    labels: tuple[LabelRow, ...]
    classes: tuple[ClassRow, ...]
    scans: tuple[ScanRow, ...]
    maps: tuple[MapRow, ...]
    problems: tuple[Problem, ...]
    without_truth: tuple[str, ...]
    notes: tuple[str, ...]


def compare(out: OutFolder, manifest: Path, settings: EvaluationSettings) -> Compared:
    """Compare every case that the manifest names with its truth.

    Raises:
        InputError: The manifest cannot be read, or names a truth twice.
    """
    rows = read_truth_table(manifest)
    places = Places(out)
    found = _Collected()
    named: set[str] = set()
    for row in rows:
        place = Place("")
        try:
            place = places.find(row, manifest.parent)
            named.add(place.case_id)
            report = read_report(out.case(place.case_id) / "case.json")
            found.add(row, place, _Case(out.case(place.case_id), report), settings)
        except PipelineError as error:
            found.problems.append(Problem(row.line, place.case_id, error.code, error.message))
    every = sorted(folder.name for folder in out.cases.iterdir()) if out.cases.is_dir() else []
    return Compared(
        tuple(found.labels.values()),
        tuple(found.classes.values()),
        tuple(found.scans.values()),
        tuple(found.maps.values()),
        tuple(found.problems),
        tuple(case_id for case_id in every if case_id not in named),
        tuple(sorted(found.notes)),
    )


@dataclass(frozen=True, slots=True)
class _Case:
    folder: Path
    report: CaseReport

    def origin(self, bundle: str, image_id: str) -> Origin:
        facts = next((image.facts for image in self.report.images if image.image_id == image_id), ImageFacts())
        return Origin(self.report.case_id, image_id, facts.patient_key or self.report.case_id, bundle, facts)

    @property
    def confidence_in_outline(self) -> float | None:
        report = self.report
        alone = len(report.segmentations or ()) == 1 and report.predictions is None and report.findings is None
        return report.confidence if alone and report.confidence_kind == "raw" else None

    def segmentations(self, image_id: str) -> list[Segmentation]:
        return [one for one in self.report.segmentations or () if image_id in {"", one.image_id}]


@dataclass(slots=True)
class _Collected:
    labels: dict[tuple[str, str, str], LabelRow] = dataclasses.field(default_factory=dict)
    classes: dict[tuple[str, str, str], ClassRow] = dataclasses.field(default_factory=dict)
    scans: dict[tuple[str, str, str], ScanRow] = dataclasses.field(default_factory=dict)
    maps: dict[tuple[str, str, str], MapRow] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    notes: set[str] = dataclasses.field(default_factory=set)

    def add(self, row: TruthRow, place: Place, case: _Case, settings: EvaluationSettings) -> None:
        if case.report.failure is not None:
            raise InputError(f"the case failed: {case.report.failure.reason}", code=case.report.failure.code)
        if row.is_positive is not None:
            self._add_class(row, place, case, is_positive=row.is_positive)
        elif row.label_map is not None:
            self._add_map(row.label_map, row, case, place, settings)

    def _add_class(self, row: TruthRow, place: Place, case: _Case, *, is_positive: bool) -> None:
        said: dict[tuple[str, str], Prediction] = {}
        for one in case.report.predictions or ():
            if one.target == row.target and place.image_id in {"", one.image_id}:
                key = one.bundle, one.image_id
                said[key] = _of_image(one, said.get(key))
        if not said:
            raise InputError(f"the case is {case.report.status} and has no score for {row.target}", code="no_result")
        for (bundle, image_id), one in said.items():
            found = ClassRow(
                case.origin(bundle, image_id),
                row.target,
                is_positive,
                one.score,
                one.score_kind,
                _is_covered(one, is_positive=is_positive),
                one.promised_coverage,
            )
            _put(self.classes, (bundle, image_id, row.target), found, row.line)

    def _add_map(self, path: Path, row: TruthRow, case: _Case, place: Place, settings: EvaluationSettings) -> None:
        drawn = case.segmentations(place.image_id)
        if not drawn:
            raise InputError(f"the case is {case.report.status} and has no segmentation to compare", code="no_result")
        mismatch: PipelineError | None = None
        compared = False
        for segmentation in drawn:
            try:
                self._compare(path, row, case, segmentation, settings)
                compared = True
            except GridMismatch as error:  # drawn on another image of the case
                mismatch = error
            except InputError as error:  # drawn by a network that looks for something else
                if error.code != "no_common_label":
                    raise
                mismatch = error
        if mismatch is not None and not compared:
            raise mismatch

    def _compare(
        self, path: Path, row: TruthRow, case: _Case, drawn: Segmentation, settings: EvaluationSettings
    ) -> None:
        labels = {label.value: label.name for label in drawn.labels}
        predicted = read_nifti_map(case.folder / drawn.file, labels)
        read = read_label_map(path, predicted.space, settings.truth_labels)
        truth = self._named(read, row, labels, settings)
        pairs = settings.same_label or {name: name for name in labels.values()}
        there = {name for layer in truth for name in layer.labels.values()}
        if not there & set(pairs.values()):
            raise InputError(
                f"no label in common: predicted are {sorted(labels.values())}, true are {sorted(there)}",
                hint="name them in truth_labels or pair them in same_label",
                code="no_common_label",
            )
        origin = case.origin(drawn.bundle, drawn.image_id)
        for layer in truth:
            if not set(layer.labels.values()) & set(pairs.values()):
                continue
            for hit in heatmap_hits(case.folder, case.report, drawn.image_id, layer, pairs):
                self.maps[hit.bundle, hit.image_id, hit.file] = MapRow(case.origin(hit.bundle, hit.image_id), hit)
            for score in compare_masks(predicted, layer, same_label=pairs, tolerance=settings.tolerance):
                key = drawn.bundle, drawn.image_id, score.label
                promised = _promised(drawn, score.label, pairs)
                _put(self.labels, key, LabelRow(origin, score, promised, case.confidence_in_outline), row.line)
                if case.report.findings is not None:
                    scan = _scan(origin, layer, score.label, case.report, settings)
                    self.scans[key] = ScanRow(origin, score.label, scan)

    def _named(
        self, truth: tuple[Mask, ...], row: TruthRow, labels: dict[int, str], settings: EvaluationSettings
    ) -> tuple[Mask, ...]:
        numbered = all(name == f"label_{value}" for layer in truth for value, name in layer.labels.items())
        if settings.truth_labels is not None or not numbered:
            return truth
        values = {value for layer in truth for value in layer.labels}
        if len(values) <= 1 and (row.label or len(set(labels.values())) == 1):
            name = row.label or next(iter(labels.values()))
            return tuple(Mask(layer.data, layer.space, dict.fromkeys(values or {1}, name)) for layer in truth)
        self.notes.add("the truth's label maps carry no names: values were taken for the network's own numbers")
        return tuple(Mask(layer.data, layer.space, {**layer.labels, **labels}) for layer in truth)


def _of_image(one: Prediction, other: Prediction | None) -> Prediction:
    # What is said of the whole image counts; a network that judges slices only says as much of the
    # image as of its worst slice.
    if other is None or (one.slice_k is None) != (other.slice_k is None):
        return one if other is None or one.slice_k is None else other
    return one if one.score > other.score else other


def _is_covered(one: Prediction, *, is_positive: bool) -> bool | None:
    if one.conformal_set is None:
        return None
    if is_positive:
        return one.target in one.conformal_set
    absence = absence_of(one.target)
    # Classes that exclude each other have no word for `not this one`: the row of the true class is asked.
    is_yes_or_no = set(one.conformal_set) <= {one.target, absence}
    return absence in one.conformal_set if is_yes_or_no else None


def _promised(drawn: Segmentation, label: str, pairs: dict[str, str]) -> float | None:
    # Several drawn labels may stand for one true label; the promise is then the weakest of theirs.
    promised = [bound for name, bound in drawn.promised_misses if pairs.get(name) == label]
    return max(promised, default=None)


def _put(rows: dict[tuple[str, str, str], _Row], key: tuple[str, str, str], row: _Row, line: int) -> None:
    if key in rows:
        raise InputError(
            f"line {line} of the truth manifest gives a second truth for the same image and label",
            hint="one truth per image and label; several readers are manifests of their own",
            code="duplicate_case",
        )
    rows[key] = row


def _scan(origin: Origin, truth: Mask, label: str, report: CaseReport, settings: EvaluationSettings) -> Scan:
    values = [value for value, name in truth.labels.items() if name == label]
    parts, _ = ndimage.label(np.isin(truth.data, values), np.ones((3, 3, 3), dtype=bool))
    voxels = np.bincount(parts.ravel())[1:]
    boxes = ndimage.find_objects(parts)
    stands_for = settings.same_label
    marks = tuple(
        mark_of(one)
        for one in report.findings or ()
        if one.image_id == origin.image_id and stands_for.get(one.label, one.label) == label
    )
    lesions = []
    for box, n in zip(boxes, voxels.tolist(), strict=True):
        size = _diameter(n, truth)
        low, high = (tuple(float(getattr(side, end)) for side in box) for end in ("start", "stop"))
        is_judged = size >= settings.detection.smallest_size
        lesions.append(Lesion((low[0], low[1], low[2]), (high[0], high[1], high[2]), size, is_judged))
    return Scan(f"{origin.case_id}/{origin.image_id}", origin.patient, tuple(lesions), marks)


def _diameter(voxels: int, truth: Mask) -> float:
    # Of the ball with the same volume: in mm on a Grid, else in voxels.
    volume = voxels * (truth.space.voxel_mm3 if isinstance(truth.space, Grid) else 1.0)
    return float((6 * volume / np.pi) ** (1 / 3))
