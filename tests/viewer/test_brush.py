"""A stroke covers the voxels whose centres are within its radius, on any grid."""

import numpy as np
import pytest

from diascope.geometry import Grid, IndexGrid, PixelGrid
from diascope.viewer.brush import Stroke, covered
from tests.phantoms import ball, ball_mm3, oblique_grid

GRID = oblique_grid((44, 52, 20), (1.1, 1.4, 2.5), (12.0, -7.0, 20.0))


def stroke(*points: tuple[float, float, float], radius_mm: float = 6.0, **changed: object) -> Stroke:
    values = {"op": "paint", "label": 1, "shape": "ball", "radius_mm": radius_mm, "points_ijk": points}
    return Stroke.model_validate(values | changed)


def painted(one: Stroke, space: Grid | PixelGrid | IndexGrid) -> np.ndarray:
    mask = np.zeros(int(np.prod(space.shape)), dtype=bool)
    mask[covered(one, space)] = True
    return mask.reshape(space.shape, order="F")


def test_a_ball_on_an_oblique_grid_is_that_of_the_patient() -> None:
    centre = GRID.to_ras_mm(np.array([[20.0, 24.0, 9.0]]))[0]
    expected = ball(GRID, tuple(centre), 6.0)

    found = painted(stroke((20, 24, 9)), GRID)

    assert np.array_equal(found, expected)
    assert found.sum() * GRID.voxel_mm3 == pytest.approx(ball_mm3(6.0), rel=0.05)


def test_a_sheared_grid_has_balls_too() -> None:
    shear = np.eye(4)
    shear[1, 2] = 0.4
    sheared = Grid(GRID.shape, GRID.affine @ shear)
    centre = sheared.to_ras_mm(np.array([[20.0, 24.0, 9.0]]))[0]

    assert sheared.is_sheared
    assert np.array_equal(painted(stroke((20, 24, 9)), sheared), ball(sheared, tuple(centre), 6.0))


def test_a_line_is_covered_between_its_points_and_not_only_at_them() -> None:
    ends = np.array([[8.0, 10.0, 5.0], [35.5, 40.25, 14.0]])
    start_mm, end_mm = GRID.to_ras_mm(ends)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij"), -1).reshape(-1, 3)
    points = GRID.to_ras_mm(index.astype(float))
    along = np.clip((points - start_mm) @ (end_mm - start_mm) / np.sum((end_mm - start_mm) ** 2), 0, 1)
    off = np.linalg.norm(points - start_mm - along[:, None] * (end_mm - start_mm), axis=1)
    expected = (off <= 3.0).reshape(GRID.shape)

    found = painted(stroke(*map(tuple, ends.tolist()), radius_mm=3.0), GRID)

    assert np.array_equal(found, expected)


def test_a_disc_stays_in_its_slice() -> None:
    found = painted(stroke((20, 24, 9), (30, 24, 9), shape="disc", normal=2), GRID)

    assert set(np.nonzero(found)[2]) == {9}
    assert np.array_equal(found[..., 9], painted(stroke((20, 24, 9), (30, 24, 9)), GRID)[..., 9])


def test_at_the_border_the_stroke_ends_and_outside_there_is_nothing() -> None:
    assert painted(stroke((0, 0, 0)), GRID)[0, 0, 0]
    assert covered(stroke((-500, 0, 0)), GRID).size == 0
    assert covered(stroke((5, 5, 99), shape="disc"), GRID).size == 0


def test_without_spacing_the_radius_is_in_voxels() -> None:
    found = painted(stroke((10, 12, 3), radius_mm=2.0), IndexGrid((20, 24, 7)))

    assert found.sum() == 33  # integer points within 2 of the origin
    assert painted(stroke((30, 30, 0), radius_mm=4.3), PixelGrid((61, 73, 1), (4.2, 4.3), "detector")).sum() == 5
