"""Does a brain network of 31 structures still know the six it began with?

    python benchmarks/brain_six_of_31.py DATA [BUNDLE]

Its answers on the synthetic images of the kept-out heads, merged to the six structures of
configs/train_brain_six_structures.yaml, beside their truth: mean Dice by structure, and how often left is called right.
DATA is the folder of the data set.
"""

import argparse
from pathlib import Path

import numpy as np

from diascope.bundles.find import find_bundle
from diascope.bundles.network import open_network, prepare_input
from diascope.evaluation.segmentation import dice
from diascope.imaging.resample import GridOfLogits
from diascope.tasks.inference import run_network
from diascope.tasks.segment import segment
from diascope.train.scoring import scored_images
from diascope.train.settings import load_train_config

CONFIGS = Path(__file__).parents[1] / "configs"


def main() -> None:
    """Print a line per structure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("bundle", nargs="?", default="brain_structures_segmentation")
    told = parser.parse_args()
    bundle = find_bundle(told.bundle)
    fine, six = (
        load_train_config(CONFIGS / f"train_brain_{name}.yaml", [f"data_root={told.data.resolve()}"])
        for name in ("structures_segmentation", "six_structures")
    )
    six_of_value = {value: at for at, label in enumerate(six.bundle.labels, 1) for value in label.source_values}
    six_of_fine = np.array([0, *(six_of_value[label.source_values[0]] for label in fine.bundle.labels)], dtype=np.uint8)
    sides = np.array([0, *(_side(label.name) for label in fine.bundle.labels)])
    found: dict[str, list[float]] = {label.name: [] for label in six.bundle.labels}
    wrong_side, sided = 0, 0
    opened = open_network(bundle.folder, bundle.sha256, "cpu")
    for image in scored_images(fine, "test"):
        prepared = prepare_input(bundle, image.volume)
        seen = GridOfLogits(run_network(opened, prepared), prepared.affine)
        drawn = segment(seen, image.volume.space, bundle).data
        product = sides[drawn] * sides[image.truth]
        wrong_side, sided = wrong_side + int((product < 0).sum()), sided + int((product != 0).sum())
        for value, label in enumerate(six.bundle.labels, 1):
            found[label.name].append(dice(six_of_fine[drawn] == value, six_of_fine[image.truth] == value) or 0.0)
        print(image.case.case, image.condition, {name: round(values[-1], 3) for name, values in found.items()})
    for name, values in found.items():
        print(f"{name:14s} {np.mean(values):.3f}")
    print(f"mean           {np.mean([np.mean(values) for values in found.values()]):.3f}")
    print(f"voxels of a sided structure drawn on the other side: {wrong_side / sided:.5f}")


def _side(name: str) -> int:
    return name.startswith("right_") - name.startswith("left_")


if __name__ == "__main__":
    main()
