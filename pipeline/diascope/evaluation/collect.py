"""From an output folder and its truth to rows: one per image and label, class or lesion."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diascope.errors import GridMismatch, InputError, PipelineError
from diascope.evaluation.answered import Answered, of_image, words_of
from diascope.evaluation.calibration_file import absence_of
from diascope.evaluation.detection import Lesion, Scan, mark_of
from diascope.evaluation.heatmap_hits import heatmap_hits
from diascope.evaluation.kept_probabilities import missed_of
from diascope.evaluation.rows import ClassRow, Compared, LabelRow, MapRow, Origin, Problem, ScanRow
from diascope.evaluation.segmentation import compare_masks
from diascope.evaluation.settings import EvaluationSettings
from diascope.evaluation.truth import Place, Places, TruthRow, read_truth_table
from diascope.findings import CaseReport, Prediction, Segmentation, read_report
from diascope.geometry import Grid
from diascope.io.labels.nifti_map import read_nifti_map
from diascope.io.labels.reading import read_label_map
from diascope.io.outfolder import OutFolder
from diascope.volume import Mask

_Row = TypeVar("_Row", LabelRow, ClassRow, ScanRow)


def compare(out: OutFolder, manifest: Path, settings: EvaluationSettings) -> Compared:
    """Compare every case that the manifest names with its truth.

    Raises:
        InputError: The manifest cannot be read, or names a truth twice.
    """
    rows = read_truth_table(manifest)
    places = Places(out)
    found = _Collected()
    matched: list[tuple[TruthRow, Place, CaseReport]] = []
    named: set[str] = set()
    for row in rows:
        place = Place("")
        try:
            place = places.find(row, manifest.parent)
            named.add(place.case_id)
            matched.append((row, place, read_report(out.case(place.case_id) / "case.json")))
        except PipelineError as error:
            found.problems.append(Problem(row.line, place.case_id, error.code, error.message, error.hint))
    words = words_of(report for _, _, report in matched)
    for row, place, report in matched:
        try:
            found.add(row, place, Answered(out.case(place.case_id), report, words), settings)
        except PipelineError as error:
            found.problems.append(Problem(row.line, place.case_id, error.code, error.message, error.hint))
    every = sorted(folder.name for folder in out.cases.iterdir()) if out.cases.is_dir() else []
    return Compared(
        tuple(found.labels.values()),
        (*found.classes.values(), *(row for key, row in found.seen_in_maps.items() if key not in found.classes)),
        tuple(found.scans.values()),
        tuple(found.maps.values()),
        tuple(sorted(found.problems, key=lambda problem: problem.line)),
        tuple(case_id for case_id in every if case_id not in named),
        tuple(sorted(found.notes)),
        tuple(found.slices.values()),
    )


@dataclass(slots=True)
class _Collected:
    labels: dict[tuple[str, str, str], LabelRow] = dataclasses.field(default_factory=dict)
    classes: dict[tuple[str, str, str], ClassRow] = dataclasses.field(default_factory=dict)
    seen_in_maps: dict[tuple[str, str, str], ClassRow] = dataclasses.field(default_factory=dict)
    slices: dict[tuple[str, str, str, int], ClassRow] = dataclasses.field(default_factory=dict)
    scans: dict[tuple[str, str, str], ScanRow] = dataclasses.field(default_factory=dict)
    maps: dict[tuple[str, str, str], MapRow] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    notes: set[str] = dataclasses.field(default_factory=set)

    def add(self, row: TruthRow, place: Place, case: Answered, settings: EvaluationSettings) -> None:
        if case.report.failure is not None:
            raise InputError(f"the case failed: {case.report.failure.reason}", code=case.report.failure.code)
        if row.is_positive is not None:
            self._add_class(row, place, case, is_positive=row.is_positive)
        elif row.label_map is not None:
            self._add_map(row.label_map, row, case, place, settings)

    def _add_class(self, row: TruthRow, place: Place, case: Answered, *, is_positive: bool) -> None:
        images = [image for image in case.judged_images(place.image_id) if case.classifiers(image)]
        said = [
            (bundle, image, one)
            for image in images
            for bundle, every in case.classifiers(image).items()
            if (one := of_image(every, row.target)) is not None
        ]
        if not said:
            raise InputError(f"the case is {case.report.status} and has no score for {row.target}", code="no_result")
        for bundle, image, one in said:
            found = _class_row(case.origin(bundle, image), one, is_positive=is_positive)
            _put(self.classes, (bundle, image, row.target), found, row.line)

    def _add_map(self, path: Path, row: TruthRow, case: Answered, place: Place, settings: EvaluationSettings) -> None:
        drawn, judged = case.segmentations(place.image_id), case.judged_images(place.image_id)
        if not drawn and not judged:
            raise InputError(f"the case is {case.report.status} and has no result to compare", code="no_result")
        mismatch: PipelineError | None = None
        compared = False
        comparisons: list[Callable[[], None]] = [
            *(partial(self._compare, path, row, case, one, settings) for one in drawn),
            *(partial(self._compare_judged, path, row, case, image, settings) for image in judged),
        ]
        for comparison in comparisons:
            try:
                comparison()
                compared = True
            except GridMismatch as error:  # of another image of the case
                mismatch = mismatch or error
            except InputError as error:  # of a network that looks for something else, or of an image that is not there
                if error.code not in {"no_common_label", "no_image"}:
                    raise
                mismatch = mismatch or error
        if mismatch is not None and not compared:
            raise mismatch

    def _compare(
        self, path: Path, row: TruthRow, case: Answered, drawn: Segmentation, settings: EvaluationSettings
    ) -> None:
        labels = {label.value: label.name for label in drawn.labels}
        predicted = read_nifti_map(case.folder / drawn.file, labels)
        read = read_label_map(path, predicted.space, settings.truth_labels)
        truth, pairs = self._paired(read, row, labels, labels.values(), settings)
        origin = case.origin(drawn.bundle, drawn.image_id)
        for layer in truth:
            self._add_hits(case, drawn.image_id, layer, pairs)
            for score in compare_masks(predicted, layer, same_label=pairs, tolerance=settings.tolerance):
                key = drawn.bundle, drawn.image_id, score.label
                promised = _promised(drawn, score.label, pairs)
                missed = missed_of(case.folder, drawn, layer, score.label, pairs)
                _put(self.labels, key, LabelRow(origin, score, promised, case.confidence_in_outline, missed), row.line)

    def _compare_judged(
        self, path: Path, row: TruthRow, case: Answered, image_id: str, settings: EvaluationSettings
    ) -> None:
        """Take lesions, and whether a class is there, from a truth that is a label map."""
        drawn = case.segmentations(image_id)
        detectors, classifiers = case.detectors(image_id), case.classifiers(image_id)
        # A detector that found nothing anywhere is taken to have looked for what the row names.
        looked_for = {one: case.words.get(one, frozenset({row.label} - {""})) for one in (*detectors, *classifiers)}
        names = sorted(frozenset().union(*looked_for.values()))
        # Values without names are those of the network that draws, where there is one. What several classes would be
        # numbered nobody knows: such a truth has to be named.
        labels = {label.value: label.name for label in drawn[0].labels} if drawn else {}
        if not drawn and len(names) == 1:
            labels = {1: names[0]}
        read = read_label_map(path, case.space_of(image_id), settings.truth_labels)
        truth, pairs = self._paired(read, row, labels, names, settings)
        for layer in truth:
            self._add_hits(case, image_id, layer, pairs)
            there = set(layer.labels.values())
            for label in dict.fromkeys(true for true in pairs.values() if true in there):
                meant = {name for name, true in pairs.items() if true == label}
                for bundle in (one for one in detectors if meant & looked_for[one]):
                    origin = case.origin(bundle, image_id)
                    found = ScanRow(origin, label, _scan(origin, layer, label, case.report, settings))
                    _put(self.scans, (bundle, image_id, label), found, row.line)
                values = [value for value, name in layer.labels.items() if name == label]
                shown = np.asarray(np.isin(layer.data, values).any(axis=(0, 1)))
                self._add_slices(case, image_id, meant, shown)
                is_positive = bool(shown.any())
                said = [
                    (bundle, of_image(every, name)) for bundle, every in classifiers.items() for name in sorted(meant)
                ]
                for bundle, one in said:
                    if one is not None:
                        here = _class_row(case.origin(bundle, image_id), one, is_positive=is_positive)
                        _put(self.seen_in_maps, (bundle, image_id, one.target), here, row.line)

    def _add_slices(self, case: Answered, image_id: str, meant: set[str], shown: NDArray[np.bool_]) -> None:
        # (k,) shown: whether a slice has a voxel of it. Another layer of the truth may show it, too.
        for bundle, said in case.classifiers(image_id).items():
            here = [each for each in said if each.slice_k is not None and each.target in meant]
            # The truth is of whole slices: of several parts of one the surest speaks for it, and is the last to be put.
            for one in sorted(here, key=lambda each: (each.target, each.slice_k or 0, each.score)):
                key = bundle, image_id, one.target, one.slice_k or 0
                is_positive = bool(shown[key[3]]) or (key in self.slices and self.slices[key].is_positive)
                self.slices[key] = _class_row(case.origin(bundle, image_id), one, is_positive=is_positive)

    def _add_hits(self, case: Answered, image_id: str, truth: Mask, pairs: Mapping[str, str]) -> None:
        for hit in heatmap_hits(case.folder, case.report, image_id, truth, pairs):
            self.maps[hit.bundle, hit.image_id, hit.file] = MapRow(case.origin(hit.bundle, hit.image_id), hit)

    def _paired(
        self,
        read: tuple[Mask, ...],
        row: TruthRow,
        labels: dict[int, str],
        names: Iterable[str],
        settings: EvaluationSettings,
    ) -> tuple[tuple[Mask, ...], dict[str, str]]:
        """Name a truth, and say which true label each predicted one stands for; layers without any are left out."""
        truth = self._named(read, row, labels, settings)
        pairs = settings.same_label or {name: name for name in names}
        there = {name for layer in truth for name in layer.labels.values()}
        if not there & set(pairs.values()):
            raise InputError(
                f"no label in common: predicted are {sorted(pairs)}, true are {sorted(there)}",
                hint="name them in truth_labels or pair them in same_label",
                code="no_common_label",
            )
        return tuple(layer for layer in truth if set(layer.labels.values()) & set(pairs.values())), pairs

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
        if not labels:
            return truth
        self.notes.add("the truth's label maps carry no names: values were taken for the network's own numbers")
        return tuple(Mask(layer.data, layer.space, {**layer.labels, **labels}) for layer in truth)


def _class_row(origin: Origin, one: Prediction, *, is_positive: bool) -> ClassRow:
    is_covered, promised = _is_covered(one, is_positive=is_positive), one.promised_coverage
    return ClassRow(origin, one.target, is_positive, one.score, one.score_kind, is_covered, promised, one.slice_k)


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
        if (one.bundle, one.image_id) == (origin.bundle, origin.image_id)
        and stands_for.get(one.label, one.label) == label
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
