"""Do features find images that a network was not made for? `python benchmarks/out_of_distribution.py DATA`.

DATA is a folder as named in data_manifests/lgg_flair.csv. The features of
flair_glioma_segmentation on its training and calibration patients are the reference
(what a bundle ships is its calibration split only: 8 patients here, too few). Asked are
its test patients as they are, and changed in ways that break a network while the file
looks fine. Printed are the share beyond the border (score above 1), the AUC of the score
against the unchanged images, and what the changes do to Dice; beside it Mahalanobis'
distance with a shrunken covariance. The last lines say what taking features costs.
"""

import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.bundles.network import OpenNetwork, open_network, prepare_input
from diascope.evaluation.out_of_distribution import ReferenceFeatures, Yardstick
from diascope.evaluation.segmentation import dice
from diascope.findings import ImageFacts
from diascope.geometry import IndexGrid, affine_of
from diascope.imaging.resample import GridOfLogits, labels_on_grid
from diascope.tasks.features import watched
from diascope.tasks.inference import run_network
from diascope.volume import Volume

BUNDLE = "flair_glioma_segmentation"
MANIFEST = Path(__file__).parents[1] / "data_manifests" / "lgg_flair.csv"

Image = NDArray[np.float32]


def noisy(image: Image) -> Image:
    """Add noise of a third of the brightest grey value."""
    return image + np.random.default_rng(0).normal(0, image.max() / 3, image.shape).astype(np.float32)


def middle(image: Image) -> Image:
    """Keep the middle half along both axes of the slices."""
    i, j = image.shape[0] // 4, image.shape[1] // 4
    return image[i:-i, j:-j]


def striped(image: Image) -> Image:
    """Lay stripes over the image, as a disturbed receiver does."""
    wave = 1 + 0.8 * np.sin(np.arange(image.shape[1]) / 2)
    return image * wave[None, :, None].astype(np.float32)


CHANGES: dict[str, Callable[[Image], Image]] = {
    "as it is": lambda image: image,
    "noise": noisy,
    "inverted": lambda image: image.max() - image,
    "blurred": lambda image: ndimage.gaussian_filter(image, (6, 6, 0)),
    "turned by 90 degrees": lambda image: np.rot90(image).copy(),
    "half the field of view": middle,
    "stripes": striped,
}


def main() -> None:
    """Measure and print."""
    data = Path(sys.argv[1])
    rows = list(csv.DictReader(MANIFEST.open(encoding="utf-8")))
    bundle = find_bundle(BUNDLE)
    opened = open_network(bundle.folder, bundle.sha256, "cpu")
    known = np.stack([_seen(bundle, opened, _read(data / row["image"]))[0] for row in rows if row["split"] != "test"])
    yardstick = Yardstick(ReferenceFeatures(known, np.arange(len(known)), "bottleneck"))
    shrunken = LedoitWolf().fit((known - known.mean(0)) / (known.std(0) + 1e-6))
    spread = known.std(0) + 1e-6
    test = [row for row in rows if row["split"] == "test"]
    usual: tuple[list[float], list[float]] | None = None
    print(f"{len(known)} reference images, {known.shape[1]} features, {len(test)} test images")
    for name, change in CHANGES.items():
        near, far, fit = [], [], []
        for row in test:
            image, truth = _read(data / row["image"]), _read(data / row["label"]) > 0
            changed, moved = change(image), truth
            if name in {"turned by 90 degrees", "half the field of view"}:
                moved = change(truth.astype(np.float32)) > 0
            features, drawn = _seen(bundle, opened, changed)
            near.append(yardstick.score(features))
            far.append(float(shrunken.mahalanobis(((features - known.mean(0)) / spread)[None])[0]))
            fit.append(dice(drawn, moved) or 0.0)
        usual = usual or (near, far)
        kinds = [0] * len(test) + [1] * len(test)
        auc = [roc_auc_score(kinds, [*clean, *seen]) for clean, seen in zip(usual, (near, far), strict=True)]
        print(
            f"{name:<24} median score {np.median(near):6.2f}  beyond {np.mean(np.array(near) > 1):5.2f}"
            f"  AUC {auc[0]:.2f} (Mahalanobis {auc[1]:.2f})  mean Dice {np.mean(fit):.3f}"
        )
    _cost(bundle, opened, _read(data / test[0]["image"]))


def _read(path: Path) -> Image:
    return np.asarray(nib.load(path).dataobj, dtype=np.float32)


def _seen(bundle: BundleInfo, opened: OpenNetwork, image: Image) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    i, j, k = image.shape
    volume = Volume(np.ascontiguousarray(image), IndexGrid((i, j, k)), ImageFacts(), "image")
    prepared = prepare_input(bundle, volume)
    with watched(opened.network) as watch:
        logits = run_network(opened, prepared)
    labels = labels_on_grid(GridOfLogits(logits, prepared.affine), volume.space.shape, affine_of(volume.space))
    return watch.vector(), labels > 0


def _cost(bundle: BundleInfo, opened: OpenNetwork, image: Image) -> None:
    i, j, k = image.shape
    prepared = prepare_input(bundle, Volume(image, IndexGrid((i, j, k)), ImageFacts(), "image"))
    plain, asked = [], []
    for _ in range(8):  # in turn, so that a busy machine is busy for both
        begun = time.process_time()
        run_network(opened, prepared)
        plain.append(time.process_time() - begun)
        begun = time.process_time()
        with watched(opened.network) as watch:
            run_network(opened, prepared)
        watch.vector()
        asked.append(time.process_time() - begun)
    before, after = np.median(plain), np.median(asked)
    print(f"one image: {before:.3f} s of processor, with features {after:.3f} s ({100 * (after / before - 1):+.1f} %)")


if __name__ == "__main__":
    main()
