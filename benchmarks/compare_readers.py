"""What other readers make of folders that are hard to read, as a table for the docs.

    python -m benchmarks.compare_readers [--write]

Writes docs/ingestion_comparison.md with --write, else prints it. Each tool runs in a
process of its own over all folders and saves what it makes of each as NIfTI; all are
judged by the same rule: as many images as there are, corner voxels within 0.05 mm and
every number, after nibabel.as_closest_canonical; a folder that holds no readable volume
must give none; an image without a place in the patient must not be given one.
"""

import argparse
import contextlib
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import nibabel
import numpy as np

from benchmarks.hard_cases import CASES
from benchmarks.hard_truth import Image, Truth

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "ingestion_comparison.md"
CORNER_MM, NUMBER = 0.05, 1e-3


def main() -> None:
    """Build the folders, run every tool on them, judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--tool", choices=TOOLS)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.tool:
        run_tool(arguments.tool, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        truths = {name: case(folder / "in" / slug(name)) for name, case in CASES.items()}
        verdicts: dict[str, dict[str, str]] = {}
        for tool in TOOLS:
            command = [sys.executable, "-m", "benchmarks.compare_readers", "--tool", tool, "--folder", str(folder)]
            subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
            verdicts[tool] = {name: verdict(truth, folder / tool / slug(name)) for name, truth in truths.items()}
    text = page(verdicts)
    if arguments.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


def slug(name: str) -> str:
    """Make a folder's name."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def run_tool(tool: str, folder: Path) -> None:
    """Let one tool read every folder; an error of it is its answer."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for name in CASES:
        out = folder / tool / slug(name)
        out.mkdir(parents=True)
        try:
            TOOLS[tool](folder / "in" / slug(name), out)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the tool answers
            (out / "error").write_text(type(error).__name__)


def diascope_reads(folder: Path, out: Path) -> None:
    """Read with diascope."""
    from diascope.geometry import Grid
    from diascope.identity import IdentityKey
    from diascope.io.catalogue import catalogue
    from diascope.io.decode import decode
    from diascope.io.reader import Context, IngestSettings

    (out / "scratch").mkdir()
    found = catalogue([folder], Context(IdentityKey(bytes(32)), IngestSettings(), scratch=out / "scratch"))
    for at, series in enumerate(found.series):
        volumes = [decode(series, number).data for number in range(series.volumes)]
        data = np.stack(volumes, axis=-1) if len(volumes) > 1 else volumes[0]
        save(out / f"{at}.nii", data, series.space.affine if isinstance(series.space, Grid) else None)
    (out / "said").write_text(", ".join(sorted({refused.failure.code for refused in found.refused})))


def dcm2niix_reads(folder: Path, out: Path) -> None:
    """Read with dcm2niix."""
    command = [str(Path(sys.executable).parent / "dcm2niix"), "-z", "n", "-b", "n", "-f", "%j_%s_%e", "-o", str(out)]
    done = subprocess.run([*command, str(folder)], check=False, capture_output=True, text=True, timeout=60)
    if any(words in done.stdout + done.stderr for words in ("distance varies", "Missing images", "gantry tilt")):
        (out / "said").write_text("with a warning")
    # Beside the volume as scanned it writes versions without tilt or with even slices: resampled, and left aside.
    for path in [*out.glob("*_Tilt*.nii"), *out.glob("*_Eq*.nii")]:
        path.unlink()


def dicom2nifti_reads(folder: Path, out: Path) -> None:
    """Read with dicom2nifti."""
    import dicom2nifti

    dicom2nifti.convert_directory(str(folder), str(out), compression=False, reorient=False)


def simpleitk_reads(folder: Path, out: Path) -> None:
    """Read with SimpleITK, series by series, as its own examples do."""
    import SimpleITK as sitk  # noqa: N813 - its own documentation's name

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageSeriesReader()
    for at, series in enumerate(reader.GetGDCMSeriesIDs(str(folder))):
        names = reader.GetGDCMSeriesFileNames(str(folder), series)
        image = sitk.ReadImage(names if len(names) > 1 else names[0])
        affine = np.eye(4)
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        save(out / f"{at}.nii", sitk.GetArrayFromImage(image).T, np.diag([-1.0, -1, 1, 1]) @ affine)


def monai_reads(folder: Path, out: Path) -> None:
    """Read with MONAI's PydicomReader, the folder as one image as its documentation has it."""
    from monai.transforms import LoadImage

    image = LoadImage(reader="PydicomReader", image_only=True)(str(folder))
    save(out / "0.nii", np.asarray(image), np.asarray(image.affine))


TOOLS: dict[str, Callable[[Path, Path], None]] = {
    "diascope": diascope_reads,
    "dcm2niix": dcm2niix_reads,
    "dicom2nifti": dicom2nifti_reads,
    "SimpleITK": simpleitk_reads,
    "MONAI": monai_reads,
}


def save(path: Path, data: np.ndarray, affine: np.ndarray | None) -> None:
    """Keep what a tool made; without an affine, none is written."""
    image = nibabel.Nifti1Image(np.asarray(data, dtype=np.float64), np.eye(4) if affine is None else affine)
    image.set_sform(affine, code=0 if affine is None else 1)
    image.set_qform(None, code=0)
    nibabel.save(image, path)


