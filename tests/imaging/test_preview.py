"""The picture of a case, looked at pixel by pixel."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation
from skimage.measure import label as label_parts
from skimage.measure import regionprops

from diascope.errors import GridMismatch
from diascope.findings import Finding, ImageFacts, Label
from diascope.geometry import Grid, IndexGrid, PixelGrid, Space
from diascope.imaging.page import BACKGROUND, LETTER, MARGIN_PX, PANEL_PX, font
from diascope.imaging.preview import draw_preview, encode_png
from diascope.volume import Mask, Volume

GREEN = Label(1, "white_matter", "#00ff00")
BLUE = Label(2, "tumour", "#0000ff")


def volume(space: Space, value: float = 100.0, **extra: object) -> Volume:
    data = np.full(space.shape, value, np.float32)
    return Volume(data, space, ImageFacts(modality="MR"), "img-000000000000001", (100.0, 200.0), **extra)  # type: ignore[arg-type]


def grid(axcodes: str, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """An image whose i, j, k run to these patient directions."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(axcodes):
        row = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}[code]
        affine[row, axis] = spacing_mm[axis] * (1 if code in "RAS" else -1)
    return Grid(shape, affine)


def turned(one: Grid, degrees: float) -> Grid:
    affine = one.affine.copy()
    affine[:3, :3] = (
        Rotation.from_euler("xyz", [degrees, -degrees / 2, degrees], degrees=True).as_matrix() @ affine[:3, :3]
    )
    return Grid(one.shape, affine)


def letter_places(picture: NDArray[np.uint8]) -> list[tuple[float, float]]:
    """(row, column) of everything that is drawn in the colour of the letters."""
    lit = (picture == np.array(LETTER)).all(axis=2)
    # The two strokes of a letter may touch in blended pixels only: join what is 3 pixels apart.
    joined = label_parts(np.pad(lit, 1)[1:-1, 1:-1], connectivity=2)
    return [tuple(region.centroid) for region in regionprops(joined) if region.num_pixels > 8]


def colour_places(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.intp]:
    """(n, 2) rows and columns of pixels that are nearly of this colour."""
    return np.argwhere(np.abs(picture.astype(int) - colour).max(axis=2) < 30)


def glyph(letter: str) -> NDArray[np.bool_]:
    """(rows, columns) where a letter of the preview is full of its colour, drawn by the preview itself elsewhere."""
    page = Image.new("L", (40, 40))
    ImageDraw.Draw(page).text((20, 20), letter, 255, font(20, "-Bold"), "mm")
    lit = np.asarray(page) == 255
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    return lit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def columns_of_letter(picture: NDArray[np.uint8], letter: str) -> list[int]:
    """Columns at which exactly this letter stands."""
    lit = (picture == np.array(LETTER)).all(axis=2)
    shape = glyph(letter)
    windows = np.lib.stride_tricks.sliding_window_view(lit, shape.shape)
    return [int(column) for _, column in np.argwhere((windows == shape).all(axis=(2, 3)))]


