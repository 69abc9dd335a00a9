"""How good a classifier or a detector is on cases nobody trained on: by the main path's own steps."""

import csv
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo, read_bundle
from diascope.bundles.lock import digest_bundle, whole_digest
from diascope.bundles.network import open_network, prepare_input
from diascope.evaluation.detection import Corner, Lesion, Mark, Scan, mark_of, match
from diascope.evaluation.froc import froc_curve
from diascope.findings import ImageFacts
from diascope.geometry import Space, affine_of
from diascope.imaging.components import components
from diascope.imaging.resample import GridOfLogits
from diascope.io.splits import Split
from diascope.tasks.classify import classify
from diascope.tasks.detect import detect
from diascope.tasks.inference import run_network
from diascope.train.classification_source import shown_classes
from diascope.train.detection_source import slice_scans
from diascope.train.folds import training_cases
from diascope.train.manifest import ManifestCase, cases_of, check_digests
from diascope.train.settings import TrainConfig
from diascope.train.source_settings import BoxSettings, ClassSettings, class_of
from diascope.train.volumes import read_case, read_image
from diascope.volume import Mask, Volume

log = logging.getLogger(__name__)

# Smaller parts of a mask are specks of the outline: marks on them are neither right nor wrong.
JUDGED_VOXELS = 100

_CORNERS = ("i0", "j0", "k0", "i1", "j1", "k1")


@dataclass(frozen=True, slots=True)
class ClassScore:
    """What was said of one slice, or of an image that is judged as a whole, and what is true.

    Attributes:
        case: Name of the case.
        patient: Whose it is.
        target: Name of the label.
        slice_k: Which slice; None of an image with one.
        is_shown: Whether it is there.
        score: 0..1.
        seconds: Time of the whole case, from the image in memory.
    """

    case: str
    patient: str
    target: str
    slice_k: int | None
    is_shown: bool
    score: float
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class BoxScore:
    """What was found in one case.

    Attributes:
        case: The case.
        scan: Lesions and findings in voxels of the source, findings of every score.
        slices: The same slice by slice, on the grid of the network.
        seconds: Time of the whole case, from the image in memory.
    """

    case: ManifestCase
    scan: Scan
    slices: tuple[Scan, ...]
    seconds: float


def score_classes(config: TrainConfig, folder: Path, split: Split = "test") -> tuple[ClassScore, ...]:
    """Run a classifier on every case of a split.

    Args:
        config: The training that made it.
        folder: The bundle.
        split: Which cases.

    Raises:
        InputError: A file is not the one the manifest names.
    """
    settings = config.source
    if not isinstance(settings, ClassSettings):
        raise TypeError("only a training on classes has classes to score")
    bundle = digested(folder)
    scores: list[ClassScore] = []
    for case, volume in cases_with_images(config, split):
        seen, seconds = _seen(bundle, volume, config.device)
        truth = _truth(case, config, settings, volume.data.shape[2])
        said = [
            one for one in classify(seen, volume.space, bundle, case.case) if (one.slice_k is None) == (len(truth) == 1)
        ]
        for one in said:
            number = next(label.value for label in bundle.labels if label.name == one.target)
            is_shown = bool(truth[one.slice_k or 0] == number)
            scores.append(ClassScore(case.case, case.patient, one.target, one.slice_k, is_shown, one.score, seconds))
        log.info("%s case %s: %d scores (%.1f s)", split, case.case, len(said), seconds)
    return tuple(scores)


def score_boxes(config: TrainConfig, folder: Path, split: Split = "test") -> tuple[BoxScore, ...]:
    """Run a detector on every case of a split; findings of every score are kept.

    Args:
        config: The training that made it.
        folder: The bundle.
        split: Which cases.

    Raises:
        InputError: A file is not the one the manifest names.
    """
    settings = config.source
    if not isinstance(settings, BoxSettings):
        raise TypeError("only a training on boxes has boxes to score")
    bundle = digested(folder)
    lenient = replace(bundle, block=bundle.block.model_copy(update={"min_score": 0.0}))
    scores = []
    for case, volume in cases_with_images(config, split):
        seen, seconds = _seen(bundle, volume, config.device)
        truth = read_case(case, config.bundle.labels)[1][0].numpy().astype(np.uint8)
        found = detect(seen, volume.space, lenient, case.case)
        scan = Scan(case.case, case.patient, _lesions(truth, volume.space), tuple(mark_of(one) for one in found))
        on_grid = torch.from_numpy(_on_network_grid(truth, seen, volume.space, _in_plane(bundle, volume)))
        slices = slice_scans(case.case, torch.from_numpy(seen.logits), on_grid, settings.smallest_pixels)
        scores.append(BoxScore(case, scan, tuple(replace(one, patient=case.patient) for one in slices), seconds))
        log.info(
            "%s case %s: %d findings of %d lesions (%.1f s)", split, case.case, len(found), len(scan.lesions), seconds
        )
    return tuple(scores)


def lowest_score(scores: Sequence[BoxScore], false_positives_per_scan: float) -> float:
    """Find from which score on findings are to be reported.

    Args:
        scores: Of the calibration split.
        false_positives_per_scan: At most so many, on those scans.

    Returns:
        The lowest score that keeps to it; 0.5 where none does.
    """
    curve = froc_curve([match(one.scan) for one in scores])
    fitting = curve.threshold[curve.fp_per_scan <= false_positives_per_scan]
    # Rounded down, so that the finding that set it passes.
    return float(np.floor(fitting.min() * 1000) / 1000) if len(fitting) else 0.5