def verdict(truth: Truth, out: Path) -> str:
    """Judge what a tool made of a folder."""
    made = [image for path in sorted(out.glob("*.nii*")) for image in loaded(path)]
    said = f" ({(out / 'said').read_text()})" if (out / "said").exists() and (out / "said").read_text() else ""
    if not truth:
        return f"refused{said}" if not made else f"**wrong**: gave an image{said}"
    if not made:
        return f"not read{said}"
    missing = list(truth)
    for image in made:
        match = next((one for one in missing if is_same(image, one)), None)
        if match is None:
            return f"**wrong**: {fault(image, missing or truth)}{said}"
        missing.remove(match)
    return f"right{said}" if not missing else f"**wrong**: {len(missing)} of {len(truth)} lost{said}"


def loaded(path: Path) -> Iterator[nibabel.Nifti1Image]:
    """Load an image, where it is one."""
    with contextlib.suppress(nibabel.filebasedimages.ImageFileError, OSError, ValueError):
        yield nibabel.load(path)


def is_same(image: nibabel.Nifti1Image, truth: Image) -> bool:
    """Compare place and numbers."""
    return not fault(image, [truth])


def fault(image: nibabel.Nifti1Image, truths: Truth) -> str:
    """Say what is wrong with an image, against the truth that it is nearest to; empty if nothing is."""
    faults = [_placed_fault(image, one) if one.affine_ras_mm is not None else _flat_fault(image, one) for one in truths]
    return min(faults)[1]


def _flat_fault(image: nibabel.Nifti1Image, truth: Image) -> tuple[int, str]:
    data, expected = np.squeeze(np.asanyarray(image.dataobj)), np.squeeze(truth.data)
    if sorted(data.shape) != sorted(expected.shape):
        return 4, f"shape {image.shape}"
    if not any(_equal(turned, expected) for turned in _flips(data, expected.shape)):
        return 2, "other numbers"
    return (1, "an affine made up") if _has_affine(image) else (0, "")


def _placed_fault(image: nibabel.Nifti1Image, truth: Image) -> tuple[int, str]:
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(truth.data.astype(np.float64), truth.affine_ras_mm))
    numbers = np.asanyarray(image.dataobj)
    if numbers.ndim < 3 or numbers.dtype.fields:
        return 4, f"shape {image.shape}"
    theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(numbers.astype(np.float64), image.affine))
    if theirs.shape != ours.shape:
        return 4, f"shape {image.shape}"
    off_mm = float(np.abs(_corners(ours) - _corners(theirs)).max())
    if not _has_affine(image) or off_mm > CORNER_MM:
        return 3, f"place off by {off_mm:.1f} mm"
    return (0, "") if _equal(np.asanyarray(theirs.dataobj), np.asanyarray(ours.dataobj)) else (2, "other numbers")


def _has_affine(image: nibabel.Nifti1Image) -> bool:
    return int(image.header["sform_code"]) > 0 or int(image.header["qform_code"]) > 0


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, atol=NUMBER))


def _flips(data: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    for turned in {data.shape: data, data.T.shape: data.T}.values():
        if turned.shape == shape:
            yield turned
            for axis in range(turned.ndim):
                yield np.flip(turned, axis)
            yield np.flip(turned)


def _corners(image: nibabel.Nifti1Image) -> np.ndarray:
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape[:3]], indexing="ij")).reshape(3, 8).T
    return ends @ image.affine[:3, :3].T + image.affine[:3, 3]


def page(verdicts: dict[str, dict[str, str]]) -> str:
    """Write the page."""
    versions = {"diascope": "this one", "MONAI": version("monai"), "SimpleITK": version("SimpleITK")}
    versions |= {name: version(name) for name in ("dcm2niix", "dicom2nifti")}
    lines = [
        "# How readers do on scans that are hard to read",
        "",
        "Made by `python -m benchmarks.compare_readers --write`; the folders are built by `benchmarks/hard_cases.py`,",
        "and what is right is known by construction. An image is right when its corner voxels lie within 0.05 mm and",
        "every number is the same. A folder that holds no volume must give none, and an image whose files know no",
        "place in the patient must not be given one. Every tool was run as its documentation has it, with its",
        "defaults; the folders were written for the rules of diascope, so they show where it is careful, not where",
        "others are better (dcm2niix reads many more vendors' peculiarities than are here). dcm2niix also writes a",
        "version without tilt or with even slices beside a volume; these are resampled, and were left aside. That text",
        "is burned in is a rule of diascope; the others do not promise to hold such images back.",
        "",
        "Versions: " + ", ".join(f"{tool} {number}" for tool, number in versions.items()) + ".",
        "",
        "| folder | " + " | ".join(verdicts) + " |",
        "|---" * (len(verdicts) + 1) + "|",
    ]
    lines += [f"| {name} | " + " | ".join(verdicts[tool][name] for tool in verdicts) + " |" for name in CASES]
    good = {
        tool: sum(answer.startswith(("right", "refused")) for answer in answers.values())
        for tool, answers in verdicts.items()
    }
    lines.append(
        "| **right or rightly refused** | " + " | ".join(f"{good[tool]} of {len(CASES)}" for tool in verdicts) + " |"
    )
    wrong = {tool: sum("wrong" in answer for answer in answers.values()) for tool, answers in verdicts.items()}
    lines.append("| **wrong image without an error** | " + " | ".join(str(wrong[tool]) for tool in verdicts) + " |")
    silent = {
        tool: sum("wrong" in answer and "warning" not in answer for answer in answers.values())
        for tool, answers in verdicts.items()
    }
    lines.append("| of these without a warning | " + " | ".join(str(silent[tool]) for tool in verdicts) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