ORIENTATIONS = {
    "RAS": grid("RAS", (60, 50, 9), (1.0, 1.2, 5.0)),
    "LPS": grid("LPS", (60, 50, 9), (1.0, 1.2, 5.0)),
    "acquired coronal": grid("LSP", (60, 50, 9), (1.0, 1.2, 5.0)),
    "thick along i": grid("SRA", (9, 60, 50), (5.0, 1.0, 1.2)),
    "oblique": turned(grid("LPS", (60, 50, 9), (1.0, 1.2, 5.0)), 15.0),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_r_is_left_l_is_right_and_what_is_drawn_on_the_patients_left_is_near_l(name: str) -> None:
    space = ORIENTATIONS[name]
    everywhere = np.stack(np.meshgrid(*map(np.arange, space.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    x_mm = space.to_ras_mm(everywhere.astype(float))[:, 0]
    on_the_left = (x_mm < np.percentile(x_mm, 12)).reshape(space.shape)  # RAS: left is negative
    mask = Mask(on_the_left.astype(np.uint8), space, {1: "white_matter"})

    picture = draw_preview(volume(space), [(mask, [GREEN])])

    # Two panels, without and with the overlay: the letters of the second.
    panel_left = picture.shape[1] // 2 if picture.shape[1] == 2 * PANEL_PX + 3 * MARGIN_PX else 0
    (r_plain, r_drawn), (l_plain, l_drawn) = columns_of_letter(picture, "R"), columns_of_letter(picture, "L")
    assert r_plain < l_plain < r_drawn < l_drawn
    page = picture[: int(picture.shape[0] * 0.8)]
    painted = colour_places(page, (0, 242, 0))[:, 1]
    assert painted.size > 50
    assert np.median(painted) > (r_drawn + l_drawn) / 2
    assert painted.min() > panel_left


@pytest.mark.parametrize("space", [IndexGrid((60, 50, 9)), PixelGrid((60, 50, 1), (0.2, 0.2), "detector")])
def test_off_a_grid_no_letter_is_drawn(space: Space) -> None:
    picture = draw_preview(volume(space), [])

    assert not (picture == np.array(LETTER)).all(axis=2).any()


def panel_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The one panel of a preview without overlays of a bright image."""
    bright = (picture > 250).all(axis=2)
    rows, columns = np.flatnonzero(bright.mean(axis=1) > 0.2), np.flatnonzero(bright.mean(axis=0) > 0.2)
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.mark.parametrize(
    ("space", "high_by_wide"),
    [
        (PixelGrid((50, 50, 1), (0.2, 0.4), "patient"), 2.0),
        (PixelGrid((80, 20, 1), (0.3, 0.3), "patient"), 0.25),
        (IndexGrid((40, 20, 5)), 0.5),
    ],
)
def test_an_image_has_its_true_aspect_ratio(space: Space, high_by_wide: float) -> None:
    panel = panel_of(draw_preview(volume(space, 500.0), []))

    assert panel.shape[0] / panel.shape[1] == pytest.approx(high_by_wide, rel=0.02)


def test_a_contour_is_full_and_a_fill_lets_the_tissue_be_seen() -> None:
    space = IndexGrid((20, 20, 1))
    data = np.zeros(space.shape, np.uint8)
    data[5:15, 5:15] = 2

    picture = draw_preview(volume(space), [(Mask(data, space, {2: "tumour"}), [BLUE])])

    middle = picture[MARGIN_PX + 40 + PANEL_PX // 2, 2 * MARGIN_PX + PANEL_PX + PANEL_PX // 2].tolist()
    assert middle == pytest.approx([128 * 0.72, 128 * 0.72, 128 * 0.72 + 255 * 0.28], abs=2)
    assert len(colour_places(picture, (6, 6, 249))) > 4 * 200


def test_an_overlay_lies_on_the_voxels_it_was_drawn_on() -> None:
    space = IndexGrid((11, 7, 3))
    data = np.full(space.shape, 0.0, np.float32)
    data[8, 2, 1] = 200.0
    mask = Mask((data > 0).astype(np.uint8), space, {1: "white_matter"})
    image = Volume(data, space, ImageFacts(), "img-000000000000001", (100.0, 200.0))

    picture = draw_preview(image, [(mask, [GREEN])])

    scale = PANEL_PX / 11
    rows, columns = colour_places(picture[:, PANEL_PX + 2 * MARGIN_PX :], (7, 249, 7)).T
    top = np.flatnonzero((picture[:, MARGIN_PX + 5] == 0).all(axis=1))[0]
    assert columns.min() == pytest.approx(8 * scale, abs=1)
    assert columns.max() == pytest.approx(9 * scale - 1, abs=1)
    assert rows.min() - top == pytest.approx(2 * scale, abs=1)


def test_monochrome1_is_shown_inverted() -> None:
    space = IndexGrid((20, 20, 1))

    dark, bright = (draw_preview(volume(space, 0.0, is_inverted=inverted), []) for inverted in (False, True))

    assert dark[240, 240].tolist() == [0, 0, 0]
    assert bright[240, 240].tolist() == [255, 255, 255]


def test_a_finding_is_boxed_where_it_is_and_not_in_another_image() -> None:
    space = IndexGrid((20, 20, 5))
    here = Finding("f-1", "b", "img-000000000000001", "nodule", 0.87, ((4, 10, 2), (8, 16, 5)))
    elsewhere = Finding("f-2", "b", "img-000000000000002", "nodule", 0.87, ((0, 0, 0), (2, 2, 2)))

    picture = draw_preview(volume(space), [], [here])
    without = draw_preview(volume(space), [], [elsewhere])

    yellow = colour_places(picture, (255, 214, 10))
    assert len(yellow) > 200
    assert len(colour_places(without, (255, 214, 10))) == 0


def test_a_scale_bar_has_the_length_it_names() -> None:
    space = grid("LPS", (100, 100, 5), (1.0, 1.0, 5.0))  # 440 pixels for 100 mm: the bar of 20 mm has 88

    picture = draw_preview(volume(space, 0.0), [])

    lit = (picture == np.array((232, 232, 228))).all(axis=2)
    runs = [max(map(len, "".join("x" if on else " " for on in row).split()), default=0) for row in lit]
    assert max(runs) == pytest.approx(20 * 4.4, abs=2)


def test_the_same_arguments_give_the_same_bytes() -> None:
    space = ORIENTATIONS["oblique"]
    mask = Mask(np.eye(60, 50, dtype=np.uint8)[:, :, None].repeat(9, axis=2), space, {1: "white_matter"})

    first, second = (encode_png(draw_preview(volume(space), [(mask, [GREEN])], caption="case")) for _ in range(2))

    assert first == second
    assert b"tEXt" not in first
    assert b"tIME" not in first


def test_the_page_is_rgb_and_grows_with_the_legend() -> None:
    space = IndexGrid((20, 20, 3))
    values = (np.arange(20 * 20 * 3) % 61).reshape(space.shape).astype(np.uint8)
    names = {value: f"structure_with_a_long_name_{value}" for value in range(1, 61)}
    labels = [Label(value, name, "#8899aa") for value, name in names.items()]

    few = draw_preview(volume(space), [(Mask((values == 1).astype(np.uint8), space, {1: "a"}), labels[:1])])
    many = draw_preview(volume(space), [(Mask(values, space, names), labels)])

    assert many.dtype == np.uint8
    assert many.shape[2] == 3
    assert many.shape[0] > few.shape[0] + 10 * 20
    assert many[2, 2].tolist() == list(BACKGROUND)


def test_a_label_map_on_other_voxels_is_refused() -> None:
    mask = Mask(np.ones((20, 20, 4), np.uint8), IndexGrid((20, 20, 4)), {1: "white_matter"})

    with pytest.raises(GridMismatch, match=r"\(20, 20, 4\).*\(20, 20, 3\)"):
        draw_preview(volume(IndexGrid((20, 20, 3))), [(mask, [GREEN])])


def test_a_long_caption_stays_on_the_page() -> None:
    picture = draw_preview(volume(IndexGrid((20, 20, 3))), [], caption="case " + "brain_structures " * 40)

    assert (picture[:, -MARGIN_PX:] == BACKGROUND).all()
