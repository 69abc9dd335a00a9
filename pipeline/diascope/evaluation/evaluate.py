"""`diascope evaluate`: from an output folder and its truth to tables and figures with intervals."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diascope.config import settings_hash
from diascope.errors import InputError
from diascope.evaluation.bootstrap import Estimate
from diascope.evaluation.calibration_file import write_calibration
from diascope.evaluation.classification import ClassificationSummary, summarise_classification
from diascope.evaluation.collect import compare
from diascope.evaluation.detection import Lesion, Mark
from diascope.evaluation.froc import DetectionSummary, summarise_detection
from diascope.evaluation.heatmap_hits import HitRate, hit_rates
from diascope.evaluation.learnt import Learnt, calibrations_of, learn
from diascope.evaluation.promises import Kept, Promise, check_promises
from diascope.evaluation.recalibrate import MissRecalibration, OutlineRecalibration, Recalibration
from diascope.evaluation.rows import ClassRow, Compared, LabelRow, MapRow, Origin, ScanRow
from diascope.evaluation.segmentation_summary import LabelSummary, summarise_labels
from diascope.evaluation.settings import EvaluationSettings
from diascope.image_facts import GROUP_FACTS
from diascope.io.outfolder import OutFolder, output_errors, write_atomic

FORMAT = 1
"""Version of evaluation.json."""

Key = tuple[str, str]

# Beside a row without a heatmap, or whose truth was no label map.
UNHIT: dict[str, Any] = {"heatmap_hit": None, "truth_volume": None}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the results of an output folder are worth.

    Attributes:
        compared: The rows behind it.
        segmentation: By bundle and label.
        classification: By bundle and target.
        detection: By bundle and label.
        learnt: What the run teaches about its networks; empty if it was not asked for.
        promises: Whether what a calibration promised was kept here.
        settings: How it was compared.
        slices: Of single slices, by bundle and target.
    """

    compared: Compared
    segmentation: Mapping[Key, LabelSummary]
    classification: Mapping[Key, ClassificationSummary]
    detection: Mapping[Key, DetectionSummary]
    learnt: Learnt
    promises: tuple[Promise, ...]
    settings: EvaluationSettings
    slices: Mapping[Key, ClassificationSummary]


def evaluate(out: OutFolder, manifest: Path, settings: EvaluationSettings) -> Evaluation:
    """Compare an output folder with its truth and summarise it, patients drawn as a whole.

    Raises:
        InputError: Nothing could be compared.
    """
    compared = compare(out, manifest, settings)
    if not (compared.labels or compared.classes or compared.slices or compared.scans or compared.maps):
        first = compared.problems[0] if compared.problems else None
        raise InputError(
            f"none of {len(compared.problems)} truths could be compared;"
            f" the first: {'the manifest is empty' if first is None else first.reason}",
            hint="" if first is None else first.cure,
            code="nothing_compared",
        )
    rng = np.random.default_rng(settings.seed)
    return Evaluation(
        compared,
        _segmentation(compared.labels, rng, settings.rounds),
        _classification(compared.classes, rng, settings),
        _detection(compared.scans, rng, settings),
        learn(compared, settings, rng) if settings.calibrate else Learnt(),
        _promises(compared),
        settings,
        _classification(compared.slices, rng, settings),
    )


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write evaluation.json and the tables segmentation, classification, lesions, heatmaps and problems.csv.

    Args:
        evaluation: What was found.
        folder: Where to; made if need be.
    """
    with output_errors("the evaluation"):
        folder.mkdir(parents=True, exist_ok=True)
    compared = evaluation.compared
    write_atomic(folder / "evaluation.json", json.dumps(as_json(evaluation), indent=1, allow_nan=False) + "\n")
    hits, stands_for = _hits(compared.maps), evaluation.settings.same_label
    tables = {
        "segmentation.csv": [
            {**_label_row(row), "heatmap_hit": hits.get(_place(row.origin, row.score.label), UNHIT)["heatmap_hit"]}
            for row in compared.labels
        ],
        "classification.csv": [
            _class_row(row) | hits.get(_place(row.origin, stands_for.get(row.target, row.target)), UNHIT)
            for row in compared.classes
        ],
        "lesions.csv": [
            line | hits.get(_place(row.origin, row.label), UNHIT)
            for row in compared.scans
            for line in _lesion_rows(row)
        ],
        "slices.csv": [_class_row(row) | {"slice_k": row.slice_k} for row in compared.slices],
        "heatmaps.csv": [_map_row(row) for row in compared.maps],
        "problems.csv": [asdict(problem) for problem in compared.problems],
    }
    for name, rows in tables.items():
        if rows:
            write_atomic(folder / name, _csv(rows))
        else:  # of an earlier evaluation: an audit would read it as if it belonged to this one
            with output_errors("the evaluation"):
                (folder / name).unlink(missing_ok=True)
    for bundle, learnt in calibrations_of(evaluation.learnt).items():
        write_calibration(folder / f"calibration.{bundle}.json", learnt)


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Give the figures as plain values: what evaluation.json holds."""
    compared = evaluation.compared
    return {
        "format": FORMAT,
        "settings": evaluation.settings.model_dump(mode="json"),
        "settings_sha256": settings_hash(evaluation.settings),
        "segmentation": [_summary(key, one) for key, one in evaluation.segmentation.items()],
        "classification": [_summary(key, one) for key, one in evaluation.classification.items()],
        "detection": [_summary(key, one) for key, one in evaluation.detection.items()],
        "slices": [_summary(key, one) for key, one in evaluation.slices.items()],
        "calibration": [_learnt(key, one) for key, one in evaluation.learnt.images.items()],
        "calibration_of_slices": [_learnt(key, one) for key, one in evaluation.learnt.slices.items()],
        "calibration_of_outlines": [_learnt((bundle, ""), one) for bundle, one in evaluation.learnt.outlines.items()],
        "calibration_of_misses": [_learnt(key, one) for key, one in evaluation.learnt.misses.items()],
        "heatmaps": [_rate(key, one) for key, one in hit_rates([row.hit for row in compared.maps]).items()],
        "promises": [asdict(promise) for promise in evaluation.promises],
        "problems": [asdict(problem) for problem in compared.problems],
        "cases_without_truth": list(compared.without_truth),
        "notes": list(compared.notes),
    }


