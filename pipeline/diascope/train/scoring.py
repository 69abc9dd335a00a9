"""How good a bundle is on the cases nobody trained on: by the main path's own steps.

The bundle is opened, run and brought back to the source's voxels exactly as a run
does it, so a figure on the card is one that a user will see.
"""

import csv
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo, read_bundle
from diascope.bundles.lock import digest_bundle, whole_digest
from diascope.bundles.network import open_network, prepare_input
from diascope.errors import InputError
from diascope.evaluation.bootstrap import Estimate, mean_estimate, resample
from diascope.evaluation.segmentation import dice
from diascope.findings import ImageFacts
from diascope.geometry import Grid, Space
from diascope.imaging.resample import GridOfLogits
from diascope.io.splits import Split
from diascope.tasks.inference import run_network
from diascope.tasks.segment import segment
from diascope.train.folds import training_cases
from diascope.train.label_maps import read_label_map, read_tissue_table
from diascope.train.manifest import ManifestCase, cases_of, check_digests
from diascope.train.settings import SynthesisSettings, TrainConfig
from diascope.train.sources import contrast_images
from diascope.train.volumes import read_case, read_image
from diascope.volume import Volume

log = logging.getLogger(__name__)

# Seed of the bootstrap: the same table gives the same interval.
BOOTSTRAP_SEED = 1


@dataclass(frozen=True, slots=True)
class TestScore:
    """Overlap of one label on one test image.

    Attributes:
        case: Name of the case.
        patient: Whose it is.
        condition: Contrast of a synthetic image; empty for a real one.
        label: Name of the label.
        dice: Overlap on the source's voxels; nan where both show nothing.
        truth_voxels: Voxels of the label in the truth.
        drawn_voxels: Voxels of the label that the bundle drew.
        seconds: Time from the image in memory to the label map.
    """

    case: str
    patient: str
    condition: str
    label: str
    dice: float
    truth_voxels: int
    drawn_voxels: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class ScoredImage:
    """An image to be scored.

    Attributes:
        case: Its case.
        condition: Contrast of a synthetic image; empty for a real one.
        volume: As a run reads it.
        truth: (i, j, k) number of the label at each voxel.
    """

    case: ManifestCase
    condition: str
    volume: Volume
    truth: NDArray[np.uint8]


def score_bundle(config: TrainConfig, folder: Path, split: Split = "test") -> tuple[TestScore, ...]:
    """Run a bundle on every test case of its manifest.

    Args:
        config: The training that made it.
        folder: The bundle.
        split: Other cases than those of the test: the held-out fold of a cross-validation.

    Raises:
        InputError: A test file is not the one the manifest names.
    """
    plain = read_bundle(folder)
    digest = whole_digest(digest_bundle(folder))
    bundle = BundleInfo(plain.name, plain.folder, plain.version, plain.description, plain.block, digest)
    scores: list[TestScore] = []
    for image in scored_images(config, split):
        found = _score(bundle, image, config)
        scores += found
        shown = ", ".join(f"{score.label} {score.dice:.3f}" for score in found)
        log.info("test case %s %s: %s (%.1f s)", image.case.case, image.condition, shown, found[0].seconds)
    return tuple(scores)


def summarise(scores: Sequence[TestScore]) -> dict[tuple[str, str], Estimate]:
    """Average Dice by label and condition, with a patient bootstrap; '' stands for all of them.

    Returns:
        Estimates by (label, condition).
    """
    labels = ["", *dict.fromkeys(score.label for score in scores)]
    conditions = ["", *(name for name in dict.fromkeys(score.condition for score in scores) if name)]
    found = {}
    for label in labels:
        for condition in conditions:
            rows = [row for row in scores if label in ("", row.label) and condition in ("", row.condition)]
            drawn = resample([row.patient for row in rows], np.random.default_rng(BOOTSTRAP_SEED))
            found[label, condition] = mean_estimate([row.dice for row in rows], drawn, nothing="absent everywhere")
    return found


def write_scores(scores: Sequence[TestScore], folder: Path, name: str = "test_scores.csv") -> None:
    """Write the table of scores beside the checkpoints."""
    with (folder / name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(TestScore)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(score) for score in scores)


def read_scores(source: Path) -> tuple[TestScore, ...]:
    """Read a table of scores again."""
    with source.open(newline="", encoding="utf-8") as stream:
        return tuple(
            TestScore(
                **{name: row[name] for name in ("case", "patient", "condition", "label")},
                dice=float(row["dice"]),
                truth_voxels=int(row["truth_voxels"]),
                drawn_voxels=int(row["drawn_voxels"]),
                seconds=float(row["seconds"]),
            )
            for row in csv.DictReader(stream)
        )


def scored_images(config: TrainConfig, split: Split) -> Iterator[ScoredImage]:
    """Read the images of a split one by one, as they are in the files; synthetic ones are made.

    Raises:
        InputError: A file is not the one the manifest names.
    """
    cases = cases_of(training_cases(config), split)
    check_digests(cases)
    if isinstance(config.source, SynthesisSettings):
        table = read_tissue_table(config.source, config.bundle.labels, config.data_root)
        for case in cases:
            source = read_label_map(case, table)
            i, j, k = source.index.shape
            grid = Grid((i, j, k), source.affine)
            for condition, made in contrast_images(source, table, config.source):
                image, truth = made["image"][0].numpy(), made["label"][0].numpy()
                yield ScoredImage(case, condition, _volume(image, grid, case), truth)
        return
    for case in cases:
        if case.image is None:
            raise InputError(f"case {case.case}: the manifest names no image for it")
        image, label = read_case(case, config.bundle.labels)
        space = read_image(case.image, case.case).space
        yield ScoredImage(case, "", _volume(image[0].numpy(), space, case), label[0].numpy().astype(np.uint8))


def _volume(data: NDArray[np.float32], space: Space, case: ManifestCase) -> Volume:
    # data: (i, j, k)
    return Volume(data=data, space=space, facts=ImageFacts(), image_id=case.case)


def _score(bundle: BundleInfo, image: ScoredImage, config: TrainConfig) -> tuple[TestScore, ...]:
    opened = open_network(bundle.folder, bundle.sha256, config.device)
    started = time.perf_counter()
    prepared = prepare_input(bundle, image.volume)
    logits = run_network(opened, prepared)
    mask = segment(GridOfLogits(logits, prepared.affine), image.volume.space, bundle)
    seconds = time.perf_counter() - started
    found = []
    for value, label in enumerate(config.bundle.labels, start=1):
        drawn, truth = mask.data == value, image.truth == value
        overlap = dice(drawn, truth)
        found.append(
            TestScore(
                case=image.case.case,
                patient=image.case.patient,
                condition=image.condition,
                label=label.name,
                dice=float("nan") if overlap is None else overlap,
                truth_voxels=int(np.count_nonzero(truth)),
                drawn_voxels=int(np.count_nonzero(drawn)),
                seconds=seconds,
            )
        )
    return tuple(found)
