"""Label maps of every format land on the same voxels, by the word of an independent library."""

from pathlib import Path

import highdicom as hd
import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.sr.coding import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from diascope.errors import GridMismatch, InputError
from diascope.geometry import Grid, IndexGrid
from diascope.io.labels.reading import read_label_map

SHAPE = (9, 7, 5)
SPACING_MM = (0.7, 0.8, 2.5)
# A tilted head: columns of direction cosines in LPS, at right angles.
TURN = np.array([[0.936, -0.352, 0.0], [0.3440, 0.9148, -0.2116], [0.0745, 0.1981, 0.9773]])
AXES = np.linalg.qr(TURN)[0] * np.sign(np.diag(np.linalg.qr(TURN)[1]))
ORIGIN_LPS_MM = np.array([-31.0, 17.0, -120.0])


def grid() -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1, -1, 1]) @ AXES @ np.diag(SPACING_MM)
    affine[:3, 3] = np.diag([-1, -1, 1]) @ ORIGIN_LPS_MM
    return Grid(SHAPE, affine)


def marked() -> NDArray[np.uint8]:
    data = np.zeros(SHAPE, dtype=np.uint8)
    data[1:4, 2:6, 1:3] = 1
    data[6:8, 0:2, 2:4] = 2
    return data


def itk_image(data: NDArray[np.uint8]) -> sitk.Image:
    image = sitk.GetImageFromArray(data.transpose(2, 1, 0))
    image.SetSpacing(SPACING_MM)
    image.SetDirection(AXES.ravel().tolist())
    image.SetOrigin(ORIGIN_LPS_MM.tolist())
    return image


def ct_series() -> list[Dataset]:
    """The image as DICOM: rows run along j, columns along i."""
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    slices = []
    for k in range(SHAPE[2]):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "phantom", "Phantom^Test", "", "O"
        ds.StudyID, ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", "", "", ""
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber, ds.Laterality = "CT", 1, k + 1, ""
        ds.PositionReferenceIndicator = ""
        ds.Rows, ds.Columns = SHAPE[1], SHAPE[0]
        ds.PixelSpacing = [SPACING_MM[1], SPACING_MM[0]]
        ds.SliceThickness = SPACING_MM[2]
        ds.ImageOrientationPatient = [round(float(x), 8) for x in (*AXES[:, 0], *AXES[:, 1])]
        ds.ImagePositionPatient = [round(float(x), 6) for x in ORIGIN_LPS_MM + k * SPACING_MM[2] * AXES[:, 2]]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 0
        ds.PixelData = np.zeros((SHAPE[1], SHAPE[0]), dtype=np.uint16).tobytes()
        slices.append(ds)
    return slices


def write_seg(path: Path, frames: NDArray[np.uint8], names: list[str], kind: str = "BINARY") -> None:
    code = CodedConcept("M-01000", "SRT", "Morphologically Altered Structure")
    descriptions = [
        hd.seg.SegmentDescription(at + 1, name, code, code, hd.seg.SegmentAlgorithmTypeValues.MANUAL)
        for at, name in enumerate(names)
    ]
    hd.seg.Segmentation(
        source_images=ct_series(),
        pixel_array=frames,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="nobody",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
    ).save_as(path)


