"""What else lies in folders of scans: files that are no images, and an image that is torn."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import BasicTextSRStorage, MediaStorageDirectoryStorage

from diascope.demo.dicom_series import SeriesNames, patient_and_study, save, uid_of
from diascope.demo.people import Visit


def write_strays(folder: Path, visit: Visit, seed: int) -> tuple[Path, ...]:
    """Put a viewer, a directory, a letter and a note on the CD of a patient.

    Args:
        folder: Of the CD.
        visit: Whose it is: name and number stand in some of the files.
        seed: Of the viewer's bytes.

    Returns:
        The files, none of which is an image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name, number = visit.person.dicom_name, visit.person.record_number
    note = f"CD for {name}, {number}, scanned {visit.on.isoformat()}.\nStart viewer.exe to see the images.\n"
    letter = f"%PDF-1.4\n1 0 obj\n<< /Title (Report on {name}) >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
    contents = {
        "viewer.exe": b"MZ\x90\x00" + np.random.default_rng(seed).bytes(60_000),
        "autorun.inf": b"[autorun]\r\nopen=viewer.exe\r\n",
        "README.TXT": note.encode(),
        f"report_{visit.person.folder_name}.pdf": letter.encode(),
        "Thumbs.db": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504),
    }
    for file_name, content in contents.items():
        (folder / file_name).write_bytes(content)
    directory = folder / "DICOMDIR"
    _write_directory(directory, seed)
    return (*(folder / file_name for file_name in contents), directory)


def write_text_report(path: Path, visit: Visit, names: SeriesNames) -> None:
    """Write a structured report: a valid DICOM object of the study, but no image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = patient_and_study(visit, names)
    report.Modality = "SR"
    report.InstanceNumber = 1
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.ValueType, report.ContinuityOfContent = "CONTAINER", "SEPARATE"
    report.ConceptNameCodeSequence = Sequence([_code("18748-4", "LN", "Diagnostic imaging report")])
    report.ReferencedPerformedProcedureStepSequence = Sequence([])
    report.PerformedProcedureCodeSequence = Sequence([])
    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.ConceptNameCodeSequence = Sequence([_code("121071", "DCM", "Finding")])
    text.TextValue = f"{visit.person.given_name.title()} {visit.person.family_name.title()}: see the images."
    report.ContentSequence = Sequence([text])
    save(path, report, BasicTextSRStorage, names.instance_uid(1))


def tear(path: Path, kept_share: float) -> None:
    """Cut the end off a file, as a copy that was interrupted."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept_share)])


def _write_directory(path: Path, seed: int) -> None:
    directory = Dataset()
    directory.FileSetID = "CD"
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.FileSetConsistencyFlag = 0
    directory.DirectoryRecordSequence = Sequence([])
    save(path, directory, MediaStorageDirectoryStorage, uid_of(seed, "dicomdir"))


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
