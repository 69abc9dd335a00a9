"""A complete OUT folder by the contract, and the small volumes that tests share.

Every kind of result is in it: label maps, overlapping labels, heatmaps, boxes in three
and two dimensions, images without a frame, 300 labels, a failure, nothing to do. The
viewer, the DICOM export and the audit are built on it. Its numbers are known by
construction: see `phantom_volumes.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diascope.evaluation.feature_file import ImageFeatures, feature_file, write_features
from diascope.findings import (
    BundleStamp,
    CaseReport,
    Check,
    Failure,
    Finding,
    HeatmapRecord,
    ImageFacts,
    ImageRecord,
    Label,
    Measurement,
    Prediction,
    Segmentation,
    Triple,
)
from diascope.geometry import Grid, IndexGrid, PixelGrid, Space
from diascope.identity import IdentityKey
from diascope.image_facts import SliceRun
from diascope.volume import Volume
from tests.phantom_maps import write_unsure
from tests.phantom_tables import CHEST, CONFIG_SHA256, GLIOMA, KEY, MANY, STRUCTURES, write_tables
from tests.phantom_volumes import AsymmetricHead, asymmetric_head, ball, ball_mm3, box_ijk, oblique_grid, points_ras_mm

__all__ = [
    "KEY",
    "Phantoms",
    "asymmetric_head",
    "ball",
    "ball_mm3",
    "box_ijk",
    "oblique_grid",
    "points_ras_mm",
    "write_nifti",
    "write_out",
]


@dataclass(frozen=True)
class Phantoms:
    """A complete OUT folder and what is in it.

    Attributes:
        folder: OUT.
        key: The key its ids were made with.
        reports: By role: `head`, `followup`, `radiograph`, `no_geometry`, `many_labels`,
            `failed`, `nothing_to_do`.
        identifiers: What stands in private/ and may be nowhere else.
    """

    folder: Path
    key: IdentityKey
    reports: Mapping[str, CaseReport]
    identifiers: tuple[str, ...]

    def case_folder(self, role: str) -> Path:
        """Find the folder of a case."""
        return self.folder / "cases" / self.reports[role].case_id


def write_out(folder: Path) -> Phantoms:
    """Write an OUT folder that holds every kind of result the contract knows.

    Not in it, because their makers own their form: ledger.sqlite, reviews.sqlite,
    tracking.jsonl, report.html and audit/.
    """
    (folder / "cases").mkdir(parents=True, exist_ok=True)
    reports = {
        "head": _write_head(folder, _case_id("head"), days=0),
        "followup": _write_head(folder, _case_id("followup"), days=91),
        "radiograph": _write_radiograph(folder, _case_id("radiograph")),
        "no_geometry": _write_no_geometry(folder, _case_id("no_geometry")),
        "many_labels": _write_many_labels(folder, _case_id("many_labels")),
        "failed": _failed(_case_id("failed")),
        "nothing_to_do": _nothing_to_do(_case_id("nothing_to_do")),
    }
    for report in reports.values():
        case = folder / "cases" / report.case_id
        case.mkdir(exist_ok=True)
        (case / "case.json").write_text(report.to_json(), encoding="utf-8")
    return Phantoms(folder, KEY, reports, write_tables(folder, reports))


def write_nifti(path: Path, data: NDArray[np.generic], space: Space, *, is_label: bool = False) -> None:
    """Write an array as the contract says: mm on a Grid only, else sform_code = qform_code = 0.

    Args:
        path: `.nii.gz`.
        data: (i, j, k) numbers.
        space: Where they lie.
        is_label: Set the intent that keeps viewers from interpolating.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(data, space.affine if isinstance(space, Grid) else None)
    code = 1 if isinstance(space, Grid) else 0
    image.header.set_sform(image.affine if code else None, code=code)
    image.header.set_qform(image.affine if code else None, code=code)
    if isinstance(space, PixelGrid):
        image.header.set_zooms((*space.spacing_mm, 1.0))
    if is_label:
        image.header.set_intent("label")
    nib.save(image, path)


def _case_id(role: str) -> str:
    return KEY.case_id(f"1.2.826.0.1.3680043.10.999.{role}")


