"""Choice of series on whole studies as DICOM files: what the headers really say decides."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from pydicom.uid import ComprehensiveSRStorage

from diascope.config import parse_settings
from diascope.io.selection import Choice, SelectRule, choose
from diascope.io.series import Catalogue
from tests.io.dicom_phantoms import Phantom, new_file, patient, save, with_tags, write_series
from tests.io.reading import read

AXIAL = np.eye(3)
SAGITTAL = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def plane(directions: NDArray[np.float64], slices: int, slice_mm: float, name: str) -> Phantom:
    normal = np.cross(directions[:, 0], directions[:, 1])
    axes = np.stack([directions[:, 0], directions[:, 1], normal], axis=1)
    return Phantom(shape=(5, 7, slices), spacing_mm=(0.7, 0.8, slice_mm), directions=axes, name=name)


def add(folder: Path, number: int, phantom: Phantom, modality: str = "MR", **tags: object) -> None:
    tags = {"SeriesNumber": number, "SeriesDescription": phantom.name, **tags}
    write_series(folder / f"s{number:02d}", phantom, with_tags(**tags), modality)


def brain(folder: Path) -> None:
    """Fourteen series of one MR examination, each with a few of its slices."""
    t1 = {"RepetitionTime": 2300, "EchoTime": 2.3, "InversionTime": 900}
    flair = {"RepetitionTime": 9000, "EchoTime": 110, "InversionTime": 2500}
    t2 = {"RepetitionTime": 5000, "EchoTime": 100}
    add(folder, 1, plane(AXIAL, 3, 10.0, "localizer"), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    add(folder, 2, plane(SAGITTAL, 20, 1.0, "t1_mprage_sag"), **t1)
    add(folder, 3, plane(AXIAL, 12, 3.0, "t1 tra mpr"), ImageType=["DERIVED", "SECONDARY", "MPR"], **t1)
    add(folder, 4, plane(AXIAL, 11, 4.4, "t2_tse_tra"), **t2)
    add(folder, 5, plane(CORONAL, 11, 4.4, "t2_tse_cor"), **t2)
    add(folder, 6, plane(AXIAL, 11, 4.4, "t2_tirm_tra_dark-fluid"), **flair)
    add(folder, 7, plane(SAGITTAL, 20, 1.0, "space sag"), **flair)
    add(folder, 8, plane(CORONAL, 14, 3.3, "flair cor"), **flair)
    add(folder, 9, plane(AXIAL, 11, 4.4, "ep2d_diff_b0"), RepetitionTime=6000, EchoTime=80, DiffusionBValue=0.0)
    add(folder, 10, plane(AXIAL, 11, 4.4, "ep2d_diff_ADC"), ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"])
    add(folder, 11, plane(AXIAL, 18, 2.0, "swi"), RepetitionTime=28, EchoTime=20)
    add(folder, 12, plane(AXIAL, 11, 16.0, "swi mIP"), ImageType=["DERIVED", "PRIMARY", "MINIP"])
    add(folder, 13, plane(AXIAL, 12, 3.0, "ep2d_bold"), RepetitionTime=2000, EchoTime=30)
    add(folder, 14, plane(SAGITTAL, 20, 1.0, "t1_mprage_sag km"), ContrastBolusAgent="Gadovist", **t1)


def chest(folder: Path) -> None:
    """Nine series of one CT examination."""
    thin, thick = {"SliceThickness": 1.0}, {"SliceThickness": 5.0}
    soft, lung = {"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}
    agent = {"ContrastBolusAgent": "Ultravist"}
    mpr = {"ImageType": ["DERIVED", "SECONDARY", "MPR"], **soft, **agent}
    add(folder, 1, plane(CORONAL, 1, 1.0, "Topogram"), "CT", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    add(folder, 2, plane(AXIAL, 11, 5.0, "nativ"), "CT", **thick, **soft)
    add(folder, 3, plane(AXIAL, 11, 5.0, "art thick"), "CT", **thick, **soft, **agent)
    add(folder, 4, plane(AXIAL, 30, 1.0, "art thin"), "CT", **thin, **soft, **agent)
    add(folder, 5, plane(AXIAL, 30, 1.0, "art lung"), "CT", **thin, **lung, **agent)
    add(folder, 6, plane(AXIAL, 33, 1.0, "ven thin"), "CT", **thin, **soft, **agent)
    add(folder, 7, plane(CORONAL, 12, 3.0, "cor"), "CT", SliceThickness=3.0, **mpr)
    add(folder, 8, plane(SAGITTAL, 13, 3.0, "sag"), "CT", SliceThickness=3.0, **mpr)
    phantom = Phantom(name="dose")
    report = new_file(ComprehensiveSRStorage, phantom.uid("dose"))
    patient(report, phantom)
    report.Modality, report.SeriesInstanceUID, report.SeriesDescription = (
        "SR",
        phantom.uid("dose series"),
        "Dose Report",
    )
    save(report, folder / "s09" / "dose")


def chosen(found: Catalogue, choice: Choice) -> list[str]:
    """Descriptions of the chosen images: for the test only, no result shows them."""
    assert {series.image_id for series in found.series} == {
        *choice.chosen_ids,
        *(image_id for image_id, _ in choice.why_not),
    }
    return [series.selection["series_description"] for series in choice.chosen]


def why_not(found: Catalogue, choice: Choice) -> dict[str, str]:
    names = {series.image_id: series.selection["series_description"] for series in found.series}
    return {names[image_id]: reason for image_id, reason in choice.why_not}


def rule(text: str) -> SelectRule:
    return parse_settings(SelectRule, yaml.safe_load(text))


FLAIR = """
modality: [MR]
image_type: {exclude: ["^LOCALIZER$", "^MPR$", "^MINIP$"]}
slices: {min: 10}
any_of:
  - {description: {include: [flair, 'dark.?fluid']}, required: [description]}
  - {inversion_time_ms: {min: 1700, max: 2900}, echo_time_ms: {min: 60}, required: [inversion_time_ms, echo_time_ms]}
