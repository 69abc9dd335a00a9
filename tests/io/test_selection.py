"""A study has many series and a network wants one: which, and why not the others."""

import dataclasses
import itertools
import random
import re
from pathlib import Path

import numpy as np
import pytest

from diascope.config import parse_settings
from diascope.errors import ConfigError
from diascope.findings import ImageFacts
from diascope.geometry import FieldOfView, Grid, IndexGrid, PixelGrid, Space
from diascope.io.selection import Choice, SelectRule, choose
from diascope.io.series import Series

NO_GEOMETRY = (
    "it does not say how large its voxels are nor how the patient lay (IndexGrid: a picture, or no affine), "
    "the network needs a place in the patient"
)


def grid(slices: int, slice_mm: float, in_plane: int = 13) -> Grid:
    return Grid((in_plane, 11, slices), np.diag([0.7, 0.8, slice_mm, 1.0]))


def series(image_id: str, description: str, space: Space | None, facts: ImageFacts, **more: object) -> Series:
    number = image_id.rsplit("-", 1)[-1]
    return Series(
        case_id="case-1",
        image_id=image_id,
        reader="dicom",
        files=tuple(Path(f"s{number}/{k}") for k in range(space.shape[2] if space else 1)),
        facts=facts,
        space=space,
        selection={"series_description": description, "series_number": number, "study_description": "MRI FLAIR T1"},
        **more,  # type: ignore[arg-type]
    )


def mr(**facts: object) -> ImageFacts:
    return dataclasses.replace(
        ImageFacts(modality="MR", body_part="BRAIN", image_type=("ORIGINAL", "PRIMARY")), **facts
    )  # type: ignore[arg-type]


def ct(**facts: object) -> ImageFacts:
    return dataclasses.replace(
        ImageFacts(modality="CT", body_part="CHEST", image_type=("ORIGINAL", "PRIMARY", "AXIAL")), **facts
    )  # type: ignore[arg-type]


def brain_study() -> list[Series]:
    """Fourteen series as an epilepsy protocol at 3 T has them."""
    t1 = {"repetition_time_ms": 2300.0, "echo_time_ms": 2.3, "inversion_time_ms": 900.0}
    flair = {"repetition_time_ms": 9000.0, "echo_time_ms": 110.0, "inversion_time_ms": 2500.0}
    t2 = {"repetition_time_ms": 5000.0, "echo_time_ms": 100.0}
    dwi = {"repetition_time_ms": 6000.0, "echo_time_ms": 80.0, "plane": "axial"}
    return [
        series("img-1", "localizer", grid(3, 10.0), mr(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), plane="axial")),
        series(
            "img-2", "t1_mprage_sag", grid(192, 1.0), mr(plane="sagittal", contrast=False, slice_thickness_mm=1.0, **t1)
        ),
        series(
            "img-3",
            "t1 reformat tra",
            grid(60, 3.0),
            mr(plane="axial", slice_thickness_mm=3.0, image_type=("DERIVED", "SECONDARY", "MPR"), **t1),
        ),
        series("img-4", "t2_tse_tra", grid(30, 4.4), mr(plane="axial", slice_thickness_mm=4.0, **t2)),
        series("img-5", "t2_tse_cor", grid(32, 4.4), mr(plane="coronal", slice_thickness_mm=4.0, **t2)),
        series("img-6", "t2_tirm_tra_dark-fluid", grid(30, 4.4), mr(plane="axial", slice_thickness_mm=4.0, **flair)),
        series("img-7", "flair_space_sag", grid(176, 1.0), mr(plane="sagittal", slice_thickness_mm=1.0, **flair)),
        series("img-8", "flair_cor", grid(40, 3.3), mr(plane="coronal", slice_thickness_mm=3.0, **flair)),
        series(
            "img-9", "ep2d_diff b1000", grid(30, 4.4), mr(b_value_s_per_mm2=1000.0, **dwi), volumes=31, axis="b_value"
        ),
        series(
            "img-10", "ep2d_diff_ADC", grid(30, 4.4), mr(image_type=("DERIVED", "PRIMARY", "DIFFUSION", "ADC"), **dwi)
        ),
        series("img-11", "swi", grid(72, 2.0), mr(plane="axial", repetition_time_ms=28.0, echo_time_ms=20.0)),
        series("img-12", "swi mIP", grid(65, 16.0), mr(plane="axial", image_type=("DERIVED", "PRIMARY", "MINIP"))),
        series(
            "img-13",
            "ep2d_bold_rest",
            grid(36, 3.0),
            mr(plane="axial", repetition_time_ms=2000.0),
            volumes=240,
            axis="time",
        ),
        series(
            "img-14",
            "t1_mprage_sag_KM",
            grid(192, 1.0),
            mr(plane="sagittal", contrast=True, slice_thickness_mm=1.0, **t1),
        ),
    ]


