"""Folders of scans that are hard to read, each with what is right: images, or a refusal.

The images are known by construction (see tests/io/dicom_phantoms.py); nothing here was
read back by any tool.
"""

import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from benchmarks.hard_pixels import (
    burned_in,
    cut_slice,
    dirty_bits,
    film,
    hounsfield,
    in_fragments,
    in_syntax,
    lookup_table,
    packed,
    scaled_frames,
    scaled_slices,
    sign_mismatch,
)
from benchmarks.hard_truth import Case, Image, Truth, changed, image, one_file, refused
from tests.io.dicom.test_mosaic import mosaic, move_block, united_imaging
from tests.io.dicom_phantoms import (
    Change,
    Phantom,
    enhanced,
    new_file,
    put_pixels,
    save,
    slice_of,
    with_tags,
    without,
    without_tags,
    write_series,
)


def same_number(folder: Path) -> Truth:
    other = Phantom(name="other", origin_lps_mm=(5.0, 6.0, 7.0))
    write_series(folder, Phantom())
    write_series(folder, other)
    return [image(Phantom()), image(other)]


def one_series(folder: Path, *phantoms: Phantom, change: Change | None = None) -> Truth:
    """Write several stacks under one SeriesInstanceUID; the change goes into the last."""
    for at, phantom in enumerate(phantoms):

        def together(k: int, dataset: Dataset, last: bool = at == len(phantoms) - 1) -> Dataset | None:
            dataset.SeriesInstanceUID = Phantom().uid("one")
            return change(k, dataset) if change and last else dataset

        write_series(folder, phantom, together)
    return [image(phantom) for phantom in phantoms]


def two_orientations(folder: Path) -> Truth:
    return one_series(folder, Phantom(shape=(5, 7, 20)), Phantom(shape=(5, 7, 20), directions=np.eye(3), name="two"))


def two_matrices(folder: Path) -> Truth:
    return one_series(folder, Phantom(), Phantom(shape=(6, 9, 11), name="two"))


def two_echoes(folder: Path) -> Truth:
    return one_series(folder, Phantom(), Phantom(name="two"), change=with_tags(EchoTime=92.0))


def tilted(shear_mm: float) -> Case:
    """A CT scanned with a tilted gantry, which the header says, too."""

    def write(folder: Path) -> Truth:
        phantom = Phantom(shear_mm=shear_mm, directions=np.eye(3))
        degrees = float(np.rad2deg(np.arctan2(shear_mm, phantom.spacing_mm[2])))
        write_series(folder, phantom, with_tags(GantryDetectorTilt=round(degrees, 3)), modality="CT")
        return [image(phantom, phantom.data - 1024)]

    return write


def copied_file(folder: Path) -> Truth:
    paths = write_series(folder, Phantom())
    shutil.copy(paths[3], folder / "copy")
    return [image(Phantom())]


def doubled_slice(folder: Path) -> Truth:
    write_series(folder, Phantom())
    again = slice_of(Phantom(), 6)
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = Phantom().uid("again")
    again.PixelData = bytes(70)
    save(again, folder / "again")
    return []


def stretched(k: int, dataset: Dataset) -> Dataset:
    place = np.array(Phantom().position_lps_mm(k)) + Phantom().directions[:, 2] * (1.2 if k > 5 else 0)
    dataset.ImagePositionPatient = place.round(6).tolist()
    return dataset


def jittered(k: int, dataset: Dataset) -> Dataset:
    shift_mm = 0 if k in (0, 10) else 0.008 * (-1) ** k
    place = np.array(Phantom().position_lps_mm(k)) + Phantom().directions[:, 2] * shift_mm
    dataset.ImagePositionPatient = place.round(6).tolist()
    return dataset


def in_volumes(tag: Callable[[int, int, Dataset], None]) -> Case:
    """Three volumes in one series."""

    def write(folder: Path) -> Truth:
        phantom = Phantom(shape=(5, 7, 6))
        for t in range(3):
            for k in range(6):
                dataset = slice_of(phantom, k)
                dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = phantom.uid(t, k)
                dataset.InstanceNumber = t * 6 + k + 1
                dataset.PixelData = (phantom.data[:, :, k].T + 100 * t).astype(np.int16).tobytes()
                tag(t, k, dataset)
                save(dataset, folder / f"{(t * 7 + k * 5) % 31:03d}_{t}_{k}")
        return [image(phantom, np.stack([phantom.data + 100 * t for t in range(3)], axis=-1))]

    return write


