"""NRRD and MetaImage against SimpleITK: the same voxels at the same place, or no place at all."""

import itertools
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.findings import ImageFacts
from diascope.geometry import Grid, IndexGrid, PixelGrid
from diascope.identity import IdentityKey
from diascope.io.itk import ItkReader
from diascope.io.reader import Context, FoundFile, Grouped, IngestSettings, Origin
from diascope.volume import ColourImage, Volume

KEY = IdentityKey(bytes(range(32)))
SHAPE = (5, 7, 11)


def voxels(dtype: type = np.int16, shape: tuple[int, ...] = SHAPE) -> NDArray[np.generic]:
    return (np.random.default_rng(7).integers(0, 250, shape) - (100 if np.dtype(dtype).kind != "u" else 0)).astype(
        dtype
    )


def oblique_image(data: NDArray[np.generic]) -> sitk.Image:
    """An image of SimpleITK that lies obliquely, with anisotropic voxels."""
    image = sitk.GetImageFromArray(data.T)
    turn = sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.5)
    image.SetDirection(turn.GetMatrix())
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-31.0, 42.5, 17.25))
    return image


def grouped(*paths: Path, origin: Origin | None = None, **settings: float) -> Grouped:
    reader = ItkReader()
    files = [FoundFile(path, str(path), path.stat().st_size, 0, origin) for path in paths]
    for file in files:
        assert reader.claims(file.path.read_bytes()[:4096], file.path.name)
    return reader.group(files, Context(KEY, IngestSettings(**settings)))  # type: ignore[arg-type]


def decoded(*paths: Path, at: int = 0) -> Volume:
    found = grouped(*paths)
    assert not found.refused, found.refused
    (series,) = found.series
    volume = ItkReader().decode(series, at)
    assert isinstance(volume, Volume)
    return volume


def place_by_itk(image: sitk.Image, index_ijk: tuple[int, int, int]) -> NDArray[np.float64]:
    """Where SimpleITK says a voxel's centre is, in RAS mm."""
    return np.array(image.TransformIndexToPhysicalPoint(index_ijk)) * [-1, -1, 1]


@pytest.mark.parametrize("ending", ["nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_voxels_lie_where_simpleitk_says(tmp_path: Path, ending: str, compressed: bool, dtype: type) -> None:
    data = voxels(dtype)
    image, path = oblique_image(data), tmp_path / f"x.{ending}"
    sitk.WriteImage(image, str(path), useCompression=compressed)

    volume = decoded(*[path, *(other for other in sorted(tmp_path.iterdir()) if other != path)])

    assert isinstance(volume.space, Grid)
    assert volume.space.shape == SHAPE
    assert np.array_equal(volume.data, data)
    assert volume.data.dtype == (np.float32 if dtype is np.float64 else dtype)
    for corner in itertools.product((0, 4), (0, 6), (0, 10)):
        found = volume.space.to_ras_mm(np.array([corner], dtype=float))[0]
        assert np.allclose(found, place_by_itk(image, corner), atol=1e-4)


@pytest.mark.parametrize("space", ["left-posterior-superior", "RAS", "left-anterior-superior", "LPS"])
def test_every_patient_frame_of_nrrd_comes_out_as_ras(tmp_path: Path, space: str) -> None:
    header = {
        "space": space,
        "space directions": np.array([[0.7, 0.1, 0.0], [-0.1, 0.8, 0.2], [0.0, -0.3, 2.5]]),
        "space origin": np.array([-31.0, 42.5, 17.25]),
    }
    path = tmp_path / "x.nrrd"
    nrrd.write(str(path), voxels(), header)

    volume = decoded(path)

    image = sitk.ReadImage(str(path))
    assert isinstance(volume.space, Grid)
    for corner in itertools.product((0, 4), (0, 6), (0, 10)):
        found = volume.space.to_ras_mm(np.array([corner], dtype=float))[0]
        # SimpleITK makes the directions orthogonal; the header is taken at its word.
        assert np.allclose(found, place_by_header(header, space, corner), atol=1e-9)
    assert np.allclose(volume.space.to_ras_mm(np.zeros((1, 3)))[0], place_by_itk(image, (0, 0, 0)), atol=1e-9)


def place_by_header(
    header: dict[str, NDArray[np.float64]], space: str, index_ijk: tuple[int, int, int]
) -> NDArray[np.float64]:
    signs = {
        "left-posterior-superior": [-1, -1, 1],
        "LPS": [-1, -1, 1],
        "RAS": [1, 1, 1],
        "left-anterior-superior": [-1, 1, 1],
    }
    return (header["space origin"] + np.array(index_ijk) @ header["space directions"]) * signs[space]


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"spacings": [0.7, 0.8, 2.5]},
        {"space": "scanner-xyz", "space directions": np.eye(3), "space origin": np.zeros(3)},
        {"space dimension": 3, "space directions": np.eye(3), "space origin": np.zeros(3)},
        {"space": "RAS", "space directions": np.eye(3)},
        {"space": "RAS", "space directions": np.eye(3), "space origin": np.zeros(3), "space units": ["s", "s", "s"]},
    ],
)
def test_a_nrrd_that_names_no_place_in_the_patient_has_none(tmp_path: Path, header: dict[str, object]) -> None:
    path = tmp_path / "x.nrrd"
    nrrd.write(str(path), voxels(), header)

    found = grouped(path)

    assert isinstance(found.series[0].space, IndexGrid)
    assert found.series[0].notes


