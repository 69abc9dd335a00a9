from pathlib import Path

import numpy as np
import pytest

from diascope.errors import InputError
from diascope.findings import HeatmapRecord
from diascope.geometry import Grid, IndexGrid
from diascope.io.read_heatmap import read_heatmap
from diascope.io.write_nifti import write_heatmap
from diascope.volume import Heatmap

RECORD = HeatmapRecord("glioma", "img-1", "tumour", "hires_cam", "map.nii.gz", (-1.0, 2.0), True, "supported", "why")


def test_a_heatmap_comes_back_on_its_own_oblique_grid_with_its_raw_numbers(tmp_path: Path) -> None:
    affine = np.array([[0.0, -2.8, 0.3, 5], [3.2, 0, 0.4, -7], [0.2, 0.3, 10.0, 11], [0, 0, 0, 1]])
    data = np.random.default_rng(0).normal(size=(5, 7, 3)).astype(np.float32)
    write_heatmap(tmp_path / "map.nii.gz", Heatmap(data, Grid((5, 7, 3), affine), "tumour", "hires_cam"))

    heat = read_heatmap(tmp_path, RECORD)

    np.testing.assert_array_equal(heat.data, data)
    assert isinstance(heat.space, Grid)
    assert heat.space.affine == pytest.approx(affine, abs=1e-5)
    assert (heat.target, heat.method) == ("tumour", "hires_cam")


def test_a_flat_map_without_a_frame_keeps_three_axes_and_gets_no_frame(tmp_path: Path) -> None:
    space = IndexGrid((5, 7, 1))
    write_heatmap(tmp_path / "map.nii.gz", Heatmap(np.ones((5, 7, 1), np.float32), space, "tumour", "hires_cam"))

    assert read_heatmap(tmp_path, RECORD).space == space


def test_a_heatmap_that_is_gone_or_broken_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="heatmap of tumour cannot be read"):
        read_heatmap(tmp_path, RECORD)
    (tmp_path / "map.nii.gz").write_bytes(b"no map")
    with pytest.raises(InputError, match="heatmap of tumour cannot be read"):
        read_heatmap(tmp_path, RECORD)