def in_time(t: int, _: int, dataset: Dataset) -> None:
    dataset.TemporalPositionIdentifier, dataset.NumberOfTemporalPositions = t + 1, 3
    dataset.AcquisitionTime, dataset.AcquisitionNumber = f"1012{t * 2:02d}", t + 1


def by_weighting(t: int, _: int, dataset: Dataset) -> None:
    dataset.DiffusionBValue, dataset.AcquisitionNumber = (0.0, 500.0, 1000.0)[t], t + 1


def moved_mosaic(phantom: Phantom) -> Dataset:
    dataset = mosaic(phantom)
    move_block(dataset, 0x0029, 0x4D)
    return dataset


def mosaic_without_header(folder: Path) -> Truth:
    dataset = mosaic(Phantom())
    dataset.remove_private_tags()
    save(dataset, folder / "file")
    return []


def enhanced_with_a_hole(folder: Path) -> Truth:
    dataset = enhanced(Phantom())
    groups = dataset.PerFrameFunctionalGroupsSequence
    at = next(at for at, group in enumerate(groups) if group.FrameContentSequence[0].InStackPositionNumber == 5)
    frames = np.frombuffer(dataset.PixelData, dtype=np.int16).reshape(11, 7, 5)
    del groups[at]
    dataset.NumberOfFrames = 10
    put_pixels(dataset, np.delete(frames, at, axis=0))
    save(dataset, folder / "file")
    return []


def without_meta(folder: Path) -> Truth:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(11):
        Dataset(slice_of(Phantom(), k)).save_as(folder / f"IM{k}", implicit_vr=True, little_endian=True)
    return [image(Phantom())]


def with_preamble(folder: Path) -> Truth:
    for path in write_series(folder, Phantom()):
        path.write_bytes(b"MZ\x90\0" + path.read_bytes()[4:])
    return [image(Phantom())]


def wrong_alphabet(folder: Path) -> Truth:
    for path in write_series(folder, Phantom(), with_tags(PatientName="Quixote^Alonsoo")):
        raw = path.read_bytes().replace(b"Alonsoo", b"Al\xf3ns\xff\xe9")
        at = raw.index(b"\x08\x00\x08\x00CS")
        path.write_bytes(raw[:at] + b"\x08\x00\x05\x00CS" + struct.pack("<H", 12) + b"NO_SUCH_SET " + raw[at:])
    return [image(Phantom())]


def without_places(folder: Path) -> Truth:
    write_series(folder, Phantom(), without_tags("ImagePositionPatient", "ImageOrientationPatient"))
    return [Image(Phantom().data, None)]


def no_images(folder: Path) -> Truth:
    for at, sop_class in enumerate((BasicTextSRStorage, EncapsulatedPDFStorage)):
        dataset = new_file(sop_class, generate_uid())
        dataset.PatientName, dataset.Modality = "Somebody", "SR"
        save(dataset, folder / f"object{at}")
    (folder / "viewer.exe").write_bytes(b"MZ" + bytes(500))
    return []


def zipped(folder: Path) -> Truth:
    paths = write_series(folder.parent / f"{folder.name}.source", Phantom())
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "study.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    return [image(Phantom())]


def magnitude_and_phase(folder: Path) -> Truth:
    """What a scanner tells apart by the third value of ImageType only."""
    for kind, more in (("M", 0), ("P", 500)):

        def change(k: int, dataset: Dataset, kind: str = kind, more: int = more) -> Dataset:
            dataset.SeriesInstanceUID, dataset.ImageType = Phantom().uid("one"), ["ORIGINAL", "PRIMARY", kind, "NORM"]
            put_pixels(dataset, (Phantom().data[:, :, k].T + more).astype(np.int16))
            return dataset

        write_series(folder, Phantom(name=kind), change)
    return [image(Phantom()), image(Phantom(), Phantom().data + 500)]


