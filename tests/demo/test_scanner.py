import numpy as np
import pytest

from diascope.demo.anatomy import Anatomy
from diascope.demo.patient import Build, Lesion, make_head
from diascope.demo.scanner import Plane, Protocol, acquire, grid_of


@pytest.mark.parametrize(("plane", "axcodes"), [("axial", "LPS"), ("coronal", "LIP"), ("sagittal", "PIR")])
def test_slices_run_as_scanners_write_them(plane: Plane, axcodes: str) -> None:
    grid = grid_of(Protocol("", "t1", plane, (5, 7, 11), (0.7, 0.8, 2.5), centre_ras_mm=(3.0, -11.0, 17.0)))

    assert grid.axcodes == axcodes
    assert grid.spacing_mm == pytest.approx((0.7, 0.8, 2.5))
    np.testing.assert_allclose(grid.to_ras_mm(np.array([[2.0, 3.0, 5.0]]))[0], (3.0, -11.0, 17.0))
    # DICOM slices follow the cross product of rows and columns: a right-handed grid in LPS and RAS.
    assert np.linalg.det(grid.affine[:3, :3]) > 0


def test_a_tilted_plane_keeps_its_right_angles() -> None:
    grid = grid_of(Protocol("", "t1", "axial", (5, 7, 11), (0.7, 0.8, 2.5), tilt_deg=(14.0, -6.0, 9.0)))

    assert grid.is_oblique
    assert not grid.is_sheared


def test_a_scan_holds_twelve_bits_with_rician_noise_in_air(anatomy: Anatomy) -> None:
    head = make_head(anatomy, Build(lesions=(Lesion((-30.0, 20.0, 26.0), 17.0),)), np.random.default_rng(0))
    protocol = Protocol("", "flair", "axial", (64, 64, 12), (3.6, 3.6, 9.0), noise=0.05, white_level=700.0)

    scan = acquire(head, protocol, np.random.default_rng(1))

    assert scan.data.dtype == np.uint16
    assert 700 < scan.data.max() < 4096
    # The mean of Rayleigh's distribution is sigma * sqrt(pi / 2).
    assert scan.data[:4, :4].mean() == pytest.approx(0.05 * 700 * np.sqrt(np.pi / 2), rel=0.1)
    assert 20 < scan.truth.sum() < 400
    assert scan.data[scan.truth > 0].mean() > 1.2 * scan.data[20:44, 20:44].mean()
