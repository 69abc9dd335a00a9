"""What is shown black, grey and white."""

import numpy as np
import pytest

from diascope.findings import ImageFacts
from diascope.geometry import IndexGrid
from diascope.imaging.intensity import GreyRange, as_displayed, grey_range, robust_range, to_grey
from diascope.volume import Volume


def volume(values: list[float], **extra: object) -> Volume:
    data = np.array(values, np.float32).reshape(-1, 1, 1)
    facts = ImageFacts(modality=str(extra.pop("modality", "MR")))
    return Volume(data, IndexGrid(data.shape), facts, "img-000000000000001", **extra)  # type: ignore[arg-type]


def test_the_window_of_the_file_wins() -> None:
    shown = grey_range(volume([-1000.0, 3000.0], display_window=(40.0, 400.0), modality="CT"))

    assert (shown.low, shown.high, shown.source) == (-160.0, 240.0, "window")


def test_without_a_window_a_few_extreme_voxels_do_not_decide() -> None:
    shown = grey_range(volume([*np.linspace(10, 110, 1001), 1e6, -1e6]))

    assert shown.low == pytest.approx(11, abs=0.5)
    assert shown.high == pytest.approx(110, abs=1.0)
    assert shown.source == "percentiles"


def test_a_background_of_zeros_does_not_decide_what_is_white() -> None:
    low, high = robust_range(np.array([0.0] * 9_990 + [50.0] * 5 + [100.0] * 5))

    assert (low, high) == (0.0, 100.0)


def test_padding_of_a_ct_is_shown_as_air() -> None:
    assert grey_range(volume([-3024.0] * 50 + [0.0] * 50, modality="CT")).low == -1000.0


@pytest.mark.parametrize("values", [[7.0, 7.0], [np.nan, np.nan], [0.0, 0.0, np.inf]])
def test_an_image_without_contrast_is_shown_all_the_same(values: list[float]) -> None:
    flat = volume(values)

    grey = to_grey(flat.data, grey_range(flat))

    assert grey.dtype == np.uint8
    assert grey.shape == flat.data.shape


def test_grey_values_run_from_black_to_white_and_stop_there() -> None:
    grey = to_grey(np.array([-5.0, 0.0, 1.0, 2.0, 9.0, np.nan]), GreyRange(0.0, 2.0, False, "window"))

    assert grey.tolist() == [0, 0, 128, 255, 255, 0]


def test_monochrome1_shows_low_numbers_bright() -> None:
    inverted = volume([0.0, 100.0], display_window=(50.0, 100.0), is_inverted=True)

    assert to_grey(inverted.data, grey_range(inverted)).ravel().tolist() == [255, 0]


def test_a_large_image_is_sampled_across_its_columns() -> None:
    # Bright in every fourth place: a step of four would see nothing else.
    data = np.zeros((256, 256, 128), np.float32)
    data[:, :, ::4] = np.linspace(100, 200, 256)[:, None, None]

    low, high = robust_range(data)

    assert low == 0.0
    assert high == pytest.approx(199.5, abs=1.0)


@pytest.mark.parametrize("window", [None, (300.0, 500.0), (10.0, 7000.0)])
def test_an_inverted_image_turned_round_is_the_same_picture(window: tuple[float, float] | None) -> None:
    rng = np.random.default_rng(5)
    inverted = volume(rng.integers(0, 4096, 2000).astype(float).tolist(), display_window=window, is_inverted=True)

    turned = as_displayed(inverted)

    assert not turned.is_inverted
    assert (turned.data.min(), turned.data.max()) == (inverted.data.min(), inverted.data.max())
    assert np.array_equal(np.argsort(turned.data.ravel()), np.argsort(-inverted.data.ravel()))
    shown, again = (to_grey(one.data, grey_range(one)) for one in (inverted, turned))
    # A half may be rounded either way; percentiles are cut closer at the bright end than at the dark one.
    assert np.abs(shown.astype(int) - again).max() <= (1 if window else 3)


def test_an_image_that_is_not_inverted_comes_back_as_it_is() -> None:
    plain = volume([1.0, 2.0])

    assert as_displayed(plain) is plain


def test_voxels_without_a_number_stay_without_one_when_turned_round() -> None:
    turned = as_displayed(volume([0.0, np.nan, 3.0, np.inf], is_inverted=True))

    assert turned.data.ravel()[[0, 2]].tolist() == [3.0, 0.0]
    assert not np.isfinite(turned.data.ravel()[[1, 3]]).any()