def exposures(k: int, dataset: Dataset) -> Dataset:
    """What dose control and a slow scan change from slice to slice."""
    dataset.Exposure, dataset.XRayTubeCurrent, dataset.ExposureTime = 100 + 3 * k, 200 + 7 * k, 500 + k
    dataset.AcquisitionTime = f"1012{k * 2:02d}.5"
    return dataset


def half_a_volume(folder: Path) -> Truth:
    in_volumes(in_time)(folder)
    next(path for path in sorted(folder.iterdir()) if path.name.endswith("_2_4")).unlink()
    return []


def two_patients(folder: Path) -> Truth:
    """Two patients whose studies and series have one UID, as an anonymiser may leave them."""
    other = Phantom(name="other", origin_lps_mm=(5.0, 6.0, 7.0))

    def stranger(_: int, dataset: Dataset) -> Dataset:
        dataset.PatientID, dataset.SeriesInstanceUID = "MRN-2", Phantom().uid(Phantom().name)
        return dataset

    write_series(folder, Phantom())
    write_series(folder, other, stranger)
    return [image(Phantom()), image(other)]


def packed_tar(folder: Path) -> Truth:
    paths = write_series(folder.parent / f"{folder.name}.source", Phantom())
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "study.tar.gz", "w:gz") as archive:
        for path in paths:
            archive.add(path, path.name)
    return [image(Phantom())]


CR, DX = ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

CASES: dict[str, Case] = {
    "shuffled oblique series": changed(None),
    "CT in Hounsfield units": hounsfield,
    "two series with the same number": same_number,
    "two orientations in one series": two_orientations,
    "two matrices in one series": two_matrices,
    "two echoes in one series": two_echoes,
    "missing slice": refused(without(3)),
    "uneven spacing": refused(stretched),
    "jittered positions": changed(jittered),
    "a file twice": copied_file,
    "two different slices at one place": doubled_slice,
    "gantry tilt, positive": tilted(0.8),
    "gantry tilt, negative": tilted(-0.8),
    "4-D in time": in_volumes(in_time),
    "4-D by b-value": in_volumes(by_weighting),
    "enhanced multi-frame": one_file(enhanced),
    "enhanced with a missing frame": enhanced_with_a_hole,
    "Siemens mosaic": one_file(mosaic),
    "mosaic, private block moved": one_file(moved_mosaic),
    "mosaic without private header": mosaic_without_header,
    "United Imaging grid": one_file(united_imaging),
    "slope per slice": scaled_slices,
    "12 bits, signed, dirty": dirty_bits,
    "RLE": packed(RLELossless),
    "JPEG 2000": packed(JPEG2000Lossless),
    "JPEG-LS": packed(JPEGLSLossless),
    "cut-off pixels in a slice": cut_slice,
    "no preamble, no meta group": without_meta,
    "a program in the preamble": with_preamble,
    "wrong character set": wrong_alphabet,
    "missing type 2 elements": changed(without_tags("PatientName", "PatientID", "StudyDate", "InstanceNumber")),
    "MONOCHROME1": film(CR, "CR", PhotometricInterpretation="MONOCHROME1"),
    "detector spacing": film(DX, "DX", ImagerPixelSpacing=[0.2, 0.15]),
    "no positions": without_places,
    "burned-in text declared": burned_in,
    "reports and a viewer only": no_images,
    "a zip file": zipped,
    "a tar.gz file": packed_tar,
    "magnitude and phase in one series": magnitude_and_phase,
    "exposure and time differ by slice": changed(exposures),
    "4-D that lacks a slice": half_a_volume,
    "two patients under one UID": two_patients,
    "slope per frame, enhanced": scaled_frames,
    "modality LUT": lookup_table,
    "JPEG 2000 in fragments": in_fragments,
    "JPEG 2000, sign contradicted": sign_mismatch,
    "big endian": in_syntax(ExplicitVRBigEndian),
    "deflated": in_syntax(DeflatedExplicitVRLittleEndian),
}
