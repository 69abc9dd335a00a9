import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch.nn import functional as nnf

from diascope.imaging.upsampling import map_on_grid

OBLIQUE = np.array([[0.0, -2.9, 0.3, 5], [3.2, 0, 0.4, -7], [0.2, 0.3, 5.1, 11], [0, 0, 0, 1]])


def random_map(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("factors", [(4, 3, 2), (1, 5, 1)])
def test_upsampling_is_torchs_with_corners_not_aligned(factors: tuple[int, int, int]) -> None:
    coarse = random_map((3, 4, 5))
    shape = tuple(n * f for n, f in zip(coarse.shape, factors, strict=True))
    fine_affine = np.eye(4)
    coarse_affine = np.diag([*map(float, factors), 1.0])
    coarse_affine[:3, 3] = (np.array(factors) - 1) / 2

    ours = map_on_grid(coarse, coarse_affine, shape, fine_affine)

    theirs = nnf.interpolate(torch.from_numpy(coarse)[None, None], shape, mode="trilinear", align_corners=False)
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=1e-5)


def test_an_oblique_map_lands_where_simpleitk_puts_it() -> None:
    coarse = random_map((5, 7, 6))
    target = np.diag([1.1, 0.9, 1.7, 1.0])
    target[:3, 3] = OBLIQUE[:3, :3] @ [1.2, 1.5, 1.1] + OBLIQUE[:3, 3]

    ours = map_on_grid(coarse, OBLIQUE, (6, 5, 4), target)

    shear_free, _ = np.linalg.qr(OBLIQUE[:3, :3])
    del shear_free  # SimpleITK takes directions and spacings apart, also of a sheared grid
    spacing = np.linalg.norm(OBLIQUE[:3, :3], axis=0)
    image = sitk.GetImageFromArray(coarse.transpose(2, 1, 0))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((OBLIQUE[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(OBLIQUE[:3, 3].tolist())
    grid = sitk.Image(6, 5, 4, sitk.sitkFloat32)
    grid.SetSpacing([1.1, 0.9, 1.7])
    grid.SetOrigin(target[:3, 3].tolist())
    theirs = sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear)).transpose(2, 1, 0)
    inside = theirs != 0
    assert inside.sum() > 60
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-4)


def test_outside_the_map_is_nothing() -> None:
    shifted = np.eye(4)
    shifted[0, 3] = -2

    seen = map_on_grid(np.ones((3, 4, 5), dtype=np.float32), np.eye(4), (8, 4, 5), shifted)

    assert seen[:, 0, 0].tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