def scalars(evaluation: Evaluation) -> dict[str, float]:
    """Give every defined figure by a flat name, `bundle.label.metric`: for tracking."""
    found = {}
    every: list[tuple[Key, Mapping[str, Estimate]]] = [
        *((key, one.metrics) for key, one in evaluation.segmentation.items()),
        *((key, one.metrics) for key, one in evaluation.classification.items()),
        *((key, one.metrics) for key, one in evaluation.detection.items()),
        *(((bundle, f"{name}.slices"), one.metrics) for (bundle, name), one in evaluation.slices.items()),
    ]
    for (bundle, name), metrics in every:
        found.update({f"{bundle}.{name}.{k}": v.value for k, v in metrics.items() if v.value is not None})
    for (bundle, name, method), rate in hit_rates([row.hit for row in evaluation.compared.maps]).items():
        found[f"{bundle}.{name}.heatmap_hit_rate.{method}"] = rate.hits / rate.maps
    return found


def _by_key(rows: Iterable[Any], name: str) -> dict[Key, list[Any]]:
    found: dict[Key, list[Any]] = {}
    for row in rows:
        value = row.score.label if name == "score" else getattr(row, name)
        found.setdefault((row.origin.bundle, value), []).append(row)
    return found


def _segmentation(rows: Sequence[LabelRow], rng: np.random.Generator, rounds: int) -> dict[Key, LabelSummary]:
    found = {}
    for key, group in _by_key(rows, "score").items():
        scores, patients = [row.score for row in group], [row.origin.patient for row in group]
        found[key] = summarise_labels(scores, patients, rng, rounds)[key[1]]
    return found


def _classification(
    rows: Sequence[ClassRow], rng: np.random.Generator, settings: EvaluationSettings
) -> dict[Key, ClassificationSummary]:
    return {
        key: summarise_classification(
            [row.is_positive for row in group],
            [row.score for row in group],
            [row.origin.patient for row in group],
            settings.threshold,
            rng,
            settings.rounds,
        )
        for key, group in _by_key(rows, "target").items()
    }


def _detection(
    rows: Sequence[ScanRow], rng: np.random.Generator, settings: EvaluationSettings
) -> dict[Key, DetectionSummary]:
    rules = settings.detection_rules()
    return {
        key: summarise_detection([row.scan for row in group], rules, rng, settings.rounds)
        for key, group in _by_key(rows, "label").items()
    }


def _promises(compared: Compared) -> tuple[Promise, ...]:
    covered = [
        Kept(row.origin.bundle, name, row.promised, float(row.covered), row.origin.patient, _facts(row.origin))
        for row, name in _promising(compared)
        if row.promised is not None and row.covered is not None
    ]
    missed = [
        Kept(row.origin.bundle, row.score.label, row.promised, share, row.origin.patient, _facts(row.origin))
        for row in compared.labels
        if row.promised is not None and (share := row.score.missed_share) is not None
    ]
    return (*check_promises("coverage", covered), *check_promises("missed_volume", missed))


