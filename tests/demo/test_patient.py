import numpy as np
import pytest

from diascope.demo.anatomy import Anatomy
from diascope.demo.patient import Build, Bulge, Lesion, make_head, sample_head
from diascope.demo.scanner import Protocol, grid_of
from diascope.demo.tissues import Contrast

UPRIGHT = Build(scale=(1.0, 1.0, 1.0), bend_mm=0.0)
COARSE = Protocol("", "flair", "axial", (61, 73, 31), (3.1, 3.0, 4.0), centre_ras_mm=(1.0, -12.0, 12.0))


def test_an_unbent_head_has_the_templates_brain_in_its_place(anatomy: Anatomy) -> None:
    head = make_head(anatomy, UPRIGHT, np.random.default_rng(0))
    grid = grid_of(COARSE)

    seen = sample_head(head, grid, "t2", sub_slices=1)

    # The frontal horn is fluid, the white matter beside it is not.
    horn, white = np.rint(grid.to_ijk(np.array([[-9.0, 22.0, 8.0], [-27.0, 22.0, 20.0]]))).astype(int)
    assert seen.signal[tuple(horn)] > 2 * seen.signal[tuple(white)]
    assert not seen.lesion.any()


def test_a_tilted_and_shifted_head_is_where_the_build_says(anatomy: Anatomy) -> None:
    lesion = Lesion((-34.0, 10.0, 30.0), 14.0, seed=2)
    build = Build((0.9, 0.9, 0.9), (0.0, 0.0, 90.0), (5.0, 0.0, 0.0), bend_mm=0.0, lesions=(lesion,))
    head = make_head(anatomy, build, np.random.default_rng(0))
    grid = grid_of(COARSE)

    found = np.argwhere(sample_head(head, grid, "flair", sub_slices=2).lesion > 0.5)

    # A quarter turn about z takes (x, y) to (-y, x); then it is shrunk and shifted.
    centre_ras_mm = grid.to_ras_mm(found.astype(float)).mean(axis=0)
    np.testing.assert_allclose(centre_ras_mm, (-0.9 * 10 + 5, -0.9 * 34, 0.9 * 30), atol=4.0)


@pytest.mark.parametrize(("contrast", "is_bright"), [("flair", True), ("t2", True), ("t1", False)])
def test_a_lesion_is_bright_on_flair_and_t2_and_dark_on_t1(
    anatomy: Anatomy, contrast: Contrast, is_bright: bool
) -> None:
    build = Build(bend_mm=0.0, lesions=(Lesion((-30.0, 20.0, 26.0), 17.0, seed=3),))
    head = make_head(anatomy, build, np.random.default_rng(0))
    healthy = make_head(anatomy, UPRIGHT, np.random.default_rng(0))
    grid = grid_of(COARSE)

    ill = sample_head(head, grid, contrast, sub_slices=1)
    white = sample_head(healthy, grid, contrast, sub_slices=1).signal[ill.lesion > 0.9].mean()

    assert (ill.signal[ill.lesion > 0.9].mean() > 1.2 * white) == is_bright


def test_a_bulge_makes_ventricles_wider(anatomy: Anatomy) -> None:
    wide = Build(scale=(1.0, 1.0, 1.0), bend_mm=0.0, bulges=(Bulge((0.0, -10.0, 20.0), 28.0, 0.4),))
    grid = grid_of(COARSE)

    fluid = []
    for build in (UPRIGHT, wide):
        head = make_head(anatomy, build, np.random.default_rng(0))
        # A box around the ventricles that leaves the sulci out.
        fluid.append(sample_head(head, grid, "t2", sub_slices=1).signal[24:38, 28:46, 17:20] > 1.0)

    assert fluid[1].sum() > 1.3 * fluid[0].sum()
