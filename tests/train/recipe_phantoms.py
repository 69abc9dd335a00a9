"""Tiny datasets of the kinds that the shipped trainings read: radiographs as pictures, crops of two labels."""

import csv
import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diascope.train.settings import SynthesisSettings, TrainConfig

# A value of the brain's label maps that is no structure.
SKIN = 530

SPLITS = ("train", "train", "train", "train", "calibration", "calibration", "test", "test")


def write_crops(root: Path) -> Path:
    """Write crops in which a bright body is brighter in front (1) than behind (2); gives the manifest."""
    rows = []
    for number, split in enumerate(SPLITS):
        rng = np.random.default_rng(number)
        shape = (31 + number % 3, 44 + number % 2, 33)
        i, j, k = np.meshgrid(*map(np.arange, shape), indexing="ij")
        centre = np.array(shape) / 2 + rng.uniform(-3, 3, 3)
        body = ((i - centre[0]) / 8) ** 2 + ((j - centre[1]) / 14) ** 2 + ((k - centre[2]) / 7) ** 2 < 1
        label = (np.where(j > centre[1], 1, 2) * body).astype(np.uint8)
        image = (rng.normal(100, 10, shape) + 80 * (label == 1) + 50 * (label == 2)).astype(np.float32)
        files = []
        for what, values in (("image", image), ("label", label)):
            path = root / f"crop-{number}_{what}.nii.gz"
            nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 1.0, 1.0])), path)
            files.append(path)
        rows.append(_row(root, f"crop-{number}", split, files))
    return _write(root, rows, ())


def write_radiographs(root: Path) -> Path:
    """Write pictures with two dark lungs, some with a white patch in one of them; gives the manifest.

    Every second picture has no mask; the finding `COVID-19` has the patch, `SARS` has not, `No Finding` is neither.
    """
    rows = []
    for number, split in enumerate(SPLITS * 2):
        rng = np.random.default_rng(number)
        rows_of, columns = 96 + number, 120
        y, x = np.meshgrid(np.arange(rows_of), np.arange(columns), indexing="ij")
        lungs = np.zeros((rows_of, columns), dtype=bool)
        for at in (0.3, 0.7):
            lungs |= ((x - at * columns) / 16) ** 2 + ((y - 0.5 * rows_of) / 30) ** 2 < 1
        picture = rng.normal(150, 8, lungs.shape) - 90 * lungs
        is_ill = number % 2 == 0
        if is_ill:
            picture[((x - 0.3 * columns) ** 2 + (y - 0.55 * rows_of) ** 2) < 100] = 220
        files = [root / f"picture-{number}.png"]
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(files[0])
        if number % 4 < 2:
            files.append(root / f"picture-{number}_mask.png")
            Image.fromarray((lungs * (127 if number % 4 == 1 else 255)).astype(np.uint8)).save(files[1])
        finding = "No Finding" if number == 5 else "COVID-19" if is_ill else "SARS"
        view = "AP" if number % 3 else "PA"
        rows.append([*_row(root, f"picture-{number}", split, files), finding, view, "M" if number % 5 else "F"])
    return _write(root, rows, ("finding", "view", "sex"))


def write_tumours(root: Path) -> Path:
    """Write scans of noise with a bright tumour in some of their slices, no geometry; gives the manifest."""
    rows = []
    for number, split in enumerate(SPLITS):
        rng = np.random.default_rng(number)
        shape = (40, 44, 10 + number % 3)
        i, j, k = np.meshgrid(*map(np.arange, shape), indexing="ij")
        centre = rng.uniform([14, 14, 4], [26, 30, 6])
        tumour = ((i - centre[0]) / 7) ** 2 + ((j - centre[1]) / 8) ** 2 + ((k - centre[2]) / 3) ** 2 < 1
        head = ((i - 20) / 18) ** 2 + ((j - 22) / 20) ** 2 < 1
        image = ((rng.normal(25, 3, shape) + 30 * tumour) * head).clip(0, 63).astype(np.uint8)
        files = [_nowhere(root / f"scan-{number}_image.nii.gz", image)]
        files.append(_nowhere(root / f"scan-{number}_label.nii.gz", (tumour & head).astype(np.uint8)))
        rows.append([*_row(root, f"scan-{number}", split, files), "A" if number % 2 else "B", "1"])
    return _write(root, rows, ("site", "gender_code"))


def _nowhere(path: Path, values: NDArray[np.uint8]) -> Path:
    image = nib.Nifti1Image(values, None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, path)
    return path


def _row(root: Path, case: str, split: str, files: list[Path]) -> list[str]:
    names = [path.relative_to(root).as_posix() for path in files] + [""] * (2 - len(files))
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] + [""] * (2 - len(files))
    return [case, f"patient-{case}", split, *names, *digests]


def _write(root: Path, rows: list[list[str]], groups: tuple[str, ...]) -> Path:
    manifest = root / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "patient", "split", "image", "label", "image_sha256", "label_sha256", *groups])
        writer.writerows(rows)
    return manifest


def write_structures(root: Path, config: TrainConfig) -> Path:
    """Write label maps in which every value of a synthesis stands as a block, the right half the left one mirrored.

    Args:
        root: Where to; the tables of tissues come with the maps, below the folder that the config names.
        config: A shipped training on synthetic images.

    Returns:
        The manifest.
    """
    source = config.source
    assert isinstance(source, SynthesisSettings)
    shown = [value for label in config.bundle.labels for value in label.source_values]
    right = dict(source.mirrored_values)
    left = sorted({right.get(value, value) for value in shown if value in right or value in right.values()})
    middle = sorted(set(shown) - set(left) - set(right))
    values = sorted({0, SKIN, *shown, *right, *right.values(), *source.keep_when_stripped})
    for name, lines in (("labels", values), ("classes", range(len(values)))):
        table = root / getattr(source, f"tissue_{name}")
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("".join(f"{line}\n" for line in lines))
    rows = []
    for number, split in enumerate(("train", "train", "calibration", "test")):
        head = _head_of_blocks(left, middle, {value: key for key, value in right.items()})
        path = root / f"head-{number}.nii.gz"
        affine = np.diag([1.9 + 0.05 * number, 2.0, 2.1, 1.0])
        nib.save(nib.Nifti1Image(head, affine), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append([path.stem, path.stem, split, "", path.name, "", digest])
    return _write(root, rows, ())


def _head_of_blocks(left: list[int], middle: list[int], right_of: dict[int, int]) -> NDArray[np.int16]:
    # (32, 46, 32) voxels of about 2 mm: a ball of skin, in it 5 x 4 columns of blocks a side and a slab between them.
    head = np.zeros((32, 46, 32), dtype=np.int16)
    i, j, k = np.indices(head.shape)
    head[((i - 15.5) / 15) ** 2 + ((j - 22.5) / 22) ** 2 + ((k - 15.5) / 15) ** 2 < 1.4] = SKIN
    for at, value in enumerate(left):
        across, up = divmod(at, 4)
        where = np.s_[4:14, 3 + 8 * across : 10 + 8 * across, 2 + 7 * up : 8 + 7 * up]
        head[where] = value
        head[::-1][where] = right_of[value]
    for at, value in enumerate(middle):
        head[15:17, 3 + 40 * at // len(middle) : 3 + 40 * (at + 1) // len(middle), 4:28] = value
    return head
