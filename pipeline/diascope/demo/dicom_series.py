"""Write a scan as the DICOM files a scanner would send."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from diascope.demo.people import Visit
from diascope.demo.scanner import BITS_STORED, Scan
from diascope.io.dicom.geometry import LPS_TO_RAS

# Where pydicom's own examples live; nobody's archive uses it.
UID_ROOT = "1.2.826.0.1.3680043.8.498."

IMPLEMENTATION_UID = UID_ROOT + "1"


@dataclass(frozen=True, slots=True)
class SeriesNames:
    """What identifies a series.

    Attributes:
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        frame_uid: FrameOfReferenceUID, shared by the series of a study.
        number: SeriesNumber.
    """

    study_uid: str
    series_uid: str
    frame_uid: str
    number: int

    def instance_uid(self, number: int) -> str:
        """Give the SOPInstanceUID of a slice."""
        return f"{self.series_uid}.{number}"


def uid_of(seed: int, *what: str) -> str:
    """Make a UID that is the same for the same seed and words."""
    digest = hashlib.sha256("\0".join([str(seed), *what]).encode()).hexdigest()
    # 64 characters are allowed, and the instances add up to four.
    return UID_ROOT + str(int(digest[:26], 16))


def write_series(
    folder: Path, scan: Scan, visit: Visit, names: SeriesNames, missing: Sequence[int] = (), before: int = 0
) -> tuple[Path, ...]:
    """Write one file per slice.

    Args:
        folder: Of this series; made if need be.
        scan: The pixels and where they lie.
        visit: Who, where and when.
        names: UIDs and number.
        missing: Slices that got lost on the way.
        before: How many slices the series had already (other planes of a localizer).

    Returns:
        The files, by position.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = _header(scan, visit, names)
    count = scan.grid.shape[2]
    files = []
    for k in range(count):
        if k in missing:
            continue
        number = before + (count - k if visit.machine.counts_down else k + 1)
        path = folder / visit.machine.file_name.format(n=number, uid=names.instance_uid(number))
        files.append(path)
        _write_slice(path, header, scan, k, names.instance_uid(number), number)
    return tuple(files)


def patient_and_study(visit: Visit, names: SeriesNames) -> Dataset:
    """Fill in the modules that every object of a study shares."""
    person, machine = visit.person, visit.machine
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = visit.on.strftime("%Y%m%d")
    header.StudyTime = header.SeriesTime = header.ContentTime = visit.time
    header.AccessionNumber = visit.accession_number
    header.Manufacturer, header.ManufacturerModelName = machine.manufacturer, machine.model
    header.InstitutionName, header.StationName = machine.institution, machine.station
    header.DeviceSerialNumber = machine.serial_number
    header.ReferringPhysicianName = machine.physician
    header.StudyDescription = visit.description
    header.PatientName, header.PatientID = person.dicom_name, person.record_number
    header.PatientBirthDate, header.PatientSex = person.birth_date.strftime("%Y%m%d"), person.sex
    header.PatientAge = f"{person.age_years(visit.on):03d}Y"
    header.EthnicGroup = person.ethnic_group
    header.StudyID = visit.accession_number
    header.StudyInstanceUID, header.SeriesInstanceUID = names.study_uid, names.series_uid
    header.SeriesNumber = names.number
    return header


def save(path: Path, header: Dataset, sop_class: str, instance_uid: str) -> None:
    """Write a DICOM file with its preamble and meta information."""
    header.SOPClassUID, header.SOPInstanceUID = sop_class, instance_uid
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, instance_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    header.file_meta = meta
    header.save_as(path, enforce_file_format=True)


def _header(scan: Scan, visit: Visit, names: SeriesNames) -> Dataset:
    """Fill in what all slices of a series share."""
    protocol = scan.protocol
    header = patient_and_study(visit, names)
    header.ImageType = list(protocol.image_type)
    header.Modality, header.BodyPartExamined, header.PatientPosition = "MR", "HEAD", "HFS"
    header.SeriesDescription = header.ProtocolName = protocol.description
    header.MagneticFieldStrength = visit.machine.field_strength_t
    is_gradient_echo = protocol.contrast == "t1"
    header.ScanningSequence = ["GR", "IR"] if is_gradient_echo else ["SE", "IR"] if protocol.inversion_time_ms else "SE"
    header.SequenceVariant, header.ScanOptions = ["SK", "SP"] if is_gradient_echo else "SK", ""
    header.MRAcquisitionType = "3D" if is_gradient_echo else "2D"
    header.SliceThickness = round(protocol.spacing_mm[2] * (1.0 if is_gradient_echo else 0.9), 2)
    header.SpacingBetweenSlices = protocol.spacing_mm[2]
    header.RepetitionTime, header.EchoTime = protocol.repetition_time_ms, protocol.echo_time_ms
    if protocol.inversion_time_ms is not None:
        header.InversionTime = protocol.inversion_time_ms
    header.FlipAngle = protocol.flip_angle_deg
    header.FrameOfReferenceUID, header.PositionReferenceIndicator = names.frame_uid, ""
    column_step, row_step = (scan.grid.affine[:3, axis] / scan.grid.spacing_mm[axis] for axis in (0, 1))
    header.ImageOrientationPatient = _decimals([*(LPS_TO_RAS @ column_step), *(LPS_TO_RAS @ row_step)])
    # DICOM names the distance between rows first.
    header.PixelSpacing = _decimals([scan.grid.spacing_mm[1], scan.grid.spacing_mm[0]])
    header.Columns, header.Rows = scan.grid.shape[:2]
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, BITS_STORED, BITS_STORED - 1
    centre, width = protocol.white_level * 0.95, protocol.white_level * 1.9
    header.WindowCenter, header.WindowWidth = _decimals([centre, width])
    if visit.machine.is_rescaled:
        header.RescaleIntercept, header.RescaleSlope, header.RescaleType = "0", "1.25", "normalized"
    return header


def _write_slice(path: Path, header: Dataset, scan: Scan, k: int, instance_uid: str, number: int) -> None:
    place_ras_mm = scan.grid.to_ras_mm(np.array([[0.0, 0.0, float(k)]]))[0]
    header.ImagePositionPatient = _decimals((LPS_TO_RAS @ place_ras_mm).tolist())
    header.InstanceNumber = header.AcquisitionNumber = number
    # Pixels are stored row by row: j outside, i inside.
    header.PixelData = np.ascontiguousarray(scan.data[:, :, k].T).astype("<u2").tobytes()
    save(path, header, MRImageStorage, instance_uid)


def _decimals(values: Sequence[float]) -> list[str]:
    """Spell numbers in the 16 characters that DICOM allows."""
    return [f"{value:.8f}"[:16] for value in values]
