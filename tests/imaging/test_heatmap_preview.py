"""The picture of a heatmap, looked at pixel by pixel."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from diascope.findings import Finding, HeatmapRecord, ImageFacts, Label
from diascope.geometry import Grid, IndexGrid
from diascope.imaging.heatmap_preview import VERDICT_COLOURS, draw_heatmap, title_of
from diascope.imaging.page import FINDING_COLOUR, LINE_PX, MARGIN_PX, PANEL_PX, font, wrapped
from diascope.volume import Heatmap, Mask, Volume

# A thick-slice image, 80 x 60 pixels of 2 mm and 9 slices of 8 mm: shown slice by slice, plain and coloured.
SPACE = Grid((80, 60, 9), np.diag([-2.0, -2.0, 8.0, 1.0]))
BLUE = Label(1, "tumour", "#0000ff")


def volume() -> Volume:
    return Volume(np.full(SPACE.shape, 100, np.float32), SPACE, ImageFacts(modality="MR"), "img-1", (100.0, 200.0))


def heat(peak: tuple[int, int, int] = (15, 4, 6), low: float = -2.0) -> Heatmap:
    """A map of 20 x 15 x 9 cells of 4 x 4 x 1 voxels with one hot cell."""
    affine = SPACE.affine @ np.array([[4, 0, 0, 1.5], [0, 4, 0, 1.5], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    data = np.zeros((20, 15, 9), np.float32)
    data[0, 0, 0] = low
    data[peak] = 3
    return Heatmap(data, Grid(data.shape, affine), "tumour", "hires_cam")


def record(trust: str = "supported", **more: object) -> HeatmapRecord:
    one = HeatmapRecord("glioma", "img-1", "tumour", "hires_cam", "f.nii.gz", (-2.0, 3.0), True, trust, "because")  # type: ignore[arg-type]
    return replace(one, **more)


def coloured_places(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 2) rows and columns, from the panels' upper left corner, where the right one is not as the left one."""
    top, high = MARGIN_PX + 2 * LINE_PX, round(60 * PANEL_PX / 80)
    left, right = (
        picture[top : top + high, at : at + PANEL_PX].astype(int) for at in (MARGIN_PX, 2 * MARGIN_PX + PANEL_PX)
    )
    return np.argwhere(np.abs(left - right).max(axis=2) > 20).astype(float)


def has_colour(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=2) < 10).any())


def test_the_hot_cell_is_drawn_where_it_lies_in_the_slice_where_it_is_hottest() -> None:
    picture = draw_heatmap(volume(), heat(), record())

    # i runs to the patient's left, which is to the right of the picture; j to the back, which is down.
    rows, columns = coloured_places(picture).mean(axis=0) / (PANEL_PX / 80)
    assert columns == pytest.approx(15 * 4 + 2, abs=1)
    assert rows == pytest.approx(4 * 4 + 2, abs=1)


def test_a_map_of_another_place_is_drawn_in_another_place() -> None:
    rows, columns = coloured_places(draw_heatmap(volume(), heat((3, 10, 1)), record())).mean(axis=0) / (PANEL_PX / 80)

    assert columns == pytest.approx(3 * 4 + 2, abs=1)
    assert rows == pytest.approx(10 * 4 + 2, abs=1)


def test_a_map_that_lives_in_one_slice_of_many_is_drawn_in_that_slice() -> None:
    space = Grid((80, 60, 259), SPACE.affine)
    many = Volume(np.full(space.shape, 100, np.float32), space, ImageFacts(modality="MR"), "img-1", (100.0, 200.0))
    data = np.zeros(space.shape, np.float32)
    data[60:64, 16:20, 29] = 3

    picture = draw_heatmap(many, Heatmap(data, space, "tumour", "hires_cam"), record())

    rows, columns = coloured_places(picture).mean(axis=0) / (PANEL_PX / 80)
    assert columns == pytest.approx(62, abs=1)
    assert rows == pytest.approx(18, abs=1)


def test_what_speaks_against_the_target_has_no_colour() -> None:
    only_against = heat(low=-50)

    places = coloured_places(draw_heatmap(volume(), only_against, record()))

    assert np.ptp(places, axis=0).max() < 3 * 4 * PANEL_PX / 80