def test_a_nrrd_in_micrometres_is_taken_to_millimetres(tmp_path: Path) -> None:
    header = {
        "space": "RAS",
        "space directions": np.diag([700.0, 800.0, 2500.0]),
        "space origin": np.array([1000.0, 0.0, 0.0]),
        "space units": ["um", "um", "um"],
    }
    path = tmp_path / "x.nrrd"
    nrrd.write(str(path), voxels(), header)

    space = decoded(path).space

    assert isinstance(space, Grid)
    assert np.allclose(space.spacing_mm, (0.7, 0.8, 2.5))
    assert np.allclose(space.affine[:3, 3], (1, 0, 0))


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_a_nrrd_is_read_however_it_is_packed(tmp_path: Path, encoding: str, endian: str) -> None:
    data, path = voxels(np.int16, (60, 70, 80)), tmp_path / "x.nrrd"
    nrrd.write(str(path), data.astype(">i2" if endian == "big" else "<i2"), {"encoding": encoding, "endian": endian})

    volume = decoded(path)

    assert np.array_equal(volume.data, data)
    assert volume.data.dtype.isnative


@pytest.mark.parametrize("position", [0, 3])
def test_diffusion_volumes_of_a_nrrd_are_told_apart(tmp_path: Path, position: int) -> None:
    data, path = np.moveaxis(voxels(np.int16, (*SHAPE, 4)), -1, position), tmp_path / "x.nrrd"
    directions = np.insert(np.diag([0.7, 0.8, 2.5]), position, np.nan, axis=0)
    kinds = ["space", "space", "space"]
    kinds.insert(position, "list")
    header = {"space": "RAS", "space directions": directions, "space origin": np.zeros(3), "kinds": kinds}
    nrrd.write(str(path), data, {**header, "modality": "DWMRI", "DWMRI_b-value": "1000"})

    (series,) = grouped(path).series

    assert (series.volumes, series.axis) == (4, "b_value")
    assert isinstance(series.space, Grid)
    assert np.allclose(series.space.spacing_mm, (0.7, 0.8, 2.5))
    for at in range(4):
        assert np.array_equal(decoded(path, at=at).data, np.take(data, at, axis=position))


