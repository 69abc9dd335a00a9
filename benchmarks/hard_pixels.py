"""Folders that are hard to read because of what is in the pixels: scales, bits, packings, films."""

from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    UltrasoundImageStorage,
)

from benchmarks.hard_truth import Case, Image, Truth, changed, image
from tests.io.dicom_phantoms import (
    Phantom,
    enhanced,
    put_pixels,
    radiograph,
    save,
    slice_of,
    write_series,
)


def hounsfield(folder: Path) -> Truth:
    write_series(folder, Phantom(), modality="CT")
    return [image(Phantom(), Phantom().data - 1024)]


def scaled_slices(folder: Path) -> Truth:
    def scale(k: int, dataset: Dataset) -> Dataset:
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 + k / 4, -3.25
        return dataset

    write_series(folder, Phantom(), scale)
    return [image(Phantom(), Phantom().data * (0.5 + np.arange(11) / 4) - 3.25)]


def dirty_bits(folder: Path) -> Truth:
    numbers = (Phantom().data.astype(np.int32) % 4096 - 2048).astype(np.int16)

    def dirty(k: int, dataset: Dataset) -> Dataset:
        put_pixels(dataset, (numbers[:, :, k].T.view(np.uint16) & 0x0FFF | 0x4000).astype(np.uint16))
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 1
        return dataset

    write_series(folder, Phantom(), dirty)
    return [image(Phantom(), numbers)]


def packed(syntax: str) -> Case:
    """A series in another transfer syntax."""

    def pack(_: int, dataset: Dataset) -> Dataset:
        dataset.PixelRepresentation = 0
        dataset.compress(syntax, generate_instance_uid=False)
        return dataset

    return changed(pack, Phantom(shape=(33, 40, 5)))


def cut_slice(folder: Path) -> Truth:
    paths = write_series(folder, Phantom())
    victim = next(path for path in paths if dcmread(path).InstanceNumber == 5)
    victim.write_bytes(victim.read_bytes()[:-20])
    return []


def in_fragments(folder: Path) -> Truth:
    phantom = Phantom(shape=(33, 40, 5))

    def pack(_: int, dataset: Dataset) -> Dataset:
        dataset.PixelRepresentation = 0
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        dataset.PixelData = encapsulate([frame], fragments_per_frame=3)
        return dataset

    write_series(folder, phantom, pack)
    return [image(phantom)]


def in_syntax(syntax: str) -> Case:
    """A series whose pixels are not packed, but in another byte order, or deflated with their header."""

    def write(folder: Path) -> Truth:
        folder.mkdir(parents=True, exist_ok=True)
        for k in range(11):
            made = slice_of(Phantom(), k)
            dataset = Dataset(made)
            dataset.file_meta = made.file_meta
            dataset.file_meta.TransferSyntaxUID = syntax
            if syntax == ExplicitVRBigEndian:
                dataset.PixelData = Phantom().data[:, :, k].T.astype(">i2").tobytes()
            dataset.save_as(folder / f"IM{k}", enforce_file_format=True)
        return [image(Phantom())]

    return write


def sign_mismatch(folder: Path) -> Truth:
    """JPEG 2000 whose codestream says unsigned and whose header says signed."""
    phantom = Phantom(shape=(33, 40, 5))
    numbers = (phantom.data.astype(np.int32) % 4096 - 2048).astype(np.int16)

    def pack(k: int, dataset: Dataset) -> Dataset:
        put_pixels(dataset, (numbers[:, :, k].T.view(np.uint16) & 0x0FFF).astype(np.uint16), bits_stored=12)
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        dataset.PixelRepresentation = 1
        return dataset

    write_series(folder, phantom, pack)
    return [image(phantom, numbers)]


def lookup_table(folder: Path) -> Truth:
    """A modality LUT in the place of slope and intercept."""
    table = (np.arange(4096) * 2 + 7).astype(np.uint16)

    def change(_: int, dataset: Dataset) -> Dataset:
        item = Dataset()
        item.LUTDescriptor, item.ModalityLUTType = [4096, 0, 16], "US"
        item.add_new(0x00283006, "OW", table.tobytes())
        dataset.ModalityLUTSequence = Sequence([item])
        dataset.PixelRepresentation = 0
        return dataset

    write_series(folder, Phantom(), change)
    return [image(Phantom(), table[Phantom().data])]


def scaled_frames(folder: Path) -> Truth:
    """An enhanced file in which every frame has its own slope."""

    def scale(k: int, group: Dataset) -> None:
        transform = Dataset()
        transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = 0.5 + k / 4, -3.25, "US"
        group.PixelValueTransformationSequence = Sequence([transform])

    dataset = enhanced(Phantom(), scale)
    del dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    save(dataset, folder / "file")
    return [image(Phantom(), Phantom().data * (0.5 + np.arange(11) / 4) - 3.25)]


def film(sop_class: str, modality: str, **tags: object) -> Case:
    """A radiograph, of which no place in the patient is known."""

    def write(folder: Path) -> Truth:
        cells = (np.arange(63).reshape(7, 9) * 5).astype(np.uint16)
        dataset = radiograph(sop_class, modality, cells)
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        save(dataset, folder / "film")
        return [Image(cells.T[:, :, np.newaxis], None)]

    return write


def burned_in(folder: Path) -> Truth:
    dataset = radiograph(UltrasoundImageStorage, "US", np.arange(63, dtype=np.uint8).reshape(7, 9))
    dataset.BurnedInAnnotation = "YES"
    save(dataset, folder / "scan")
    return []
