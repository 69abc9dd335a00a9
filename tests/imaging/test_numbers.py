"""Voxels that hold no number."""

from dataclasses import replace

import numpy as np
import pytest

from diascope.errors import InputError
from diascope.imaging.numbers import count_missing, fill_missing
from tests.phantom_volumes import asymmetric_head


def test_a_voxel_without_a_number_takes_the_lowest_one_and_the_others_stay() -> None:
    head = asymmetric_head().volume
    data = head.data.astype(np.float32) - 7
    data[3, 4, 5], data[6, 7, 8] = np.nan, np.inf

    filled = fill_missing(replace(head, data=data))

    assert count_missing(replace(head, data=data)) == 2
    assert filled.data[3, 4, 5] == filled.data[6, 7, 8] == -7
    others = np.isfinite(data)
    assert (filled.data[others] == data[others]).all()


def test_an_image_of_whole_numbers_is_left_as_it_is() -> None:
    head = asymmetric_head().volume

    assert fill_missing(head) is head


def test_an_image_without_any_number_is_refused() -> None:
    head = asymmetric_head().volume

    with pytest.raises(InputError, match="none of the 45760 voxels holds a number"):
        fill_missing(replace(head, data=np.full(head.data.shape, np.nan, np.float32)))
