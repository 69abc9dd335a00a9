"""Channels are brought onto the grid of the first: the same voxel is the same place."""

import numpy as np
import pytest
import SimpleITK as sitk

from diascope.errors import GridMismatch
from diascope.findings import ImageFacts
from diascope.geometry import Grid, IndexGrid
from diascope.imaging.channels import on_first
from diascope.volume import Volume
from tests.io.dicom_phantoms import oblique


def grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], turned: bool) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = (oblique() if turned else np.eye(3)) * spacing_mm
    affine[:3, 3] = np.array([-12.0, 5.0, 31.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


FIRST = grid((25, 27, 11), (0.9, 0.8, 2.5), turned=True)
OTHER = grid((31, 23, 19), (1.0, 1.3, 1.7), turned=False)


def ramp(space: Grid) -> Volume:
    """Numbers that grow along patient axes, so that linear interpolation is exact."""
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in space.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    x, y, z = space.to_ras_mm(ijk.astype(float)).T
    return Volume((100 + 2 * x - 3 * y + 5 * z).reshape(space.shape).astype(np.float32), space, ImageFacts(), "img-1")


def as_itk(volume: Volume) -> sitk.Image:
    assert isinstance(volume.space, Grid)
    image = sitk.GetImageFromArray(np.asarray(volume.data, dtype=np.float32).T)
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.space.affine
    image.SetSpacing(volume.space.spacing_mm)
    image.SetDirection((to_lps[:3, :3] / volume.space.spacing_mm).ravel().tolist())
    image.SetOrigin(to_lps[:3, 3].tolist())
    return image


def test_a_second_channel_lies_where_simpleitk_resamples_it() -> None:
    first, other = ramp(FIRST), ramp(OTHER)

    _, moved = on_first([first, other])

    assert moved.space == FIRST or np.allclose(moved.space.affine, FIRST.affine)  # type: ignore[union-attr]
    theirs = sitk.Resample(as_itk(other), as_itk(first), sitk.Transform(), sitk.sitkLinear, float(other.data.min()))
    np.testing.assert_allclose(moved.data, sitk.GetArrayFromImage(theirs).T, atol=1e-2)
    seen = moved.data > other.data.min()
    assert seen.mean() > 0.5
    # In the outer half of its outermost voxels an image has nothing to interpolate with.
    assert (np.abs(moved.data[seen] - first.data[seen]) < 1e-2).mean() > 0.98


def test_voxels_that_lie_on_each_other_are_left_as_they_are() -> None:
    first, other = (
        ramp(FIRST),
        Volume(np.arange(np.prod(FIRST.shape), dtype=np.int16).reshape(FIRST.shape), FIRST, ImageFacts(), "img-2"),
    )

    assert on_first([first, other])[1] is other


def test_shapes_that_differ_without_a_place_are_refused() -> None:
    one, other = (
        Volume(np.zeros(shape, np.int16), IndexGrid(shape), ImageFacts(), "img-1") for shape in ((5, 7, 11), (5, 7, 10))
    )

    assert on_first([one]) == (one,)
    with pytest.raises(GridMismatch):
        on_first([one, other])