def as_frames(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(data.transpose(2, 1, 0))


def test_nifti_is_read_with_the_names_that_are_given(tmp_path: Path) -> None:
    sitk.WriteImage(itk_image(marked()), tmp_path / "truth.nii.gz")

    (found,) = read_label_map(tmp_path / "truth.nii.gz", grid(), {1: "anterior", 2: "posterior"})

    assert np.array_equal(found.data, marked())
    assert found.labels == {1: "anterior", 2: "posterior"}


def test_values_that_are_not_named_are_background_and_without_names_they_are_numbered(tmp_path: Path) -> None:
    sitk.WriteImage(itk_image(marked()), tmp_path / "truth.nii")

    (named,) = read_label_map(tmp_path / "truth.nii", grid(), {2: "posterior"})
    (numbered,) = read_label_map(tmp_path / "truth.nii", grid())

    assert np.array_equal(named.data == 2, marked() == 2)
    assert set(np.unique(named.data)) == {0, 2}
    assert numbered.labels == {1: "label_1", 2: "label_2"}


def test_nifti_without_a_frame_stays_without_one(tmp_path: Path) -> None:
    nib.Nifti1Image(marked(), None).to_filename(tmp_path / "truth.nii.gz")

    (found,) = read_label_map(tmp_path / "truth.nii.gz", IndexGrid(SHAPE), {1: "a", 2: "b"})

    assert np.array_equal(found.data, marked())
    with pytest.raises(GridMismatch):
        read_label_map(tmp_path / "truth.nii.gz", grid())


def test_floats_are_read_if_they_are_whole_and_refused_if_not(tmp_path: Path) -> None:
    nib.Nifti1Image(marked().astype(np.float32), None).to_filename(tmp_path / "whole.nii")
    nib.Nifti1Image(marked() * np.float32(0.5), None).to_filename(tmp_path / "half.nii")

    (found,) = read_label_map(tmp_path / "whole.nii", IndexGrid(SHAPE))

    assert np.array_equal(found.data, marked())
    with pytest.raises(InputError, match="fractions"):
        read_label_map(tmp_path / "half.nii", IndexGrid(SHAPE))


def test_negative_values_are_refused_with_their_range(tmp_path: Path) -> None:
    nib.Nifti1Image(marked().astype(np.int16) - 1, None).to_filename(tmp_path / "truth.nii")

    with pytest.raises(InputError, match="from -1 to 1"):
        read_label_map(tmp_path / "truth.nii", IndexGrid(SHAPE))


def test_slicer_s_segments_bring_their_names_and_their_place(tmp_path: Path) -> None:
    # Written by SimpleITK, so the place is by its word; the segments are header fields.
    image = itk_image(marked())
    sitk.WriteImage(image, tmp_path / "plain.nrrd")
    data, header = nrrd.read(str(tmp_path / "plain.nrrd"))
    header |= {"Segment0_Name": "tumour", "Segment0_LabelValue": "1", "Segment0_Layer": "0"}
    header |= {"Segment1_Name": "edema", "Segment1_LabelValue": "2", "Segment1_Layer": "0"}
    nrrd.write(str(tmp_path / "truth.seg.nrrd"), data, header)

    (found,) = read_label_map(tmp_path / "truth.seg.nrrd", grid())
    (plain,) = read_label_map(tmp_path / "plain.nrrd", grid(), {1: "tumour"})

    assert np.array_equal(found.data, marked())
    assert found.labels == {1: "tumour", 2: "edema"}
    assert np.array_equal(plain.data == 1, marked() == 1)


def test_overlapping_segments_of_slicer_come_in_layers(tmp_path: Path) -> None:
    first, second = (marked() == 1).astype(np.uint8), (marked() > 0).astype(np.uint8)
    directions = AXES @ np.diag(SPACING_MM)
    header = {
        "space": "left-posterior-superior",
        "kinds": ["list", "domain", "domain", "domain"],
        "space directions": np.vstack([np.full(3, np.nan), directions.T]),
        "space origin": ORIGIN_LPS_MM,
        "Segment0_Name": "core",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment1_Name": "whole",
        "Segment1_LabelValue": "1",
        "Segment1_Layer": "1",
    }
    nrrd.write(str(tmp_path / "truth.seg.nrrd"), np.stack([first, second]), header)

    core, whole = read_label_map(tmp_path / "truth.seg.nrrd", grid())

    assert (core.labels, whole.labels) == ({1: "core"}, {1: "whole"})
    assert np.array_equal(core.data, first)
    assert np.array_equal(whole.data, second)


def test_a_dicom_seg_lands_on_the_voxels_it_was_made_for(tmp_path: Path) -> None:
    write_seg(tmp_path / "truth.dcm", as_frames(marked()), ["liver", "spleen"])

    (found,) = read_label_map(tmp_path / "truth.dcm", grid())

    # Slices 0 and 4 are empty and not stored; they come back empty.
    assert np.array_equal(found.data, marked())
    assert found.labels == {1: "liver", 2: "spleen"}


def test_segments_of_a_dicom_seg_that_overlap_come_in_layers(tmp_path: Path) -> None:
    both = np.stack([as_frames((marked() == 1).astype(np.uint8)), as_frames((marked() > 0).astype(np.uint8))], axis=-1)
    write_seg(tmp_path / "truth.dcm", both, ["core", "whole"])

    core, whole = read_label_map(tmp_path / "truth.dcm", grid())

    assert (core.labels, whole.labels) == ({1: "core"}, {2: "whole"})
    assert np.array_equal(core.data > 0, marked() == 1)
    assert np.array_equal(whole.data > 0, marked() > 0)


def test_contours_are_filled_slice_by_slice_and_a_contour_within_is_a_hole(tmp_path: Path) -> None:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = RTStructureSetStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.Modality = "RTSTRUCT"
    roi = Dataset()
    roi.ROINumber, roi.ROIName = 4, "GTV"
    ds.StructureSetROISequence = [roi]
    reference = itk_image(marked())
    rings = []
    for low, high in (((0.5, 0.5), (7.5, 5.5)), ((2.5, 2.5), (5.5, 4.5))):
        contour = Dataset()
        contour.ContourGeometricType = "CLOSED_PLANAR"
        corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
        # Positions by SimpleITK's word, in LPS as RTSTRUCT wants them.
        points = [reference.TransformContinuousIndexToPhysicalPoint((i, j, 3.0)) for i, j in corners]
        contour.NumberOfContourPoints = 4
        contour.ContourData = [f"{x:.5f}" for point in points for x in point]
        rings.append(contour)
    region = Dataset()
    region.ReferencedROINumber, region.ContourSequence = 4, rings
    ds.ROIContourSequence = [region]
    ds.save_as(tmp_path / "truth.dcm", enforce_file_format=True)

    (found,) = read_label_map(tmp_path / "truth.dcm", grid())

    expected = np.zeros(SHAPE, dtype=bool)
    expected[1:8, 1:6, 3] = True
    expected[3:6, 3:5, 3] = False
    assert np.array_equal(found.data > 0, expected)
    assert found.labels == {1: "GTV"}


def test_other_dicom_objects_and_other_files_are_refused(tmp_path: Path) -> None:
    ct_series()[0].save_as(tmp_path / "image.dcm", enforce_file_format=True)
    (tmp_path / "notes.txt").write_text("not an image" * 40)

    with pytest.raises(InputError, match="modality CT is no label map"):
        read_label_map(tmp_path / "image.dcm", grid())
    with pytest.raises(InputError, match="cannot be read"):
        read_label_map(tmp_path / "notes.txt", grid())
    with pytest.raises(InputError, match="cannot be read"):
        read_label_map(tmp_path / "absent.nii", grid())


def test_a_truth_cut_off_in_the_middle_is_refused(tmp_path: Path) -> None:
    write_seg(tmp_path / "seg.dcm", as_frames(marked()), ["a", "b"])
    nib.Nifti1Image(marked(), None).to_filename(tmp_path / "map.nii")
    for name in ("seg.dcm", "map.nii"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) - 40])

        with pytest.raises(InputError):
            read_label_map(tmp_path / name, IndexGrid(SHAPE))


def test_the_phantom_s_place_is_the_same_in_pydicom_and_simpleitk() -> None:
    last = ct_series()[-1]
    assert isinstance(last, pydicom.Dataset)

    corner = itk_image(marked()).TransformIndexToPhysicalPoint((0, 0, SHAPE[2] - 1))

    assert np.allclose(np.asarray(last.ImagePositionPatient, dtype=float), corner, atol=1e-4)