def test_an_unsupported_map_is_not_drawn_unless_it_is_asked_for_and_then_it_is_marked() -> None:
    hidden = draw_heatmap(volume(), heat(), record("unsupported"))
    shown = draw_heatmap(volume(), heat(), record("unsupported"), draw_unsupported=True)

    assert hidden.shape[0] < 150
    assert not has_colour(hidden, (252, 255, 164))
    assert has_colour(hidden, VERDICT_COLOURS["unsupported"])
    assert len(coloured_places(shown)) > len(coloured_places(draw_heatmap(volume(), heat(), record())))
    bottom = shown[shown.shape[0] // 2 : -5 * LINE_PX]
    assert has_colour(bottom, VERDICT_COLOURS["unsupported"])


def test_a_map_without_positive_evidence_has_no_picture_whatever_is_asked_for() -> None:
    nothing = record("doubtful", has_positive_evidence=False, raw_range=(-3.0, -1.0))

    assert draw_heatmap(volume(), heat(), nothing, draw_unsupported=True).shape[0] < 150


@pytest.mark.parametrize("trust", sorted(VERDICT_COLOURS))
def test_the_verdict_is_written_in_its_colour(trust: str) -> None:
    picture = draw_heatmap(volume(), heat(), record(trust), draw_unsupported=True)

    below = picture[-LINE_PX * 2 - MARGIN_PX :]
    assert has_colour(below, VERDICT_COLOURS[trust])


def test_the_label_that_is_explained_is_outlined_and_not_filled() -> None:
    drawn = np.zeros(SPACE.shape, np.uint8)
    drawn[50:70, 10:30, 6] = 1

    picture = draw_heatmap(volume(), heat(), record(), (Mask(drawn, SPACE, {1: "tumour"}), BLUE))

    top = MARGIN_PX + 2 * LINE_PX
    panel = picture[top : top + round(60 * PANEL_PX / 80), MARGIN_PX : MARGIN_PX + PANEL_PX].astype(int)
    blue = np.argwhere(np.abs(panel - (0, 0, 255)).max(axis=2) < 10) / (PANEL_PX / 80)
    assert blue.min(axis=0) == pytest.approx([10, 50], abs=0.5)
    assert blue.max(axis=0) == pytest.approx([30, 70], abs=0.5)
    assert not (np.abs(blue - (20, 60)).max(axis=1) < 5).any()


def test_the_finding_that_is_explained_has_its_box() -> None:
    finding = Finding("tiny-1", "tiny", "img-1", "tumour", 0.9, ((50, 10, 5), (70, 30, 8)))

    picture = draw_heatmap(volume(), heat(), record(finding_id="tiny-1"), findings=[finding])

    yellow = tuple(int(FINDING_COLOUR[n : n + 2], 16) for n in (1, 3, 5))
    assert has_colour(picture, yellow)  # type: ignore[arg-type]


def yellow_places(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 2) rows and columns of the left panel, in voxels, that have the colour of a finding's box."""
    top, high = MARGIN_PX + 2 * LINE_PX, round(60 * PANEL_PX / 80)
    panel = picture[top : top + high, MARGIN_PX : MARGIN_PX + PANEL_PX].astype(int)
    yellow = [int(FINDING_COLOUR[n : n + 2], 16) for n in (1, 3, 5)]
    return np.argwhere((np.abs(panel - yellow) < 10).all(axis=2)) / (PANEL_PX / 80)


def test_the_box_is_that_of_the_slice_which_is_shown_and_not_the_one_around_all_slices() -> None:
    boxes = (((20, 20, 5), (70, 50, 6)), ((50, 20, 6), (70, 40, 7)), ((50, 20, 7), (70, 50, 8)))
    finding = Finding("tiny-1", "tiny", "img-1", "tumour", 0.9, ((20, 20, 5), (70, 50, 8)), slice_boxes_ijk=boxes)

    places = yellow_places(draw_heatmap(volume(), heat(), record(finding_id="tiny-1"), findings=[finding]))
    box = places[places[:, 0] >= 19.9]

    assert box.min(axis=0) == pytest.approx([20, 50], abs=0.5)
    assert box.max(axis=0) == pytest.approx([40, 70], abs=0.5)


def test_a_slice_between_the_boxes_of_a_finding_shows_none() -> None:
    boxes = (((50, 20, 3), (70, 40, 4)), ((50, 20, 8), (70, 40, 9)))
    finding = Finding("tiny-1", "tiny", "img-1", "tumour", 0.9, ((50, 20, 3), (70, 40, 9)), slice_boxes_ijk=boxes)

    assert not len(yellow_places(draw_heatmap(volume(), heat(), record(finding_id="tiny-1"), findings=[finding])))


def test_a_title_and_a_reason_of_any_length_are_written_to_their_end() -> None:
    one = Finding("flair_glioma_detection-12", "tiny", "img-1", "tumour", 0.9, ((50, 10, 5), (70, 30, 8)))
    of_it = record("unsupported", bundle="a_network_with_a_long_name_" * 6, trust_reason="a reason of many words " * 40)

    width = draw_heatmap(volume(), heat(), of_it, findings=[one]).shape[1] - 2 * MARGIN_PX
    title = wrapped(title_of(of_it, [one]), width, 15)

    assert "tumour, finding 12, score 0.90, by hires cam" in " ".join(title)
    assert "".join(title).replace(" ", "") == title_of(of_it, [one]).replace(" ", "")
    assert max(font(15).getlength(line) for line in title) <= width
    short = draw_heatmap(volume(), heat(), record("unsupported"), findings=[one])
    lines = len(wrapped(of_it.trust_reason, width, 13)) - 1 + len(title) - 1
    assert draw_heatmap(volume(), heat(), of_it, findings=[one]).shape[0] - short.shape[0] == lines * LINE_PX


def test_off_a_grid_the_map_covers_the_image_from_edge_to_edge() -> None:
    flat = Volume(np.full((80, 60, 1), 100, np.float32), IndexGrid((80, 60, 1)), ImageFacts(), "img-1", (100.0, 200.0))
    data = np.zeros((5, 3, 1), np.float32)
    data[4, 0, 0] = 1
    corner = Heatmap(data, IndexGrid(data.shape), "tumour", "grad_cam")

    places = coloured_places(draw_heatmap(flat, corner, record())) / (PANEL_PX / 80)

    assert places[:, 0].min() == 0
    assert places[:, 1].max() == pytest.approx(80, abs=0.3)
    assert places.mean(axis=0)[1] > 64


def test_the_same_map_gives_the_same_bytes() -> None:
    assert np.array_equal(draw_heatmap(volume(), heat(), record()), draw_heatmap(volume(), heat(), record()))
