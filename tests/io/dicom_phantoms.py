"""DICOM series made on the spot, with faults on request.

The phantom is asymmetric on purpose: every voxel has its own number, every axis its
own length and spacing, and the slices are oblique. `write_series` writes one file per
slice, in shuffled order, under names that say nothing; `change` edits or drops a slice
before it is written, which is how a test plants its fault.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

ROOT = "1.2.826.0.1.3680043.10.9999."
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Change = Callable[[int, Dataset], Dataset | None]


def oblique() -> NDArray[np.float64]:
    """(3, 3) rotation whose columns are the directions of row, column and normal in LPS."""
    x, y, z = np.deg2rad([-15.0, 10.0, 20.0])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@dataclass(frozen=True)
class Phantom:
    """What a series is made of.

    Attributes:
        shape: Columns, rows and slices.
        spacing_mm: Along columns (i), rows (j) and slices (k).
        directions: (3, 3) directions of i, j and the normal as columns, LPS.
        origin_lps_mm: Centre of the first voxel.
        shear_mm: How far each slice slides along j (gantry tilt).
        name: Makes its UIDs; the same name gives the same series.
        study: Makes the study's UID.
    """

    shape: tuple[int, int, int] = (5, 7, 11)
    spacing_mm: tuple[float, float, float] = (0.7, 0.8, 2.5)
    directions: NDArray[np.float64] = field(default_factory=oblique)
    origin_lps_mm: tuple[float, float, float] = (-31.0, 12.5, 47.25)
    shear_mm: float = 0.0
    name: str = "one"
    study: str = "study"

    @property
    def data(self) -> NDArray[np.int16]:
        """(i, j, k) numbers, each of them once."""
        count = int(np.prod(self.shape))
        return (np.arange(count) * 3 % 4093).astype(np.int16).reshape(self.shape)

    @property
    def affine_ras_mm(self) -> NDArray[np.float64]:
        """(4, 4), by pencil and paper."""
        affine = np.eye(4)
        affine[:3, :3] = self.directions * self.spacing_mm
        affine[:3, 2] += self.directions[:, 1] * self.shear_mm
        affine[:3, 3] = self.origin_lps_mm
        return LPS_TO_RAS @ affine

    def position_lps_mm(self, k: int) -> list[float]:
        """Where the first pixel of a slice lies."""
        step = self.directions[:, 2] * self.spacing_mm[2] + self.directions[:, 1] * self.shear_mm
        return [round(float(value), 6) for value in np.array(self.origin_lps_mm) + k * step]

    def orientation(self) -> list[float]:
        """ImageOrientationPatient."""
        return [round(float(value), 9) for value in (*self.directions[:, 0], *self.directions[:, 1])]

    def uid(self, *parts: object) -> str:
        """A UID that depends on the names only."""
        return generate_uid(prefix=ROOT, entropy_srcs=[self.study, *map(str, parts)])


def patient(dataset: Dataset, phantom: Phantom) -> None:
    """Fill in who it is: what must never leave private/."""
    dataset.PatientName = "Quixote^Alonso"
    dataset.PatientID = "MRN-1605-1615"
    dataset.PatientBirthDate = "19500229"
    dataset.PatientSex = "M"
    dataset.PatientAge = "071Y"
    dataset.StudyDate = "20210314"
    dataset.SeriesDate = "20210314"
    dataset.StudyTime = "101112"
    dataset.AccessionNumber = "ACC778899"
    dataset.InstitutionName = "Hospital de La Mancha"
    dataset.StudyInstanceUID = phantom.uid("study")
    dataset.FrameOfReferenceUID = phantom.uid("frame of reference")
    dataset.StudyDescription = "HEAD"


def new_file(sop_class: str, sop_uid: str, syntax: str = ExplicitVRLittleEndian) -> FileDataset:
    """An empty data set with its meta header."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = sop_uid
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = sop_uid
    return dataset


def put_pixels(dataset: Dataset, cells: NDArray[np.generic], bits_stored: int | None = None) -> None:
    """Describe and store (rows, columns) or (frames, rows, columns) grey pixels."""
    bits = cells.dtype.itemsize * 8
    dataset.Rows, dataset.Columns = cells.shape[-2:]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = bits
    dataset.BitsStored = bits_stored or bits
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(cells.dtype.kind == "i")
    dataset.PixelData = np.ascontiguousarray(cells).tobytes()
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"


