"""Facts are spelt one way, whoever wrote them."""

import numpy as np
import pytest

from diascope.findings import ImageFacts
from diascope.geometry import Grid, IndexGrid
from diascope.io.facts import age_of, manufacturer_of, plane_of, sex_of, with_origin
from diascope.io.reader import Origin
from tests.io.reading import KEY


@pytest.mark.parametrize(
    ("text", "expected"),
    [("042Y", "42"), ("18M", "1"), ("103W", "1"), ("089Y", "89"), ("090Y", "90+"), ("101", "90+"), ("42.7", "42"),
     ("90+", "90+"), ("", None), ("old", None), ("-3", None)],
)  # fmt: skip
def test_ages_are_whole_years_and_90_and_over_is_one_group(text: str, expected: str | None) -> None:
    assert age_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Siemens Healthineers", "SIEMENS"), ("SIEMENS", "SIEMENS"), ("GE MEDICAL SYSTEMS", "GE"),
     ("General Electric", "GE"), ("Philips Medical Systems", "PHILIPS"), ("Canon Medical", "CANON"),
     ("United Imaging", "UIH"), ("Genesis", "GENESIS"), ("", None)],
)  # fmt: skip
def test_spellings_of_a_manufacturer_are_made_one(text: str, expected: str | None) -> None:
    assert manufacturer_of(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("female", "F"), ("M ", "M"), ("O", "O"), ("", None), ("x", None)])
def test_sexes_are_read(text: str, expected: str | None) -> None:
    assert sex_of(text) == expected


@pytest.mark.parametrize(("axes", "expected"), [((0, 1, 2), "axial"), ((1, 2, 0), "sagittal"), ((0, 2, 1), "coronal")])
def test_the_plane_is_across_the_slices(axes: tuple[int, int, int], expected: str) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, axes] * [0.7, 0.8, 2.5]

    assert plane_of(Grid((5, 7, 11), affine)) == expected


def test_the_plane_of_a_reordered_image_is_that_of_its_thickest_axis() -> None:
    # nnU-Net and others store sagittal slices along i.
    assert plane_of(Grid((11, 7, 5), np.diag([2.5, 0.8, 0.7, 1.0]))) == "sagittal"


def test_no_grid_has_no_plane() -> None:
    assert plane_of(IndexGrid((5, 7, 11))) is None


def test_a_slice_far_off_every_axis_is_oblique() -> None:
    turn = np.deg2rad(45)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]) @ np.diag(
        [0.7, 0.8, 2.5]
    )

    assert plane_of(Grid((5, 7, 11), affine)) == "oblique"


def test_a_table_wins_over_the_header_and_the_rest_is_extra() -> None:
    origin = Origin(case="c1", patient="p1", facts=(("Gender", "female"), ("age", "93"), ("grade", "2"), ("x", "n/a")))

    facts = with_origin(ImageFacts(sex="M", modality="MR"), origin, KEY)

    assert (facts.sex, facts.age_years, facts.modality) == ("F", "90+", "MR")
    assert facts.extra == (("grade", "2"),)
    assert facts.patient_key == KEY.patient_key("p1")
