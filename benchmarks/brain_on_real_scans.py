"""What can be said of the brain network on real heads for which nobody drew the truth. Proxies, not accuracy.

    python benchmarks/brain_on_real_scans.py [FOLDER OF A HEAD] [--bundle NAME]

Of the MNI152 template at 1 mm (an average of real T1 scans; nilearn brings it with maps of grey and white matter made
by others) and of the head in FOLDER:

* overlap (Dice) of brain, white matter and grey matter with those maps: the template only;
* mirrored: the same head left for right, drawn again and mirrored back with left and right exchanged; tilted: turned by
  10 degrees about the front-to-back axis; thick: slices of 4 mm. Each is compared with the drawing of the head as it is
  (mean Dice of the labels): a network that draws by what it sees says the same.
* volumes of left and right, their asymmetry (left - right) / mean, and labels that are missing.
"""

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.bundles.network import open_network, prepare_input
from diascope.findings import ImageFacts
from diascope.geometry import Grid
from diascope.identity import IdentityKey
from diascope.imaging.resample import GridOfLogits
from diascope.io.catalogue import catalogue
from diascope.io.decode import decode
from diascope.io.reader import Context, IngestSettings
from diascope.tasks.inference import run_network
from diascope.tasks.segment import segment
from diascope.volume import Mask, Volume

TILT_DEG = 10.0
THICK_MM = 4.0
WHITE = ("white_matter", "brainstem", "ventral_dc")
FLUID = ("ventricle",)


