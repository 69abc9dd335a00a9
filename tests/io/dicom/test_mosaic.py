"""Volumes laid out as tiles are taken apart, or refused; tiles never pass for one picture."""

import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from diascope.geometry import Grid
from tests.io.dicom_phantoms import Phantom, put_pixels, save, slice_of, tiled
from tests.io.reading import only_refusal, only_series, only_volume, read


def csa_block(**values: list[str]) -> bytes:
    """A CSA header of the second version."""
    block = b"SV10\4\3\2\1" + struct.pack("<ii", len(values), 77)
    for name, texts in values.items():
        block += struct.pack("<64si4s3i", name.encode(), len(texts), b"FD", 3, 6, 77)
        for text in [*texts, *[""] * (6 - len(texts))]:
            raw = text.encode() + b"\0" if text else b""
            block += struct.pack("<4i", len(raw), len(raw), 77, len(raw)) + raw + bytes(-len(raw) % 4)
    return block


def mosaic(phantom: Phantom, normal: np.ndarray | None = None, block: int = 0x10) -> Dataset:
    """A Siemens mosaic of the phantom; its private blocks may lie anywhere."""
    dataset = slice_of(phantom, 0)
    across = int(np.ceil(np.sqrt(phantom.shape[2])))
    put_pixels(dataset, tiled(phantom.data, across, across))
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    # The position is that of a picture as large as the mosaic around the same centre.
    shift = (
        (
            phantom.directions[:, 0] * phantom.spacing_mm[0] * phantom.shape[0]
            + phantom.directions[:, 1] * phantom.spacing_mm[1] * phantom.shape[1]
        )
        * (across - 1)
        / 2
    )
    dataset.ImagePositionPatient = (np.array(phantom.origin_lps_mm) - shift).round(6).tolist()
    dataset.SpacingBetweenSlices = phantom.spacing_mm[2]
    normal = phantom.directions[:, 2] if normal is None else normal
    csa = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    values = [f"{part:.9f}" for part in normal]
    csa.add_new(0x10, "OB", csa_block(NumberOfImagesInMosaic=[str(phantom.shape[2])], SliceNormalVector=values))
    if block != 0x10:
        move_block(dataset, 0x0029, block)
    return dataset


def move_block(dataset: Dataset, group: int, block: int) -> None:
    """Move a private block, as archives do."""
    creator = dataset[group, 0x10].value
    content = dataset[group, 0x1010].value
    del dataset[group, 0x10], dataset[group, 0x1010]
    dataset.add_new((group, block), "LO", creator)
    dataset.add_new((group, block << 8 | 0x10), "OB", content)


def test_a_siemens_mosaic_is_the_volume_of_its_tiles(tmp_path: Path) -> None:
    phantom = Phantom()
    save(mosaic(phantom), tmp_path / "mosaic")

    volume = only_volume(read(tmp_path))

    assert isinstance(volume.space, Grid)
    np.testing.assert_allclose(volume.space.affine, phantom.affine_ras_mm, atol=1e-4)
    np.testing.assert_array_equal(volume.data, phantom.data)
    # All its slices are in one file.
    series = only_series(read(tmp_path))
    assert series.slices_named_by == "instance_number"
    assert len(series.slice_numbers) == 11
    assert len(set(series.slice_numbers)) == 1


def test_tiles_stacked_against_the_normal_come_out_along_it(tmp_path: Path) -> None:
    phantom = Phantom()
    save(mosaic(phantom, normal=-phantom.directions[:, 2]), tmp_path / "mosaic")

    volume = only_volume(read(tmp_path))

    assert isinstance(volume.space, Grid)
    first_tile_ras_mm = np.array(phantom.origin_lps_mm) * [-1, -1, 1]
    np.testing.assert_allclose(volume.space.to_ras_mm(np.array([[0, 0, 10]]))[0], first_tile_ras_mm, atol=1e-4)
    np.testing.assert_array_equal(volume.data, phantom.data[:, :, ::-1])


def test_the_private_block_is_found_by_its_creator_wherever_it_lies(tmp_path: Path) -> None:
    save(mosaic(Phantom(), block=0x4D), tmp_path / "mosaic")

    np.testing.assert_array_equal(only_volume(read(tmp_path)).data, Phantom().data)


def test_mosaics_one_after_the_other_are_volumes_in_time(tmp_path: Path) -> None:
    for t in range(3):
        dataset = mosaic(Phantom())
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = Phantom().uid("mosaic", t)
        dataset.AcquisitionNumber = t + 1
        save(dataset, tmp_path / f"{9 - t}")

    series = only_series(read(tmp_path))

    assert (series.volumes, series.axis) == (3, "time")
    assert series.space is not None
    assert series.space.shape == (5, 7, 11)


@pytest.mark.parametrize("fault", ["no private header", "private header cut off", "no normal", "no spacing"])
def test_a_mosaic_without_its_private_header_is_refused_and_never_shown_as_tiles(tmp_path: Path, fault: str) -> None:
    dataset = mosaic(Phantom())
    if fault == "no private header":
        dataset.remove_private_tags()
    elif fault == "private header cut off":
        dataset[0x0029, 0x1010].value = dataset[0x0029, 0x1010].value[:100]
    elif fault == "no normal":
        dataset[0x0029, 0x1010].value = csa_block(NumberOfImagesInMosaic=["11"])
    else:
        del dataset.SpacingBetweenSlices, dataset.SliceThickness
    save(dataset, tmp_path / "mosaic")

    found = read(tmp_path)

    assert only_refusal(found) in {"mosaic_without_geometry", "corrupt"}


def united_imaging(phantom: Phantom) -> Dataset:
    dataset = slice_of(phantom, 0)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "VFRAME"]
    dataset.Manufacturer = "UIH"
    put_pixels(dataset, tiled(phantom.data, 4, 3))
    block = dataset.private_block(0x0065, "Image Private Header", create=True)
    items = []
    for k in range(phantom.shape[2]):
        item = Dataset()
        item.ImagePositionPatient = phantom.position_lps_mm(k)
        items.append(item)
    block.add_new(0x50, "DS", str(phantom.shape[2]))
    block.add_new(0x51, "SQ", Sequence(items))
    return dataset


def test_a_united_imaging_grid_is_the_volume_of_its_tiles(tmp_path: Path) -> None:
    phantom = Phantom()
    save(united_imaging(phantom), tmp_path / "grid")

    volume = only_volume(read(tmp_path))

    assert isinstance(volume.space, Grid)
    np.testing.assert_allclose(volume.space.affine, phantom.affine_ras_mm, atol=1e-5)
    np.testing.assert_array_equal(volume.data, phantom.data)


def test_a_united_imaging_grid_without_positions_is_refused(tmp_path: Path) -> None:
    dataset = united_imaging(Phantom())
    del dataset[0x0065, 0x1051]
    save(dataset, tmp_path / "grid")

    assert only_refusal(read(tmp_path)) == "mosaic_without_geometry"
