"""What is no image is skipped by rule; what may show a name is quarantined."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MediaStorageDirectoryStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
    generate_uid,
)

from tests.io.dicom_phantoms import Phantom, new_file, put_pixels, radiograph, save, with_tags, write_series
from tests.io.reading import fates, only_series, read


@pytest.mark.parametrize(
    ("sop_class", "fate", "code"),
    [
        (BasicTextSRStorage, "not_an_image", "structured_report"),
        (GrayscaleSoftcopyPresentationStateStorage, "not_an_image", "presentation_state"),
        (KeyObjectSelectionDocumentStorage, "not_an_image", "key_object_selection"),
        (EncapsulatedPDFStorage, "not_an_image", "encapsulated_document"),
        (RTStructureSetStorage, "not_an_image", "radiotherapy_structures"),
        (MediaStorageDirectoryStorage, "not_an_image", "dicomdir"),
        (SegmentationStorage, "skipped", "segmentation_object"),
        ("1.3.12.2.1107.5.9.1", "not_an_image", "siemens_raw"),
    ],
)
def test_objects_without_an_image_are_skipped_by_rule(tmp_path: Path, sop_class: str, fate: str, code: str) -> None:
    dataset = new_file(sop_class, generate_uid())
    dataset.PatientName = "Somebody"
    save(dataset, tmp_path / "object")

    found = read(tmp_path)

    assert fates(found) == {(fate, code): 1}
    assert not found.refused


def test_a_dicomdir_is_known_by_its_meta_group_alone(tmp_path: Path) -> None:
    dataset = new_file(MediaStorageDirectoryStorage, generate_uid())
    del dataset.SOPClassUID
    dataset.FileSetID = "DISC"
    save(dataset, tmp_path / "DICOMDIR")

    assert fates(read(tmp_path)) == {("not_an_image", "dicomdir"): 1}


def test_an_image_object_without_pixels_is_a_failure(tmp_path: Path) -> None:
    dataset = radiograph(UltrasoundImageStorage, "US", np.zeros((3, 5), dtype=np.uint8))
    del dataset.PixelData
    save(dataset, tmp_path / "object")

    assert fates(read(tmp_path)) == {("failed", "no_pixels"): 1}


def suspicious(name: str) -> Dataset:
    """An image that may show a name."""
    cells = np.arange(15, dtype=np.uint8).reshape(3, 5)
    if name == "said so":
        dataset = radiograph("1.2.840.10008.5.1.4.1.1.1.1", "DX", cells)
        dataset.BurnedInAnnotation = "YES"
    elif name == "screen shot":
        dataset = radiograph("1.2.840.10008.5.1.4.1.1.4", "MR", cells)
        dataset.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    else:
        sop_class = SecondaryCaptureImageStorage if name == "secondary capture" else UltrasoundImageStorage
        dataset = radiograph(sop_class, "OT", cells)
        del dataset.BurnedInAnnotation
    return dataset


@pytest.mark.parametrize("name", ["said so", "screen shot", "secondary capture", "ultrasound"])
def test_what_may_show_a_name_is_quarantined_by_code(tmp_path: Path, name: str) -> None:
    save(suspicious(name), tmp_path / "suspect")

    found = read(tmp_path)

    assert fates(found) == {("refused", "burned_in_suspected"): 1}
    assert found.refused[0].failure.code == "burned_in_suspected"


def test_a_quarantined_file_is_released_by_name_and_reason_and_that_is_recorded(tmp_path: Path) -> None:
    save(suspicious("ultrasound"), tmp_path / "suspect")
    file_id = read(tmp_path).files[0].file_id

    found = read(tmp_path, release=[{"file": file_id, "reason": "seen by A. B., nothing on it"}])

    series = only_series(found)
    (record,) = found.files
    assert (record.fate, record.code, record.reason) == ("used", "released", "seen by A. B., nothing on it")
    assert "released from quarantine by name" in series.notes
    assert "A. B." not in "".join(series.notes)  # free text: it stands in private/inputs.csv
    assert series.facts.burned_in == "unknown"


def test_one_suspect_leaves_the_rest_of_its_series_alone(tmp_path: Path) -> None:
    write_series(tmp_path, Phantom())
    shot = radiograph("1.2.840.10008.5.1.4.1.1.4", "MR", np.zeros((9, 9), dtype=np.uint8))
    shot.SeriesInstanceUID = Phantom().uid(Phantom().name)
    shot.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    save(shot, tmp_path / "shot")

    assert fates(read(tmp_path)) == {("used", ""): 11, ("refused", "burned_in_suspected"): 1}


def test_a_clean_statement_in_the_header_lets_a_capture_pass(tmp_path: Path) -> None:
    dataset = suspicious("secondary capture")
    dataset.BurnedInAnnotation = "NO"
    save(dataset, tmp_path / "capture")

    assert only_series(read(tmp_path)).facts.burned_in == "no"


def test_an_object_of_an_unknown_class_is_read_if_it_has_pixels(tmp_path: Path) -> None:
    write_series(tmp_path / "image", Phantom(), with_tags(SOPClassUID="1.2.3.4.5"))
    other = new_file("1.2.3.4.6", generate_uid())
    other.PatientName = "Somebody"
    save(other, tmp_path / "other")
    empty = new_file("1.2.3.4.7", generate_uid())
    put_pixels(empty, np.zeros((2, 2), dtype=np.uint8))

    assert fates(read(tmp_path)) == {("used", ""): 11, ("not_an_image", "no_pixels"): 1}
