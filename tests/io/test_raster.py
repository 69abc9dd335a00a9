"""Radiographs as pictures: grey values kept, nothing measured in millimetres."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image

from diascope.errors import InputError
from diascope.geometry import IndexGrid
from diascope.identity import IdentityKey
from diascope.io.raster import RasterReader
from diascope.io.reader import Context, FoundFile, Grouped, IngestSettings
from diascope.volume import ColourImage, Volume

KEY = IdentityKey(bytes(range(32)))
ROWS, COLUMNS = 9, 13


def grey(dtype: type = np.uint8, top: int = 250) -> NDArray[np.generic]:
    return np.random.default_rng(7).integers(0, top, (ROWS, COLUMNS)).astype(dtype)


def grouped(path: Path, **settings: float) -> Grouped:
    reader = RasterReader()
    assert reader.claims(path.read_bytes()[:4096], path.name)
    file = FoundFile(path, str(path), path.stat().st_size, 0)
    found = reader.group([file], Context(KEY, IngestSettings(**settings)))  # type: ignore[arg-type]
    assert len(found.files) == 1
    return found


def decoded(path: Path) -> Volume:
    found = grouped(path)
    assert not found.refused, found.refused
    volume = RasterReader().decode(found.series[0])
    assert isinstance(volume, Volume)
    assert volume.space == found.series[0].space, "the header promised the same geometry"
    return volume


def refusal(path: Path, **settings: float) -> str:
    found = grouped(path, **settings)
    assert found.series == ()
    return found.refused[0].failure.code


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 250), (np.uint16, 65_000)])
def test_grey_values_come_back_as_columns_and_rows(tmp_path: Path, ending: str, dtype: type, top: int) -> None:
    pixels, path = grey(dtype, top), tmp_path / f"x.{ending}"
    Image.fromarray(pixels).save(path)

    volume = decoded(path)

    assert volume.space == IndexGrid((COLUMNS, ROWS, 1))
    assert volume.data.dtype == dtype
    assert np.array_equal(volume.data[:, :, 0], pixels.T)
    by_itk = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert np.array_equal(volume.data[:, :, 0].T, by_itk)


def test_a_jpeg_of_one_grey_value_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(np.full((ROWS, COLUMNS), 117, dtype=np.uint8)).save(path, quality=95)

    assert np.unique(decoded(path).data).tolist() == [117]


def test_the_printers_resolution_is_not_taken_for_millimetres(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(grey()).save(path, dpi=(300, 300))

    assert isinstance(decoded(path).space, IndexGrid)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1"])
def test_colour_with_equal_channels_is_grey(tmp_path: Path, mode: str) -> None:
    pixels, path = grey(), tmp_path / "x.png"
    picture = Image.fromarray(pixels)
    picture = picture.convert("RGB").quantize(256) if mode == "P" else picture.convert(mode)
    picture.save(path)

    volume = decoded(path)

    if mode != "1":
        assert np.array_equal(volume.data[:, :, 0], pixels.T)
    assert volume.data.dtype == np.uint8


def test_real_colour_is_a_colour_image(tmp_path: Path) -> None:
    pixels, path = np.stack([grey(), grey() // 2, grey() // 3], axis=-1), tmp_path / "x.png"
    Image.fromarray(pixels).save(path)

    colour = RasterReader().decode(grouped(path).series[0])

    assert isinstance(colour, ColourImage)
    assert np.array_equal(colour.data[:, :, 0], pixels.swapaxes(0, 1))


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_it_asks_to_be_shown(tmp_path: Path, orientation: int, ending: str) -> None:
    pixels, path = grey(), tmp_path / f"x.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **({"compression": "tiff_lzw"} if ending == "tif" else {}))
    # EXIF 2.3, 4.6.4: where the 0th row and the 0th column of the stored picture are shown.
    shown = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.T,
        6: pixels[::-1].T,
        7: pixels[::-1, ::-1].T,
        8: pixels[:, ::-1].T,
    }[orientation]

    volume = decoded(path)

    assert np.array_equal(volume.data[:, :, 0].T, shown)
    assert bool(grouped(path).series[0].notes) == (orientation != 1)


def test_an_unpacked_tiff_on_its_side_is_refused_because_pillow_scrambles_it(tmp_path: Path) -> None:
    exif, path = Image.Exif(), tmp_path / "x.tif"
    exif[0x0112] = 6
    Image.fromarray(grey()).save(path, exif=exif)

    assert refusal(path) == "turned_tiff"


def test_text_may_be_burned_in_and_the_facts_say_so(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(grey()).save(path)

    assert grouped(path).series[0].facts.burned_in == "unknown"


def test_pages_are_not_taken_for_slices(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(grey()).save(path, save_all=True, append_images=[Image.fromarray(grey() // 2)])

    assert refusal(path) == "multi_page"


def test_a_small_copy_of_the_first_page_does_not_count_as_a_page(tmp_path: Path) -> None:
    import tifffile

    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(grey(), photometric="minisblack")
        writer.write(grey()[::2, ::2], photometric="minisblack", subfiletype=1)

    assert np.array_equal(decoded(path).data[:, :, 0], grey().T)


def test_a_deep_tiff_that_shows_white_as_zero_is_marked_inverted(tmp_path: Path) -> None:
    import tifffile

    path, pixels = tmp_path / "x.tif", grey(np.uint16, 4000)
    tifffile.imwrite(path, pixels, photometric="miniswhite")

    volume = decoded(path)

    assert volume.is_inverted
    assert np.array_equal(volume.data[:, :, 0], pixels.T)


def test_colour_of_sixteen_bits_is_refused_rather_than_cut_to_eight(tmp_path: Path) -> None:
    import tifffile

    deep = np.stack([grey(np.uint16, 60_000)] * 3, axis=-1)
    tifffile.imwrite(tmp_path / "x.tif", deep, photometric="rgb")
    (tmp_path / "x.png").write_bytes(deep_png(deep))

    assert refusal(tmp_path / "x.tif") == "deep_colour"
    assert refusal(tmp_path / "x.png") == "deep_colour"


def deep_png(rgb: NDArray[np.uint16]) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)
    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_the_colours_of_printers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(grey()).convert("CMYK").save(path)

    assert refusal(path) == "colour_space"


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
@pytest.mark.parametrize("kept", [0.1, 0.6, 0.95])
def test_a_truncated_picture_is_never_filled_up(tmp_path: Path, ending: str, kept: float) -> None:
    path = tmp_path / f"x.{ending}"
    big = np.random.default_rng(3).integers(0, 250, (200, 300)).astype(np.uint8)
    Image.fromarray(big).save(path, **({"compression": "tiff_lzw"} if ending == "tif" else {}))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])

    found = grouped(path)

    if found.series:
        with pytest.raises(InputError, match="damaged"):
            RasterReader().decode(found.series[0])
    else:
        assert found.refused[0].failure.code == "corrupt"


def test_damage_that_only_a_checksum_tells_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.zeros((200, 300), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    start = whole.index(b"IDAT")
    for at in range(start, len(whole) - 12):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)

        found = grouped(path)

        assert found.refused or _is_refused_when_decoded(found)


def _is_refused_when_decoded(found: Grouped) -> bool:
    with pytest.raises(InputError):
        RasterReader().decode(found.series[0])
    return True


def test_a_picture_beyond_the_allowed_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.zeros((2000, 2000), dtype=np.uint8)).save(path)

    assert refusal(path, max_image_gb=0.01) == "too_large"


@pytest.mark.data
def test_every_real_radiograph_is_read_as_simpleitk_reads_it(shared_data: Path) -> None:
    paths = sorted((shared_data / "chest_xray" / "images").glob("*.png"))[:25]
    assert paths
    for path in paths:
        by_itk = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))

        assert np.array_equal(decoded(path).data[:, :, 0].T, by_itk)
