"""Which image a network is given where a config says nothing: what the network itself asks for."""

from dataclasses import replace
from pathlib import Path

import pytest

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.config import parse_settings
from diascope.findings import ImageFacts
from diascope.geometry import IndexGrid
from diascope.io.series import Catalogue, Series
from diascope.run.planning.plan import StudyPlan, plan_run
from diascope.run.settings import RunConfig
from tests.tiny_bundle import write_tiny_bundle

MPRAGE = ImageFacts("MR", plane="sagittal", repetition_time_ms=2300.0, echo_time_ms=2.9, inversion_time_ms=900.0)
FLAIR = ImageFacts("MR", plane="axial", repetition_time_ms=9000.0, echo_time_ms=110.0, inversion_time_ms=2500.0)
GLIOMA = ("flair_glioma_segmentation", "flair_glioma_classification")


def image(facts: ImageFacts, description: str = "", *, reader: str = "dicom") -> Series:
    words = {"series_description": description} if description else {}
    return Series("case-1", "img-1", reader, (Path("one"),), facts, IndexGrid((13, 11, 20)), selection=words)


def planned(bundle: BundleInfo, one: Series, **use: object) -> StudyPlan:
    config = parse_settings(RunConfig, {"bundles": [{"name": bundle.name, **use}]})
    return plan_run(Catalogue((one,), (), (), ()), (bundle,), config).studies[0]


@pytest.mark.parametrize("name", GLIOMA)
def test_a_shipped_glioma_network_takes_flair_by_its_times_or_its_name_and_nothing_else(name: str) -> None:
    network = find_bundle(name)
    named = replace(FLAIR, inversion_time_ms=None)

    assert planned(network, image(FLAIR, "t2 space dark-fluid ax")).chosen
    assert planned(network, image(named, "Ax T2 FLAIR")).chosen
    assert not planned(network, image(MPRAGE, "t1_mprage_sag")).chosen
    assert not planned(network, image(replace(MPRAGE, plane="axial"), "Ax T1 FLAIR")).chosen
    assert not planned(network, image(replace(FLAIR, inversion_time_ms=None), "Ax T2 FSE")).chosen
    assert not planned(network, image(replace(FLAIR, inversion_time_ms=None))).chosen
    assert not planned(network, image(ImageFacts("CT", plane="axial"), "head")).chosen


@pytest.mark.parametrize("name", GLIOMA)
def test_a_nifti_file_of_which_nothing_is_known_is_taken_with_a_doubt(name: str) -> None:
    (choice,) = planned(find_bundle(name), image(ImageFacts(), reader="nifti")).choices

    assert choice.chosen_ids == ("img-1",)
    assert choice.unstated == (("img-1", "description, echo time, inversion time"),)


def test_without_a_rule_of_its_own_a_network_takes_what_its_modality_fits(tmp_path: Path) -> None:
    network = find_bundle(write_tiny_bundle(tmp_path, needs="index").name, tmp_path)

    assert network.block.modality == ("MR",)
    assert planned(network, image(MPRAGE)).chosen
    assert planned(network, image(ImageFacts(), reader="nifti")).chosen
    (choice,) = planned(network, image(ImageFacts("CT"))).choices
    assert choice.why_not == (("img-1", "modality is CT, asked for: MR"),)


def test_a_rule_of_the_config_takes_the_place_of_the_networks_own() -> None:
    network = find_bundle(GLIOMA[0])

    assert planned(network, image(MPRAGE, "t1_mprage_sag"), select={}).chosen