def digested(folder: Path) -> BundleInfo:
    """Read a bundle that lies in no lock yet, with the digest over its files as they are."""
    return replace(read_bundle(folder), sha256=whole_digest(digest_bundle(folder)))


def cases_with_images(config: TrainConfig, split: Split) -> Iterator[tuple[ManifestCase, Volume]]:
    """Read the image of every case of a split.

    Raises:
        InputError: A file is not the one the manifest names.
    """
    cases = cases_of(training_cases(config), split)
    check_digests(cases)
    for case in cases:
        if case.image is not None:
            read = read_image(case.image, case.case)
            yield case, Volume(read.values, read.space, ImageFacts(), case.case)


def write_class_scores(scores: Sequence[ClassScore], target: Path) -> None:
    """Write a row per score."""
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(ClassScore)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(score) for score in scores)


def read_class_scores(source: Path) -> tuple[ClassScore, ...]:
    """Read a table of scores again."""
    with source.open(newline="", encoding="utf-8") as stream:
        return tuple(
            ClassScore(
                **{name: row[name] for name in ("case", "patient", "target")},
                slice_k=int(row["slice_k"]) if row["slice_k"] else None,
                is_shown=row["is_shown"] == "True",
                score=float(row["score"]),
                seconds=float(row["seconds"]),
            )
            for row in csv.DictReader(stream)
        )


def write_box_scores(scores: Sequence[BoxScore], target: Path) -> None:
    """Write a row per scan, one per lesion in it and one per finding."""
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["case", "patient", "what", "score", *_CORNERS, "size_voxels", "is_judged"])
        for one in scores:
            whose = [one.case.case, one.case.patient]
            # A scan in which nothing is and nothing was found counts, too.
            writer.writerow([*whose, "scan", *[""] * 9])
            for lesion in one.scan.lesions:
                writer.writerow([*whose, "lesion", "", *lesion.low, *lesion.high, lesion.size, lesion.is_judged])
            for mark in one.scan.marks:
                writer.writerow([*whose, "finding", mark.score, *mark.low, *mark.high, "", ""])


def read_box_scans(source: Path) -> tuple[Scan, ...]:
    """Read the scans of a table of boxes again."""
    with source.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    of_case: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        of_case.setdefault(row["case"], []).append(row)
    return tuple(
        Scan(
            case,
            mine[0]["patient"],
            tuple(
                Lesion(*_corners(row), float(row["size_voxels"]), row["is_judged"] == "True")
                for row in mine
                if row["what"] == "lesion"
            ),
            tuple(Mark(*_corners(row), float(row["score"])) for row in mine if row["what"] == "finding"),
        )
        for case, mine in of_case.items()
    )


def _corners(row: Mapping[str, str]) -> tuple[Corner, Corner]:
    i0, j0, k0, i1, j1, k1 = (float(row[name]) for name in _CORNERS)
    return (i0, j0, k0), (i1, j1, k1)


def _seen(bundle: BundleInfo, volume: Volume, device: str) -> tuple[GridOfLogits, float]:
    opened = open_network(bundle.folder, bundle.sha256, device)
    started = time.perf_counter()
    prepared = prepare_input(bundle, volume)
    seen = GridOfLogits(run_network(opened, prepared), prepared.affine)
    return seen, time.perf_counter() - started


def _truth(case: ManifestCase, config: TrainConfig, settings: ClassSettings, slices: int) -> NDArray[np.int64]:
    if settings.column is not None:
        return np.full(slices, class_of(case, settings) or 0, dtype=np.int64)
    mask = read_case(case, config.bundle.labels)[1][0].numpy().astype(np.int64)
    # On the source's voxels one is enough: what the network's grid is too coarse for is its own fault.
    return shown_classes(mask, 1)


def _lesions(truth: NDArray[np.uint8], space: Space) -> tuple[Lesion, ...]:
    mask = Mask(truth, space, {int(value): str(value) for value in np.unique(truth) if value})
    found = []
    for value in mask.labels:
        for part in components(mask, value):
            low, high = (tuple(float(edge) for edge in corner) for corner in part.box_ijk)
            judged = part.size_voxels >= JUDGED_VOXELS
            found.append(Lesion((low[0], low[1], low[2]), (high[0], high[1], high[2]), part.size_voxels, judged))
    return tuple(found)


def _in_plane(bundle: BundleInfo, volume: Volume) -> tuple[int, int]:
    _, rows, columns, _ = prepare_input(bundle, volume).data.shape
    return rows, columns


def _on_network_grid(
    truth: NDArray[np.uint8], seen: GridOfLogits, space: Space, in_plane: tuple[int, int]
) -> NDArray[np.uint8]:
    """Take the nearest voxel of a label map for each of the network's; outside the source is nothing."""
    axes = (np.arange(in_plane[0]), np.arange(in_plane[1]), np.arange(seen.logits.shape[-1]))
    index_ijk = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    to_source = np.linalg.inv(affine_of(space)) @ seen.affine
    at = np.rint(index_ijk @ to_source[:3, :3].T + to_source[:3, 3]).astype(int)
    inside = ((at >= 0) & (at < truth.shape)).all(axis=-1)
    clipped = np.clip(at, 0, np.array(truth.shape) - 1)
    return np.where(inside, truth[tuple(np.moveaxis(clipped, -1, 0))], 0).astype(np.uint8)
