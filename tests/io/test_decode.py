"""From a series back to the reader that found it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diascope.errors import InputError
from diascope.io.decode import decode, readers
from tests.io.dicom_phantoms import Phantom, write_series
from tests.io.reading import only_series, read
from tests.io.test_nifti import affine_mm, write


def test_dicom_is_asked_first_because_it_may_look_like_anything() -> None:
    assert next(iter(readers())) == "dicom"
    assert all(name == reader.name for name, reader in readers().items())


def test_each_series_is_decoded_by_the_reader_that_found_it(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", Phantom())
    write(tmp_path / "head.nii.gz", sform=affine_mm())
    Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7)).save(tmp_path / "film.png")

    found = read(tmp_path)

    assert sorted(series.reader for series in found.series) == ["dicom", "nifti", "raster"]
    for series in found.series:
        image = decode(series)
        assert image.space == series.space or image.space.shape == series.space.shape  # type: ignore[union-attr]
        assert image.image_id == series.image_id
        assert image.facts == series.facts


@pytest.mark.parametrize("at", [-1, 1])
def test_a_volume_that_is_not_there_is_told(tmp_path: Path, at: int) -> None:
    write_series(tmp_path, Phantom())

    with pytest.raises(InputError, match=f"volume {at} was asked for, there are 1"):
        decode(only_series(read(tmp_path)), at)