def main() -> None:
    """Draw both heads in four ways and print what agrees."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", nargs="?", type=Path)
    arguments.add_argument("--bundle", default="brain_structures_segmentation")
    told = arguments.parse_args()
    bundle = find_bundle(told.bundle)
    template = _template()
    print("# MNI152 template, 1 mm")
    drawn = _report(bundle, template)
    _compare_with_others(drawn)
    if told.folder is not None:
        print(f"# {told.folder.name}")
        _report(bundle, _read(told.folder))


def _template() -> Volume:
    from nilearn.datasets import load_mni152_template

    image = nib.as_closest_canonical(load_mni152_template(resolution=1))
    data = np.asarray(image.dataobj, dtype=np.float32)
    return Volume(data, Grid(data.shape, np.asarray(image.affine, dtype=np.float64)), ImageFacts(), "mni152")


def _read(folder: Path) -> Volume:
    found = catalogue([folder], Context(IdentityKey(bytes(range(32))), IngestSettings()))
    volume = decode(found.series[0])
    if not isinstance(volume, Volume):
        raise SystemExit(f"{folder.name} is no volume")
    return volume


def _report(bundle: BundleInfo, head: Volume) -> Mask:
    drawn = _draw(bundle, head)
    names = drawn.labels
    for name, other in (
        ("mirrored", _mirrored_back(_draw(bundle, _mirrored(head)))),
        ("tilted", _draw(bundle, head, moved=_tilt(head))),
        ("thick", _draw(bundle, _thick(head))),
    ):
        other_data = other.data if other.data.shape == drawn.data.shape else _on_grid(other, drawn)
        dice = {names[value]: _dice(drawn.data == value, other_data == value) for value in names}
        worst = sorted(dice, key=lambda label: dice[label])[:3]
        print(f"{name:9s} mean Dice {np.mean(list(dice.values())):.3f}; lowest: ", end="")
        print(", ".join(f"{label} {dice[label]:.2f}" for label in worst))
    voxel_ml = abs(np.linalg.det(drawn.space.affine)) / 1000  # type: ignore[union-attr]
    volumes = {names[value]: float((drawn.data == value).sum() * voxel_ml) for value in names}
    print("missing:", ", ".join(name for name, ml in volumes.items() if ml == 0) or "none")
    for name, ml in volumes.items():
        if name.startswith("left_"):
            right = volumes[name.replace("left_", "right_", 1)]
            print(f"  {name[5:]:28s} left {ml:7.2f} mL  right {right:7.2f} mL  asymmetry {_asymmetry(ml, right):+.2f}")
        elif not name.startswith("right_"):
            print(f"  {name:28s} {ml:12.2f} mL")
    return drawn


def _compare_with_others(drawn: Mask) -> None:
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template

    name_of = np.array([""] + [drawn.labels[value] for value in sorted(drawn.labels)])
    is_white = np.array([any(part in name for part in WHITE) for name in name_of])
    is_fluid = np.array([any(part in name for part in FLUID) for name in name_of])
    is_brain = name_of != ""
    for what, load, chosen in (
        ("brain", load_mni152_brain_mask, is_brain),
        ("white matter", load_mni152_wm_template, is_white),
        ("grey matter", load_mni152_gm_template, is_brain & ~is_white & ~is_fluid),
    ):
        theirs = nib.as_closest_canonical(load(resolution=1))
        print(f"Dice with nilearn's {what}: {_dice(chosen[drawn.data], np.asarray(theirs.dataobj) > 0.5):.3f}")


def _draw(bundle: BundleInfo, head: Volume, moved: NDArray[np.float64] | None = None) -> Mask:
    # A head that is moved keeps its voxels: the network is told another affine, and so draws on other planes.
    space = head.space
    assert isinstance(space, Grid)
    seen_head = head if moved is None else _resampled(head, moved)
    prepared = prepare_input(bundle, seen_head)
    opened = open_network(bundle.folder, bundle.sha256, "cpu")
    seen = GridOfLogits(run_network(opened, prepared), prepared.affine)
    back = seen if moved is None else GridOfLogits(seen.logits, np.linalg.inv(moved) @ seen.affine)
    return segment(back, space, bundle)


def _resampled(head: Volume, moved: NDArray[np.float64]) -> Volume:
    # The voxels of the new image, where they lie in the old one.
    affine = head.space.affine  # type: ignore[union-attr]
    to_old = np.linalg.inv(affine) @ np.linalg.inv(moved) @ affine
    data = ndimage.affine_transform(head.data.astype(np.float32), to_old[:3, :3], to_old[:3, 3], order=1)
    return Volume(data, head.space, head.facts, head.image_id)


def _tilt(head: Volume) -> NDArray[np.float64]:
    angle = np.deg2rad(TILT_DEG)
    turn = np.eye(4)
    turn[0, 0] = turn[2, 2] = np.cos(angle)
    turn[0, 2], turn[2, 0] = np.sin(angle), -np.sin(angle)
    centre = np.eye(4)
    middle_ijk = (np.array([head.data.shape], dtype=np.float64) - 1) / 2
    centre[:3, 3] = head.space.to_ras_mm(middle_ijk)[0]  # type: ignore[union-attr]
    return np.asarray(centre @ turn @ np.linalg.inv(centre))


def _left_right_axis(space: Grid) -> int:
    return int(np.abs(space.affine[0, :3]).argmax())


def _mirrored(head: Volume) -> Volume:
    assert isinstance(head.space, Grid)
    data = np.ascontiguousarray(np.flip(head.data, _left_right_axis(head.space)))
    return Volume(data, head.space, head.facts, head.image_id)


def _mirrored_back(drawn: Mask) -> Mask:
    assert isinstance(drawn.space, Grid)
    value_of = {name: value for value, name in drawn.labels.items()}
    swapped = np.zeros(max(drawn.labels) + 1, dtype=drawn.data.dtype)
    for value, name in drawn.labels.items():
        side, _, rest = name.partition("_")
        swapped[value] = value_of.get({"left": "right_", "right": "left_"}.get(side, "-") + rest, value)
    data = swapped[np.flip(drawn.data, _left_right_axis(drawn.space))]
    return Mask(np.ascontiguousarray(data), drawn.space, drawn.labels)


def _thick(head: Volume) -> Volume:
    assert isinstance(head.space, Grid)
    axis = int(np.abs(head.space.affine[2, :3]).argmax())
    voxel_mm = float(np.linalg.norm(head.space.affine[:3, axis]))
    many = max(1, round(THICK_MM / voxel_mm))
    count = head.data.shape[axis] // many
    kept = np.moveaxis(head.data, axis, 0)[: count * many]
    data = np.moveaxis(kept.reshape(count, many, *kept.shape[1:]).mean(1, dtype=np.float32), 0, axis)
    affine = head.space.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (many - 1) / 2
    affine[:3, axis] *= many
    return Volume(np.ascontiguousarray(data), Grid(data.shape, affine), head.facts, head.image_id)


def _on_grid(mask: Mask, target: Mask) -> NDArray[np.uint8]:
    to_old = np.linalg.inv(mask.space.affine) @ target.space.affine  # type: ignore[union-attr]
    found: NDArray[np.uint8] = ndimage.affine_transform(
        mask.data, to_old[:3, :3], to_old[:3, 3], output_shape=target.data.shape, order=0, mode="nearest"
    )
    return found


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else float("nan")


def _asymmetry(left: float, right: float) -> float:
    return 2 * (left - right) / (left + right) if left + right else float("nan")


if __name__ == "__main__":
    main()
