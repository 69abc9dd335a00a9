"""Make the demo's cohort: folders of scans as a hospital hands them over, and the truth beside them."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from diascope.demo.anatomy import Anatomy, build_anatomy
from diascope.demo.dicom_series import SeriesNames, uid_of, write_series
from diascope.demo.identifiers import identifiers_of
from diascope.demo.patient import Head, make_head
from diascope.demo.planted import Cohort, Outcome, PlantedCase, PlantedSeries, Truth
from diascope.demo.scanner import Scan, acquire
from diascope.demo.strays import tear, write_strays, write_text_report
from diascope.demo.studies import LOCALIZER, MISSING_SLICE, STUDIES, Fault, Study
from diascope.errors import OutputError
from diascope.geometry import Grid
from diascope.io.outfolder import output_errors

# What `diascope evaluate` reads, then what a person may want to know.
TRUTH_COLUMNS = ("case", "file", "truth", "label", "side", "volume_mm3")

# As the bundle calls what it draws.
LESION_LABEL = "tumour"

_OUTCOMES: Mapping[Fault | None, tuple[Outcome, str]] = {
    None: ("done", ""),
    "missing_slice": ("refused", "missing_slices"),
    "torn_file": ("failed", "truncated_pixels"),
}

# Of a torn file the header and half of the pixels are left.
KEPT_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class _Place:
    scans: Path
    truth: Path
    seed: int


def make_cohort(folder: Path, seed: int = 0, studies: Sequence[Study] = STUDIES) -> Cohort:
    """Write the cohort below a folder: `scans/`, `truth/` and `truth.csv`.

    The same seed gives the same bytes, study by study. No network is used.

    Args:
        folder: Made if need be.
        seed: Of the heads, the noise and the UIDs.
        studies: What is scanned; a test may do with less.

    Raises:
        OutputError: `scans/` or `truth/` exist there, or the disk is full.
    """
    place = _Place(folder.absolute() / "scans", folder.absolute() / "truth", seed)
    with output_errors("the demo's scans"):
        return _write_all(place, studies)


def _write_all(place: _Place, studies: Sequence[Study]) -> Cohort:
    for part in (place.scans, place.truth):
        if part.exists():
            raise OutputError(
                f"there is a folder {part.name}/ already where the demo wants to write its own",
                hint="choose another folder with -o, or remove it",
                code="exists",
            )
        part.mkdir(parents=True)
    seed = place.seed
    anatomy = build_anatomy(np.random.default_rng([seed, 0]))
    cases = tuple(_write_study(place, study, anatomy) for study in studies)
    # One patient brought a CD, with everything that is on CDs.
    with_cd = next((study.visit for study in studies if study.has_localizer), studies[0].visit)
    strays = write_strays(place.scans / with_cd.person.folder_name, with_cd, seed)
    truth_csv = place.truth.with_suffix(".csv")
    _write_truth_table(truth_csv, cases)
    found = identifiers_of(
        place.scans,
        [*strays, *(file for case in cases for file in case.files)],
        [study.visit for study in studies],
        [uid_of(seed, "dicomdir"), *(uid for case in cases for uid in case.uids)],
    )
    return Cohort(place.scans, truth_csv, cases, strays, found)


def _write_study(place: _Place, study: Study, anatomy: Anatomy) -> PlantedCase:
    rng = np.random.default_rng([place.seed, *study.name.encode()])
    head = make_head(anatomy, study.build, rng)
    if study.file_format == "nifti":
        return _write_nifti_study(place, study, head, rng)
    return _write_dicom_study(place, study, head, rng)


def _write_nifti_study(place: _Place, study: Study, head: Head, rng: np.random.Generator) -> PlantedCase:
    (protocol,) = study.protocols
    scan = acquire(head, protocol, rng)
    person = study.visit.person
    path = place.scans / "export" / f"{person.folder_name}_{study.visit.on:%Y%m%d}_FLAIR.nii.gz"
    path.parent.mkdir(exist_ok=True)
    # What converters leave in the free text of the header.
    _write_nifti(path, scan.data.astype(np.int16), scan.grid, note=f"{person.family_name.title()} TE=121")
    series = PlantedSeries(protocol.description, protocol.contrast, (path,), "", truth=_truth(place, study, scan))
    return PlantedCase(study.name, str(path), person.record_number, (series,))


def _write_dicom_study(place: _Place, study: Study, head: Head, rng: np.random.Generator) -> PlantedCase:
    visit, study_uid = study.visit, uid_of(place.seed, study.name)
    frame_uid = uid_of(place.seed, study.name, "frame")
    # Some archives name a study's folder by its UID, some by date and what was asked for.
    by_uid = visit.machine.is_rescaled or visit.machine.counts_down
    folder = place.scans / visit.person.folder_name / (study_uid if by_uid else f"{visit.on} {visit.description}")
    steps = ([LOCALIZER] if study.has_localizer else []) + [(protocol,) for protocol in study.protocols]
    series = []
    for number, protocols in enumerate(steps, start=1):
        names = SeriesNames(study_uid, uid_of(place.seed, study.name, str(number)), frame_uid, number)
        scans = [acquire(head, protocol, rng) for protocol in protocols]
        series.append(_write_dicom_series(place, study, folder, scans, names))
    uids, reports = [study_uid, frame_uid], []
    if study.has_localizer:
        names = SeriesNames(study_uid, uid_of(place.seed, study.name, "report"), frame_uid, 99)
        reports.append(folder / "SR000001")
        uids += [names.series_uid, names.instance_uid(1)]
        write_text_report(reports[0], visit, names)
    if study.fault == "torn_file":
        tear(series[0].files[0], KEPT_SHARE)
    uids += [uid for one in series for uid in (one.uid, *(f"{one.uid}.{n + 1}" for n in range(len(one.files) + 1)))]
    expected, code = _OUTCOMES[study.fault]
    return PlantedCase(
        study.name, study_uid, visit.person.record_number, tuple(series), tuple(uids), tuple(reports), expected, code
    )


def _write_dicom_series(
    place: _Place, study: Study, folder: Path, scans: Sequence[Scan], names: SeriesNames
) -> PlantedSeries:
    protocol = scans[0].protocol
    below = folder / f"{names.number:03d}_{protocol.description.replace(' ', '_')}"
    missing = (MISSING_SLICE,) if study.fault == "missing_slice" else ()
    files: list[Path] = []
    for scan in scans:
        files += write_series(below, scan, study.visit, names, missing, before=len(files))
    return PlantedSeries(
        protocol.description,
        protocol.contrast,
        tuple(files),
        names.series_uid,
        is_localizer=len(scans) > 1,
        truth=_truth(place, study, scans[0]) if protocol.contrast == "flair" and study.fault is None else None,
    )


def _truth(place: _Place, study: Study, scan: Scan) -> Truth:
    path = place.truth / f"{study.name}.nii.gz"
    _write_nifti(path, scan.truth, scan.grid, is_label=True)
    if not scan.truth.any():
        return Truth(path, "none", 0.0, None)
    x, y, z = scan.grid.to_ras_mm(np.argwhere(scan.truth).astype(np.float64)).mean(axis=0).tolist()
    volume_mm3 = int(scan.truth.sum()) * scan.grid.voxel_mm3
    return Truth(path, "left" if x < 0 else "right", volume_mm3, (x, y, z))


def _write_nifti(path: Path, data: NDArray[np.generic], grid: Grid, *, is_label: bool = False, note: str = "") -> None:
    image = nib.Nifti1Image(data, grid.affine)
    image.set_sform(grid.affine, code=1)
    image.set_qform(None, code=0)
    image.header["descrip"] = note.encode()
    if is_label:
        image.header.set_intent("label")
    nib.save(image, path)


def _write_truth_table(path: Path, cases: Iterable[PlantedCase]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(TRUTH_COLUMNS)
        for case in cases:
            for series in case.series:
                if series.truth is not None:
                    table.writerow(_truth_row(path.parent, case, series, series.truth))


def _truth_row(root: Path, case: PlantedCase, series: PlantedSeries, truth: Truth) -> tuple[str, ...]:
    file, label_map = (path.relative_to(root).as_posix() for path in (series.files[0], truth.label_file))
    return case.key, file, label_map, LESION_LABEL, truth.side, f"{truth.volume_mm3:.1f}"