def test_a_slicer_segmentation_is_a_mask_and_no_image(tmp_path: Path) -> None:
    by_name, by_key = tmp_path / "tumour.seg.nrrd", tmp_path / "other.nrrd"
    nrrd.write(str(by_name), voxels(np.uint8))
    nrrd.write(str(by_key), voxels(np.uint8), {"Segment0_ID": "Segment_1", "Segment0_Name": "Meyer"})

    found = grouped(by_name, by_key)

    assert found.series == ()
    assert {(row.fate, row.code) for row in found.files} == {("skipped", "mask")}


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_a_colour_image_is_one_and_not_three_volumes(tmp_path: Path, ending: str) -> None:
    data = voxels(np.uint8, (*SHAPE, 3))
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0, 3)), isVector=True)
    path = tmp_path / f"x.{ending}"
    sitk.WriteImage(image, str(path))
    if ending == "nrrd":
        path.write_bytes(path.read_bytes().replace(b"kinds: vector", b"kinds: RGB-color"))

    (series,) = grouped(path).series
    colour = ItkReader().decode(series)

    assert series.volumes == 1
    assert isinstance(colour, ColourImage)
    assert np.array_equal(colour.data, data)


def test_a_metaimage_with_a_fourth_axis_gives_its_volumes(tmp_path: Path) -> None:
    data = voxels(np.int16, (*SHAPE, 3))
    path = tmp_path / "x.mha"
    sitk.WriteImage(sitk.JoinSeries([oblique_image(data[..., at]) for at in range(3)]), str(path))

    (series,) = grouped(path).series

    assert (series.volumes, series.axis) == (3, "channel")
    assert isinstance(series.space, Grid)
    whole = oblique_image(data[..., 0])
    assert np.allclose(series.space.to_ras_mm(np.array([[4.0, 6, 10]]))[0], place_by_itk(whole, (4, 6, 10)), atol=1e-4)
    assert all(np.array_equal(decoded(path, at=at).data, data[..., at]) for at in range(3))