def _write_head(folder: Path, case_id: str, days: int) -> CaseReport:
    case = folder / "cases" / case_id
    image_id = KEY.image_id(case_id)
    head = asymmetric_head(image_id=image_id)
    grid = head.volume.space
    assert isinstance(grid, Grid)
    radius_mm = head.marker_radius_mm + days / 30
    whole = ball(grid, head.marker_centre_ras_mm, radius_mm)
    core = ball(grid, head.marker_centre_ras_mm, radius_mm / 2)
    write_nifti(case / "images" / f"{image_id}.nii.gz", head.volume.data, grid)
    sides = np.where(head.brain, np.where(points_ras_mm(grid)[..., 0] < 0, 1, 2), 0).astype(np.uint8)
    write_nifti(case / f"{STRUCTURES.name}.seg.nii.gz", sides, grid, is_label=True)
    parts = (Label(1, "whole_tumour", "#ffcc00"), Label(2, "core", "#ff3300"))
    for label, mask in zip(parts, (whole, core), strict=True):
        write_nifti(
            case / f"{GLIOMA.name}.seg.{label.name}.nii.gz", mask.astype(np.uint8) * label.value, grid, is_label=True
        )
    heat = _write_heatmap(case, grid, head)
    unsure = write_unsure(case, GLIOMA.name, image_id, (grid, head.marker_centre_ras_mm, radius_mm))
    features = np.arange(16, dtype=np.float32) + days
    grey = np.array([head.volume.data.mean(), *[0.0] * 8], dtype=np.float32)
    write_features(
        case / feature_file(GLIOMA.name), [ImageFeatures(GLIOMA.name, image_id, features, "bottleneck", grey)]
    )
    _write_preview(case, head.volume.data[:, :, box_ijk(whole)[0][2]])
    return CaseReport(
        case_id=case_id,
        status="done",
        images=(
            _record(head.volume, (STRUCTURES, GLIOMA), days=days),
            ImageRecord(KEY.image_id(case_id + "scout"), ImageFacts(modality="MR"), not_chosen=("all: localizer",)),
        ),
        bundles=(STRUCTURES, GLIOMA),
        segmentations=(
            Segmentation(
                STRUCTURES.name,
                image_id,
                f"{STRUCTURES.name}.seg.nii.gz",
                (Label(1, "left_brain", "#3366ff"), Label(2, "right_brain", "#33cc66"), Label(3, "absent", "#999999")),
            ),
            *(
                Segmentation(GLIOMA.name, image_id, f"{GLIOMA.name}.seg.{label.name}.nii.gz", (label,))
                for label in parts
            ),
        ),
        measurements=tuple(_volumes(image_id, STRUCTURES.name, sides, {1: "left_brain", 2: "right_brain"}, grid)),
        findings=(
            _ball_finding(grid, head.marker_centre_ras_mm, radius_mm, image_id, score=0.97),
            replace(_ball_finding(grid, (30.0, -40.0, 20.0), 9.0, image_id, score=0.41), finding_id=f"{GLIOMA.name}-2"),
        ),
        predictions=tuple(
            Prediction(GLIOMA.name, image_id, "glioma", round(min(0.99, 0.02 + float(count) / 90), 4), slice_k=k)
            for k, count in enumerate(whole.sum(axis=(0, 1)).tolist())
        ),
        heatmaps=(heat,),
        uncertainty=unsure,
        checks=(
            Check("left_right_volume_ratio", passed=True, value=1.02, reason="within 0.8 to 1.25"),
            Check("intensity_like_training", passed=None, value=None, reason="the bundle has no reference"),
        ),
        confidence=0.41 if days else 0.97,
        confidence_kind="raw",
        out_of_distribution=0.2 + days / 1000,
        review_first=bool(days),
        review_reasons=("confidence 0.41 is below 0.5",) if days else (),
        config_sha256=CONFIG_SHA256,
        diascope_version="0.1.0",
    )