def _promising(compared: Compared) -> Iterator[tuple[ClassRow, str]]:
    """Name what each row is about: a promise about slices is none about images, and the other way round."""
    # A row of an image that only its worst slice speaks for promises nothing of the image.
    yield from ((row, row.target) for row in compared.classes if row.slice_k is None)
    yield from ((row, f"{row.target} in slices") for row in compared.slices)


def _rate(key: tuple[str, str, str], rate: HitRate) -> dict[str, Any]:
    return dict(zip(("bundle", "label", "method"), key, strict=True)) | asdict(rate)


def _learnt(key: Key, one: Recalibration | OutlineRecalibration | MissRecalibration) -> dict[str, Any]:
    found = {"bundle": key[0], "name": key[1], **asdict(one)}
    found["learnt"] = one.learnt.model_dump(mode="json") if one.learnt is not None else None
    return found


def _summary(key: Key, summary: LabelSummary | ClassificationSummary | DetectionSummary) -> dict[str, Any]:
    found: dict[str, Any] = {"bundle": key[0], "name": key[1]}
    for name in type(summary).__dataclass_fields__:
        value = getattr(summary, name)
        if name == "metrics":
            value = {metric: asdict(estimate) for metric, estimate in value.items()}
        elif name == "by_size":
            value = {size: {k: asdict(v) for k, v in metrics.items()} for size, metrics in value.items()}
        elif name == "curve":
            value = None if value is None else {k: getattr(value, k).tolist() for k in value.__dataclass_fields__}
        found[name] = value
    return found


def _origin(origin: Origin) -> dict[str, Any]:
    ids = {name: getattr(origin, name) for name in ("case_id", "image_id", "patient", "bundle")}
    return {**ids, **_facts(origin)}


def _facts(origin: Origin) -> dict[str, Any]:
    return {**{name: getattr(origin.facts, name) for name in GROUP_FACTS}, **dict(origin.facts.extra)}


def _label_row(row: LabelRow) -> dict[str, Any]:
    score = asdict(row.score)
    for kept_elsewhere in ("lesion_volumes", "lesion_found"):
        score.pop(kept_elsewhere)
    return {**_origin(row.origin), **score, "volume_error": row.score.volume_error}


def _class_row(row: ClassRow) -> dict[str, Any]:
    said = {"target": row.target, "y": int(row.is_positive), "score": row.score, "score_kind": row.score_kind}
    return {**_origin(row.origin), **said, "covered": None if row.covered is None else int(row.covered)}


def _map_row(row: MapRow) -> dict[str, Any]:
    hit = row.hit
    about = {"label": hit.label, "method": hit.method, "trust": hit.trust, "file": hit.file}
    return {**_origin(row.origin), **about, "truth_mm3": hit.truth_mm3, **asdict(hit.where), "hit": int(hit.where.hit)}


def _hits(maps: Sequence[MapRow]) -> dict[tuple[str, ...], dict[str, Any]]:
    # By case, network, image and label; of the maps of several findings one is enough.
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in maps:
        place = row.origin.case_id, row.hit.bundle, row.hit.image_id, row.hit.label
        before = found.get(place, UNHIT)["heatmap_hit"] or 0
        found[place] = {"heatmap_hit": max(before, int(row.hit.where.hit)), "truth_volume": row.hit.truth_mm3}
    return found


def _place(origin: Origin, label: str) -> tuple[str, ...]:
    return origin.case_id, origin.bundle, origin.image_id, label


def _lesion_rows(row: ScanRow) -> list[dict[str, Any]]:
    origin = {**_origin(row.origin), "label": row.label, "scan": row.scan.scan_id}
    found = []
    for lesion in row.scan.lesions:
        kind = "lesion" if lesion.is_judged else "not_judged"
        found.append({**origin, "kind": kind, **_corners(lesion), "size": lesion.size})
    found += [{**origin, "kind": "mark", **_corners(mark), "score": mark.score} for mark in row.scan.marks]
    # A scan with neither is a scan all the same.
    return found or [{**origin, "kind": "empty"}]


def _corners(box: Lesion | Mark) -> dict[str, float]:
    return dict(zip(("i0", "j0", "k0", "i1", "j1", "k1"), (*box.low, *box.high), strict=True))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