def slice_of(phantom: Phantom, k: int, modality: str = "MR") -> FileDataset:
    """One slice as a data set."""
    sop_class = CTImageStorage if modality == "CT" else MRImageStorage
    dataset = new_file(sop_class, phantom.uid(phantom.name, k))
    patient(dataset, phantom)
    dataset.Modality = modality
    dataset.Manufacturer = "Siemens Healthineers"
    dataset.ManufacturerModelName = "Phantom One"
    dataset.PatientPosition = "HFS"
    dataset.SeriesInstanceUID = phantom.uid(phantom.name)
    dataset.SeriesDescription = "t1 oblique"
    dataset.ProtocolName = "protocol"
    dataset.SeriesNumber = 4
    dataset.InstanceNumber = k + 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if modality == "CT" else "M"]
    dataset.AcquisitionTime = f"1012{k % 60:02d}.5"
    dataset.ImagePositionPatient = phantom.position_lps_mm(k)
    dataset.ImageOrientationPatient = phantom.orientation()
    dataset.PixelSpacing = [phantom.spacing_mm[1], phantom.spacing_mm[0]]
    dataset.SliceThickness = phantom.spacing_mm[2]
    if modality == "CT":
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.KVP = 120
    else:
        dataset.EchoTime, dataset.RepetitionTime = 3.5, 2300
    put_pixels(dataset, phantom.data[:, :, k].T)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Write a file as its meta header says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path, phantom: Phantom | None = None, change: Change | None = None, modality: str = "MR"
) -> list[Path]:
    """Write a series, one file per slice, in an order that is not that of the slices."""
    phantom = phantom or Phantom()
    shuffled = np.random.default_rng(5).permutation(phantom.shape[2]).tolist()
    paths = []
    for at, k in enumerate(shuffled):
        dataset: Dataset | None = slice_of(phantom, k, modality)
        if change is not None and dataset is not None:
            dataset = change(k, dataset)
        if dataset is not None:
            paths.append(save(dataset, folder / f"{phantom.name.replace(' ', '_')}{at:04d}"))
    return paths


def without(*missing: int) -> Change:
    """Leave slices out."""
    return lambda k, dataset: None if k in missing else dataset


def with_tags(**values: object) -> Change:
    """Set elements of every slice by keyword."""

    def change(_: int, dataset: Dataset) -> Dataset:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        return dataset

    return change


def without_tags(*keywords: str) -> Change:
    """Delete elements of every slice."""

    def change(_: int, dataset: Dataset) -> Dataset:
        for keyword in keywords:
            del dataset[keyword]
        return dataset

    return change


def radiograph(sop_class: str, modality: str, cells: NDArray[np.generic], name: str = "radiograph") -> FileDataset:
    """One projection without any spacing: the test adds what it needs."""
    phantom = Phantom(name=name)
    dataset = new_file(sop_class, phantom.uid(name, "instance"))
    patient(dataset, phantom)
    dataset.Modality = modality
    dataset.SeriesInstanceUID = phantom.uid(name)
    dataset.InstanceNumber = 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.BurnedInAnnotation = "NO"
    put_pixels(dataset, cells)
    return dataset


def enhanced(phantom: Phantom, change: Callable[[int, Dataset], None] | None = None) -> FileDataset:
    """The phantom as one Enhanced MR file; frames in shuffled order, each with its own functional groups."""
    dataset = new_file(EnhancedMRImageStorage, phantom.uid(phantom.name, "enhanced"))
    patient(dataset, phantom)
    dataset.Modality = "MR"
    dataset.SeriesInstanceUID = phantom.uid(phantom.name)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    dataset.InstanceNumber = 1
    measures, orientation, transform = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [phantom.spacing_mm[1], phantom.spacing_mm[0]]
    measures.SliceThickness = phantom.spacing_mm[2]
    orientation.ImageOrientationPatient = phantom.orientation()
    transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = 1, 0, "US"
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelValueTransformationSequence = Sequence([transform])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    order = np.random.default_rng(5).permutation(phantom.shape[2]).tolist()
    groups = []
    for k in order:
        position, content, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = phantom.position_lps_mm(k)
        content.StackID, content.InStackPositionNumber = "1", k + 1
        group.PlanePositionSequence = Sequence([position])
        group.FrameContentSequence = Sequence([content])
        if change is not None:
            change(k, group)
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    dataset.NumberOfFrames = len(groups)
    put_pixels(dataset, np.stack([phantom.data[:, :, k].T for k in order]))
    return dataset


def tiled(volume: NDArray[np.generic], across: int, down: int) -> NDArray[np.generic]:
    """Lay (i, j, k) out as one (rows, columns) picture of tiles, row by row."""
    columns, rows, slices = volume.shape
    picture = np.zeros((rows * down, columns * across), dtype=volume.dtype)
    for k in range(slices):
        row, column = divmod(k, across)
        picture[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns] = volume[:, :, k].T
    return picture