"""


@pytest.fixture(scope="module")
def brain_study(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return _study(tmp_path_factory, brain)


@pytest.fixture(scope="module")
def chest_study(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return _study(tmp_path_factory, chest)


def _study(factory: pytest.TempPathFactory, write: Callable[[Path], None]) -> Catalogue:
    folder = factory.mktemp("study")
    write(folder)
    found = read(folder)
    assert len(found.cases()) == 1
    assert not found.refused, [image.failure for image in found.refused]
    return found


def test_the_thinnest_flair_is_chosen_also_if_its_name_hides_it(brain_study: Catalogue) -> None:
    choice = choose("flair", "grid", rule(FLAIR), brain_study.series)

    assert chosen(brain_study, choice) == ["space sag"]
    reasons = why_not(brain_study, choice)
    assert reasons["flair cor"].startswith("thinner slices preferred")
    assert reasons["t2_tirm_tra_dark-fluid"].startswith("thinner slices preferred")
    assert "none of 2 alternatives" in reasons["t1_mprage_sag"]
    assert "inversion time is not stated" in reasons["t2_tse_tra"]


def test_planes_are_read_from_the_geometry_and_not_from_names(brain_study: Catalogue) -> None:
    choice = choose("flair", "grid", rule(FLAIR + "plane: [axial]"), brain_study.series)

    assert chosen(brain_study, choice) == ["t2_tirm_tra_dark-fluid"]
    assert why_not(brain_study, choice)["flair cor"] == "plane is coronal, asked for: axial"


def test_contrast_agents_tell_two_equal_sequences_apart(brain_study: Catalogue) -> None:
    t1 = "inversion_time_ms: {min: 700, max: 1300}\nplane: [sagittal]\n"

    with_agent = choose(
        "t1ce", "grid", rule(t1 + "contrast: true\nrequired: [inversion_time_ms, contrast]"), brain_study.series
    )

    assert chosen(brain_study, with_agent) == ["t1_mprage_sag km"]


def test_a_thin_soft_contrast_series_is_chosen_of_a_chest_ct(chest_study: Catalogue) -> None:
    soft = """
    modality: [CT]
    plane: [axial]
    contrast: true
    required: [contrast]
    slices: {min: 10}
    prefer: [thinner_slices, {kernel: "^B[1-4]"}, more_slices]
    """

    choice = choose("nodules", "grid", rule(soft), chest_study.series)

    assert chosen(chest_study, choice) == ["ven thin"]
    reasons = why_not(chest_study, choice)
    assert reasons["art thick"] == "thinner slices preferred: 5.0 mm instead of 1.0 mm"
    assert reasons["art thin"] == "more slices preferred: 30 instead of 33"
    assert reasons["art lung"] == "another kernel is preferred: B70f instead of B30f"
    assert reasons["cor"] == "plane is coronal, asked for: axial"


def test_scout_and_dose_report_are_given_to_nobody(chest_study: Catalogue) -> None:
    choice = choose("any", "index", SelectRule(select="all"), chest_study.series)

    assert {"Topogram", "Dose Report"}.isdisjoint(chosen(chest_study, choice))
    assert len(choice.chosen) == 7
    assert any(row.path.endswith("dose") and row.fate in {"not_an_image", "skipped"} for row in chest_study.files)


def test_a_study_that_fits_no_network_is_nothing_to_do(chest_study: Catalogue) -> None:
    choice = choose("flair", "grid", rule(FLAIR), chest_study.series)

    assert choice.chosen == ()
    assert {reason for _, reason in choice.why_not} >= {"modality is CT, asked for: MR"}


def test_nothing_that_a_technologist_typed_is_in_a_sentence(brain_study: Catalogue) -> None:
    reasons = " ".join(reason for _, reason in choose("flair", "grid", rule(FLAIR), brain_study.series).why_not)

    typed = {series.selection["series_description"] for series in brain_study.series}
    assert not any(text in reasons for text in typed)