def _write_heatmap(case: Path, grid: Grid, head: AsymmetricHead) -> HeatmapRecord:
    coarse_affine = grid.affine @ np.diag([4.0, 4.0, 2.0, 1.0])
    coarse_affine[:3, 3] = grid.to_ras_mm(np.array([[1.5, 1.5, 0.5]]))[0]
    coarse = Grid((grid.shape[0] // 4, grid.shape[1] // 4, grid.shape[2] // 2), coarse_affine)
    off_mm = np.linalg.norm(points_ras_mm(coarse) - np.array(head.marker_centre_ras_mm), axis=-1)
    heat = (3.0 * np.exp(-((off_mm / 20) ** 2)) - 0.5).astype(np.float32)
    file = f"{GLIOMA.name}.heatmap.glioma.nii.gz"
    write_nifti(case / file, heat, coarse)
    return HeatmapRecord(
        bundle=GLIOMA.name,
        image_id=head.volume.image_id,
        target="glioma",
        method="grad_cam",
        file=file,
        raw_range=(float(heat.min()), float(heat.max())),
        has_positive_evidence=True,
        trust="doubtful",
        trust_reason="changes little when the weights are randomised",
        checks=(Check("depends_on_weights", passed=False, value=0.83, reason="rank correlation 0.83, allowed 0.5"),),
    )


def _write_radiograph(folder: Path, case_id: str) -> CaseReport:
    case, image_id = folder / "cases" / case_id, KEY.image_id(case_id)
    space = PixelGrid((61, 73, 1), (4.2, 4.3), "detector")
    i, j, _ = np.meshgrid(*[np.arange(n) for n in space.shape], indexing="ij")
    data = (1000 + 12 * j + 900 * (np.hypot(i - 44, j - 25) < 7)).astype(np.int16)
    coarse = PixelGrid((7, 9, 1), (4.2 * 61 / 7, 4.3 * 73 / 9), "detector")
    heat = np.zeros(coarse.shape, dtype=np.float32)
    heat[5, 3, 0] = -0.2
    facts = ImageFacts(modality="DX", body_part="CHEST", view="PA", sex="M", age_years="47")
    volume = Volume(data, space, facts, image_id, display_window=(1800.0, 1600.0), is_inverted=True)
    write_nifti(case / "images" / f"{image_id}.nii.gz", data, space)
    write_nifti(case / f"{CHEST.name}.heatmap.opacity.nii.gz", heat, coarse)
    _write_preview(case, data[:, :, 0])
    record = HeatmapRecord(
        CHEST.name,
        image_id,
        "opacity",
        "grad_cam",
        f"{CHEST.name}.heatmap.opacity.nii.gz",
        raw_range=(float(heat.min()), 0.0),
        has_positive_evidence=False,
        trust="unsupported",
        trust_reason="nothing in the image speaks for the class",
    )
    return CaseReport(
        case_id=case_id,
        status="done",
        images=(_record(volume, (CHEST,)),),
        bundles=(CHEST,),
        findings=(
            Finding(
                f"{CHEST.name}-1", CHEST.name, image_id, "opacity", 0.72, ((37, 18, 0), (52, 33, 1)), size_voxels=149
            ),
        ),
        predictions=(
            Prediction(CHEST.name, image_id, "opacity", 0.72, conformal_set=("opacity", "normal")),
            Prediction(CHEST.name, image_id, "normal", 0.28, conformal_set=("opacity", "normal")),
        ),
        heatmaps=(record,),
        confidence=0.72,
        confidence_kind="calibrated",
        review_first=True,
        review_reasons=("two classes remain at 90 % coverage",),
    )


def _write_no_geometry(folder: Path, case_id: str) -> CaseReport:
    case, image_id = folder / "cases" / case_id, KEY.image_id(case_id)
    space = IndexGrid((5, 7, 11))
    mask = np.zeros(space.shape, dtype=np.uint8)
    mask[1:3, 2:6, 4:9] = 1
    volume = Volume(mask.astype(np.float32) * 80 + 20, space, ImageFacts(), image_id)
    file = f"{GLIOMA.name}.seg.nii.gz"
    write_nifti(case / "images" / f"{image_id}.nii.gz", volume.data, space)
    write_nifti(case / file, mask, space, is_label=True)
    _write_preview(case, volume.data[:, :, 6])
    finding = Finding(f"{GLIOMA.name}-1", GLIOMA.name, image_id, "glioma", 0.66, ((1, 2, 4), (3, 6, 9)), size_voxels=40)
    return CaseReport(
        case_id=case_id,
        status="done",
        images=(_record(volume, (GLIOMA,)),),
        bundles=(GLIOMA,),
        segmentations=(Segmentation(GLIOMA.name, image_id, file, (Label(1, "glioma", "#ffcc00"),), ("glioma",)),),
        measurements=(Measurement(image_id, GLIOMA.name, "glioma", "volume", 40.0, "voxel"),),
        findings=(finding,),
    )


def _write_many_labels(folder: Path, case_id: str) -> CaseReport:
    case, image_id = folder / "cases" / case_id, KEY.image_id(case_id)
    grid = oblique_grid((20, 30, 14), (2.1, 2.3, 5.0))
    # Blocks of 2 x 2 x 7 voxels, numbered 1 to 300: each label has 28 voxels.
    i, j, k = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    data = (1 + i // 2 + 10 * (j // 2) + 150 * (k // 7)).astype(np.uint16)
    names = {value: f"structure_{value:03d}" for value in range(1, 301)}
    labels = tuple(Label(value, name, f"#{value * 54321 % 0x1000000:06x}") for value, name in names.items())
    volume = Volume(data.astype(np.int16), grid, ImageFacts(modality="CT"), image_id, display_window=(150.0, 300.0))
    file = f"{MANY.name}.seg.nii.gz"
    write_nifti(case / "images" / f"{image_id}.nii.gz", volume.data, grid)
    write_nifti(case / file, data, grid, is_label=True)
    _write_preview(case, volume.data[:, :, 3])
    return CaseReport(
        case_id=case_id,
        status="done",
        images=(_record(volume, (MANY,)),),
        bundles=(MANY,),
        segmentations=(Segmentation(MANY.name, image_id, file, labels, tuple(names.values())),),
        measurements=tuple(_volumes(image_id, MANY.name, data, names, grid)),
    )


def _failed(case_id: str) -> CaseReport:
    failure = Failure(
        "incomplete_series",
        "slices 4 and 5 of 11 are 5.00 mm apart, the others 2.50 mm (1 uneven gap in all)",
        "send the series again, or pass a series without missing slices",
    )
    return CaseReport(case_id=case_id, status="failed", failure=failure)


def _nothing_to_do(case_id: str) -> CaseReport:
    facts = ImageFacts(modality="US", burned_in="unknown")
    image = ImageRecord(KEY.image_id(case_id), facts, not_chosen=(f"{STRUCTURES.name}: needs MR of the head",))
    return CaseReport(case_id=case_id, status="nothing_to_do", images=(image,))


def _record(volume: Volume, bundles: Sequence[BundleStamp], days: int = 0) -> ImageRecord:
    space = volume.space
    kinds: dict[type, str] = {Grid: "grid", PixelGrid: "pixels", IndexGrid: "index"}
    return ImageRecord(
        volume.image_id,
        replace(volume.facts, patient_key=KEY.patient_key("phantom"), days_since_first=days),
        space=kinds[type(space)],  # type: ignore[arg-type]  # the three words of SpaceKind
        shape=space.shape,
        spacing_mm=None if isinstance(space, IndexGrid) else space.spacing_mm,
        axcodes=space.axcodes if isinstance(space, Grid) else None,
        is_sheared=space.is_sheared if isinstance(space, Grid) else None,
        files=space.shape[2],
        chosen_for=tuple(bundle.name for bundle in bundles),
        stored=f"images/{volume.image_id}.nii.gz",
        display_window=volume.display_window,
        is_inverted=volume.is_inverted,
        # As a scanner that counts from the head down; what came without geometry has no numbers.
        series_number=None if isinstance(space, IndexGrid) else 4,
        slices_named_by=None if isinstance(space, IndexGrid) else "instance_number",
        slice_runs=() if isinstance(space, IndexGrid) else (SliceRun(space.shape[2], -1, space.shape[2]),),
    )


def _volumes(
    image_id: str, bundle: str, data: NDArray[np.unsignedinteger], names: Mapping[int, str], grid: Grid
) -> Iterable[Measurement]:
    counts = np.bincount(data.ravel(), minlength=max(names) + 1)
    for value, name in names.items():
        yield Measurement(image_id, bundle, name, "volume", round(float(counts[value]) * grid.voxel_mm3, 3), "mm3")


def _ball_finding(grid: Grid, centre_ras_mm: Triple, radius_mm: float, image_id: str, score: float) -> Finding:
    mask = ball(grid, centre_ras_mm, radius_mm)
    across = grid.affine[:3, :2] / np.linalg.norm(grid.affine[:3, :2], axis=0) * radius_mm
    ends = [[np.array(centre_ras_mm) + sign * across[:, axis] for sign in (-1, 1)] for axis in (0, 1)]
    low, high = (np.array(centre_ras_mm) + sign * radius_mm for sign in (-1, 1))
    return Finding(
        finding_id=f"{GLIOMA.name}-1",
        bundle=GLIOMA.name,
        image_id=image_id,
        label="glioma",
        score=score,
        box_ijk=box_ijk(mask),
        centre_ras_mm=centre_ras_mm,
        box_ras_mm=(_triple(low), _triple(high)),
        volume_mm3=round(int(mask.sum()) * grid.voxel_mm3, 3),
        longest_diameter_mm=2 * radius_mm,
        longest_ends_ras_mm=(_triple(ends[0][0]), _triple(ends[0][1])),
        perpendicular_diameter_mm=2 * radius_mm,
        perpendicular_ends_ras_mm=(_triple(ends[1][0]), _triple(ends[1][1])),
        size_voxels=int(mask.sum()),
    )


def _triple(point: NDArray[np.float64]) -> Triple:
    x, y, z = (round(value, 4) for value in point.tolist())
    return x, y, z


def _write_preview(case: Path, plane: NDArray[np.generic]) -> None:
    grey = plane.T.astype(np.float32)
    shown = np.clip(255 * grey / max(float(grey.max()), 1.0), 0, 255).astype(np.uint8)
    Image.fromarray(shown).resize((240, 240)).save(case / "preview.png")