def chest_study() -> list[Series]:
    """Nine series of a contrast-enhanced chest CT."""
    thin, thick = {"slice_thickness_mm": 1.0}, {"slice_thickness_mm": 5.0}
    derived = ("DERIVED", "SECONDARY", "MPR")
    return [
        series(
            "img-1",
            "Topogram",
            PixelGrid((512, 700, 1), (0.6, 0.6), "patient"),
            ct(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")),
        ),
        series("img-2", "nativ 5.0", grid(60, 5.0), ct(kernel="B30f", contrast=False, plane="axial", **thick)),
        series("img-3", "art 5.0 soft", grid(60, 5.0), ct(kernel="B30f", contrast=True, plane="axial", **thick)),
        series("img-4", "art 1.0 soft", grid(300, 1.0), ct(kernel="B30f", contrast=True, plane="axial", **thin)),
        series("img-5", "art 1.0 lung", grid(300, 1.0), ct(kernel="B70f", contrast=True, plane="axial", **thin)),
        series("img-6", "ven 1.0 soft", grid(320, 1.0), ct(kernel="B30f", contrast=True, plane="axial", **thin)),
        series(
            "img-7",
            "cor MPR",
            grid(90, 3.0),
            ct(kernel="B30f", contrast=True, plane="coronal", image_type=derived, slice_thickness_mm=3.0),
        ),
        series(
            "img-8",
            "sag MPR",
            grid(110, 3.0),
            ct(kernel="B30f", contrast=True, plane="sagittal", image_type=derived, slice_thickness_mm=3.0),
        ),
        series(
            "img-9",
            "Dose Report",
            IndexGrid((512, 512, 1)),
            ImageFacts(modality="CT", image_type=("DERIVED", "SECONDARY", "OTHER")),
        ),
    ]


FLAIR = """
modality: [MR]
image_type: {exclude: ["^LOCALIZER$", "^MPR$", "^MINIP$"]}
any_of:
  - {description: {include: [flair, 'dark.?fluid']}, required: [description]}
  - inversion_time_ms: {min: 1700, max: 2900}
    echo_time_ms: {min: 60}
    required: [inversion_time_ms, echo_time_ms]
slices: {min: 10}
"""


def rule(yaml_text: str) -> SelectRule:
    import yaml

    return parse_settings(SelectRule, yaml.safe_load(yaml_text))


def ids(choice: Choice) -> list[str]:
    return [one.image_id for one in choice.chosen]


def test_a_flair_network_gets_the_thinnest_flair_of_a_brain_study() -> None:
    choice = choose("flair", "grid", rule(FLAIR), brain_study())

    assert ids(choice) == ["img-7"]
    why_not = dict(choice.why_not)
    assert set(why_not) == {f"img-{n}" for n in range(1, 15)} - {"img-7"}
    assert why_not["img-6"] == "thinner slices preferred: 4.0 mm instead of 1.0 mm"
    assert why_not["img-8"] == "thinner slices preferred: 3.0 mm instead of 1.0 mm"
    assert why_not["img-1"] == "its ImageType is among the excluded ones"
    assert why_not["img-9"] == "it holds 31 volumes (b_value), asked for: at most 1"
    assert why_not["img-2"] == (
        "it fits none of 2 alternatives: its description is none of those asked for; "
        "echo time: 2.3 ms, asked for: at least 60 ms"
    )
    assert why_not["img-4"].endswith("inversion time is not stated")


def test_a_network_for_axial_slices_gets_the_axial_flair_by_its_preference() -> None:
    choice = choose("flair", "index", rule(FLAIR + "prefer: [{plane: axial}, more_slices]"), brain_study())

    assert ids(choice) == ["img-6"]
    assert dict(choice.why_not)["img-7"] == "another plane is preferred"


def test_select_all_gives_every_flair_best_first() -> None:
    choice = choose("flair", "grid", rule(FLAIR + "select: all"), brain_study())

    assert ids(choice) == ["img-7", "img-8", "img-6"]


def test_a_t1_without_contrast_agent_is_told_from_the_one_with_it() -> None:
    t1 = "description: {include: [mprage]}\ncontrast: false"

    choice = choose("t1", "grid", rule(t1), brain_study())

    assert ids(choice) == ["img-2"]
    assert dict(choice.why_not)["img-14"] == "a contrast agent is recorded"


def test_the_later_of_two_equal_series_can_be_preferred() -> None:
    t1 = "description: {include: [mprage]}\nprefer: [thinner_slices, later]"

    choice = choose("t1", "grid", rule(t1), brain_study())

    assert ids(choice) == ["img-14"]
    assert dict(choice.why_not)["img-2"] == "the later of two series is preferred"


def test_a_four_dimensional_series_is_chosen_when_the_rule_asks_for_volumes() -> None:
    choice = choose("rest", "grid", rule("volumes: {min: 100}"), brain_study())

    assert ids(choice) == ["img-13"]


def test_a_soft_thin_kernel_is_chosen_from_a_chest_study() -> None:
    soft = """
    modality: [CT]
    plane: [axial]
    contrast: true
    slices: {min: 20}
    slice_thickness_mm: {max: 6}
    prefer: [thinner_slices, {kernel: "^B[1-4]"}, more_slices]
    """

    choice = choose("nodules", "grid", rule(soft), chest_study())

    assert ids(choice) == ["img-6"]
    why_not = dict(choice.why_not)
    assert why_not == {
        "img-1": "it has a pixel spacing but no place in the patient (PixelGrid), as a radiograph, "
        "the network needs a place in the patient",
        "img-2": "no contrast agent is recorded",
        "img-3": "thinner slices preferred: 5.0 mm instead of 1.0 mm",
        "img-4": "more slices preferred: 300 instead of 320",
        "img-5": "another kernel is preferred: B70f instead of B30f",
        "img-7": "plane is coronal, asked for: axial",
        "img-8": "plane is sagittal, asked for: axial",
        "img-9": NO_GEOMETRY,
    }


def test_a_native_phase_with_a_lung_kernel_is_not_there_and_that_is_no_error() -> None:
    native_lung = "modality: [CT]\ncontrast: false\nkernel: {include: ['^B[67]']}"

    choice = choose("lung", "grid", rule(native_lung), chest_study())

    assert choice.chosen == ()
    assert len(choice.why_not) == 9


def test_the_choice_does_not_depend_on_the_order_of_the_series() -> None:
    study, rng = brain_study(), random.Random(20261120)
    wanted = choose("flair", "grid", rule(FLAIR + "select: all"), study)

    for _ in range(20):
        rng.shuffle(study)
        choice = choose("flair", "grid", rule(FLAIR + "select: all"), study)

        assert ids(choice) == ids(wanted)
        assert dict(choice.why_not) == dict(wanted.why_not)


def test_every_series_is_either_chosen_or_told_why_not() -> None:
    rules = [
        rule(FLAIR),
        rule("{}"),
        rule("select: all"),
        rule("modality: [MG]"),
        rule("prefer: [fewer_slices, no_contrast]"),
    ]

    for one, study, need in itertools.product(rules, (brain_study(), chest_study()), ("grid", "pixels", "index")):
        choice = choose("any", need, one, study)

        told = [image_id for image_id, reason in choice.why_not if reason]
        assert sorted([*ids(choice), *told]) == sorted(s.image_id for s in study)


def test_no_free_text_of_a_header_gets_into_a_sentence() -> None:
    study = [dataclasses.replace(one, selection={"series_description": "MEYER^ANNA flair"}) for one in brain_study()]

    reasons = " ".join(reason for _, reason in choose("flair", "grid", rule(FLAIR), study).why_not)

    assert reasons
    assert not re.search("meyer|anna", reasons, re.IGNORECASE)


def test_a_nifti_that_states_nothing_passes_every_rule_about_headers() -> None:
    nifti = Series("case-1", "img-1", "nifti", (Path("a/flair.nii.gz"),), ImageFacts(), space=grid(24, 5.0))

    assert ids(choose("flair", "grid", rule(FLAIR), [nifti])) == ["img-1"]


def test_the_suffix_of_a_bids_file_is_a_description() -> None:
    facts = [ImageFacts(modality="MR", extra=(("bids_suffix", suffix),)) for suffix in ("T1w", "FLAIR")]
    study = [
        Series("case-1", f"img-{n}", "nifti", (Path("x"),), one, space=grid(24, 5.0)) for n, one in enumerate(facts)
    ]

    assert ids(choose("flair", "grid", rule(FLAIR), study)) == ["img-1"]


def test_the_name_of_a_file_can_be_asked_for() -> None:
    flair = Series("case-1", "img-1", "nifti", (Path("a/flair.nii.gz"),), ImageFacts(), space=grid(24, 5.0))
    tumour = dataclasses.replace(flair, image_id="img-2", files=(Path("flair/tumour.nii.gz"),))

    choice = choose("flair", "index", rule("file_name: {include: ['^flair']}"), [tumour, flair])

    assert ids(choice) == ["img-1"]
    assert choice.why_not == (("img-2", "its file name is none of those asked for"),)


def test_an_image_without_geometry_does_not_go_to_a_network_that_needs_it() -> None:
    index = Series("case-1", "img-1", "nifti", (Path("x"),), ImageFacts(), space=IndexGrid((5, 7, 11)))

    choice = choose("brain", "grid", SelectRule(), [index])

    assert choice.why_not == (("img-1", NO_GEOMETRY),)
    assert ids(choose("flair", "index", SelectRule(), [index])) == ["img-1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("description: {include: ['(']}", "is not a regular expression"),
        ("slices: {min: 10, max: 5}", "min 10.0 is larger than max 5.0"),
        ("prefer: [{plane: axial, kernel: B30}]", "exactly one of"),
        ("required: [inversion_tme_ms]", "inversion_tme_ms is not one of"),
        ("modalty: [MR]", "modalty is not a setting"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        rule(text)


def test_a_scout_that_its_image_type_does_not_name_is_left_out_unless_asked_for() -> None:
    scout = dataclasses.replace(series("img-1", "survey", grid(20, 5.0), mr()), selection={"is_localizer": "yes"})

    assert choose("net", "grid", SelectRule(), [scout]).why_not == (("img-1", "it is a scout"),)
    assert choose("net", "grid", SelectRule(scouts=True), [scout]).chosen == (scout,)


def test_a_part_of_the_body_is_turned_away_with_its_size_and_an_unread_one_waits() -> None:
    whole_head = FieldOfView(least_extent_mm=(110.0, 110.0, 110.0))
    crop = Series("case-1", "img-1", "nifti", (Path("x"),), ImageFacts(), space=Grid((35, 51, 34), np.eye(4)))
    head = Series("case-1", "img-2", "nifti", (Path("y"),), ImageFacts(), space=Grid((170, 200, 180), np.eye(4)))
    unknown = Series("case-1", "img-3", "nifti", (Path("z"),), ImageFacts(), space=None)

    choice = choose("brain", "grid", rule("select: all"), [crop, head, unknown], field_of_view=whole_head)

    assert sorted(ids(choice)) == ["img-2", "img-3"]
    ((image_id, reason),) = choice.why_not
    assert image_id == "img-1"
    assert reason == (
        "it shows 35 x 51 x 34 mm (left to right, back to front, foot to head), needed are at least 110 x 110 x 110 mm"
    )
    assert choice.field_of_view == whole_head


def silent(**facts: object) -> Series:
    """A NIfTI file without anything beside it, but for what is given."""
    plain = series("img-1", "", IndexGrid((5, 7, 11)), dataclasses.replace(ImageFacts(), **facts))  # type: ignore[arg-type]
    return dataclasses.replace(plain, reader="nifti", selection={})


def test_an_image_that_passes_because_nothing_speaks_against_it_is_named_with_what_it_does_not_state() -> None:
    choice = choose("flair", "index", rule(FLAIR), [silent()])

    assert choice.unstated == (("img-1", "description, echo time, inversion time"),)


def test_an_image_that_speaks_for_one_of_the_alternatives_states_enough() -> None:
    by_times = silent(inversion_time_ms=2500.0, echo_time_ms=110.0)
    by_name = dataclasses.replace(silent(), selection={"bids_suffix": "FLAIR"})

    for one in (by_times, by_name):
        choice = choose("flair", "index", rule(FLAIR), [one])
        assert ids(choice) == ["img-1"]
        assert choice.unstated == ()


def test_a_rule_that_requires_nothing_asks_no_image_to_state_anything() -> None:
    assert choose("mr", "index", rule("modality: [MR]"), [silent()]).unstated == ()


def test_a_required_fact_that_a_file_which_is_no_dicom_lacks_is_named() -> None:
    timed = rule("inversion_time_ms: {min: 1500}\nrequired: [inversion_time_ms]")

    assert choose("flair", "index", timed, [silent()]).unstated == (("img-1", "inversion time"),)


@pytest.mark.parametrize(("typed", "right"), [("MRI", "MR"), ("mri", "MR"), ("X-Ray", "DX or CR"), ("PET", "PT")])
def test_a_modality_as_people_say_it_is_corrected_to_the_one_of_dicom(typed: str, right: str) -> None:
    with pytest.raises(ConfigError, match=f"modality.0: {typed} is no modality of DICOM: write {right}"):
        rule(f"modality: [{typed}]")