@pytest.mark.parametrize("missing", ["TransformMatrix", "Offset", "ElementSpacing"])
def test_a_metaimage_without_its_place_has_none(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "x.mha"
    sitk.WriteImage(oblique_image(voxels()), str(path))
    head, _, data = path.read_bytes().partition(b"ElementDataFile")
    lines = [line for line in head.splitlines(keepends=True) if not line.startswith(missing.encode())]
    path.write_bytes(b"".join(lines) + b"ElementDataFile" + data)

    volume = decoded(path)

    assert isinstance(volume.space, IndexGrid)
    assert np.array_equal(volume.data, voxels())


def test_a_flat_metaimage_has_a_pixel_spacing_or_nothing(tmp_path: Path) -> None:
    plain, calibrated = (
        sitk.GetImageFromArray(voxels(np.uint16, (9, 13))),
        sitk.GetImageFromArray(voxels(np.uint16, (9, 13))),
    )
    calibrated.SetSpacing((0.14, 0.15))
    for name, image in (("a.mha", plain), ("b.mha", calibrated)):
        sitk.WriteImage(image, str(tmp_path / name))

    first, second = decoded(tmp_path / "a.mha"), decoded(tmp_path / "b.mha")

    assert first.space == IndexGrid((13, 9, 1))
    assert second.space == PixelGrid((13, 9, 1), (0.14, 0.15), "detector")
    assert np.array_equal(second.data[:, :, 0], voxels(np.uint16, (9, 13)).T)


def test_voxels_in_another_folder_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.raw"
    secret.write_bytes(bytes(5 * 7 * 11 * 2))
    folder = tmp_path / "in"
    folder.mkdir()
    sitk.WriteImage(oblique_image(voxels()), str(folder / "x.mhd"))
    for name in (f"../{secret.name}", str(secret)):
        text = (folder / "x.mhd").read_text()
        (folder / "y.mhd").write_text(text.replace("ElementDataFile = x.raw", f"ElementDataFile = {name}"))

        found = grouped(folder / "y.mhd", secret)

        assert found.series == ()
        assert found.refused[0].failure.code == "voxels_elsewhere"


def test_missing_and_lone_voxels_are_named(tmp_path: Path) -> None:
    sitk.WriteImage(oblique_image(voxels()), str(tmp_path / "x.mhd"))

    assert grouped(tmp_path / "x.mhd").refused[0].failure.code == "voxels_missing"
    (row,) = grouped(tmp_path / "x.raw").files
    assert (row.fate, row.code) == ("not_an_image", "header_missing")


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_voxels_are_never_filled_up(tmp_path: Path, ending: str, compressed: bool) -> None:
    path = tmp_path / f"x.{ending}"
    sitk.WriteImage(oblique_image(voxels(np.int16, (30, 31, 32))), str(path), useCompression=compressed)
    path.write_bytes(path.read_bytes()[:-3000])

    found = grouped(path)

    if found.series:  # compressed: nobody can tell from the header alone
        with pytest.raises(InputError) as caught:
            ItkReader().decode(found.series[0])
        assert caught.value.code == "truncated"
    else:
        assert found.refused[0].failure.code == "truncated"
        assert found.files[0].fate == "failed"


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_voxels_that_the_header_does_not_promise_are_told(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    sitk.WriteImage(oblique_image(voxels()), str(path))
    assert grouped(path).series[0].notes == ()
    path.write_bytes(path.read_bytes() + bytes(70))

    assert grouped(path).series[0].notes == ("the file holds 70 bytes more than its header promises",)


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_damage_that_only_a_checksum_tells_is_told(tmp_path: Path, encoding: str) -> None:
    data, path = np.zeros((60, 70, 80), dtype=np.int16), tmp_path / "x.nrrd"
    data[::7, ::5, ::3] = 1
    nrrd.write(str(path), data, {"encoding": encoding})
    whole = path.read_bytes()
    told = 0
    start = whole.index(b"\n\n") + 2
    for at in range(start, len(whole), max(1, (len(whole) - start) // 25)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)

        # Some bits of a bzip2 stream mean nothing: then the voxels must be the same.
        try:
            assert np.array_equal(decoded(path).data, data)
        except InputError:
            told += 1
    assert told


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"NRRD0004\ntype: short\ndimension: 3\nsizes: 5 7 -11\nencoding: raw\nendian: little\n\n", "bad_shape"),
        (b"NRRD0004\ntype: short\ndimension: 3\nsizes: 5 7\nencoding: raw\nendian: little\n\n", "corrupt"),
        (
            b"NRRD0004\ntype: short\ndimension: 3\nsizes: 99999 99999 99999\nencoding: gzip\nendian: little\n\n",
            "too_large",
        ),
        (b"NRRD0004\ntype: block\ndimension: 3\nsizes: 5 7 11\nencoding: raw\nblock size: 4\n\n", "voxel_type"),
        (b"NRRD0004\ntype: short\ndimension: 3\nsizes: 5 7 11\nencoding: ascii\nendian: little\n\n", "encoding"),
        (b"NRRD0004\ngarbage\n\n", "corrupt"),
        (
            b"NRRD0004\ntype: short\ndimension: 1\nsizes: 5\nencoding: raw\nendian: little\n\n" + bytes(10),
            "not_a_volume",
        ),
        (
            b"ObjectType = Image\nNDims = 3\nDimSize = 5 7 x\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
            "corrupt",
        ),
        (b"ObjectType = Image\nNDims = 3\nDimSize = 5 7 11\nElementType = MET_SHORT\n", "corrupt"),
        (
            b"ObjectType = Image\nNDims = 3\nDimSize = 5 7 11\nElementType = MET_STRING\nElementDataFile = LOCAL\n",
            "voxel_type",
        ),
        (
            b"ObjectType = Scene\nNDims = 3\nDimSize = 5 7 11\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
            "not_a_volume",
        ),
        (
            b"ObjectType = Image\nNDims = 3\nDimSize = 5 7 11\nElementType = MET_SHORT\nElementDataFile = LIST\n",
            "voxels_in_parts",
        ),
    ],
)
def test_a_header_that_cannot_be_true_is_refused_by_name(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)

    found = grouped(path)

    assert found.series == ()
    assert found.refused[0].failure.code == code
    assert len(found.files) == 1


def test_what_a_table_says_of_a_file_is_in_its_facts(tmp_path: Path) -> None:
    path = tmp_path / "x.nrrd"
    nrrd.write(str(path), voxels())

    found = grouped(path, origin=Origin(case="s1", patient="17", facts=(("sex", "female"), ("grade", "2"))))

    assert found.series[0].case_id == KEY.case_id("s1")
    assert found.series[0].facts == ImageFacts(sex="F", patient_key=KEY.patient_key("17"), extra=(("grade", "2"),))
