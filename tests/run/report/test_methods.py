"""The methods paragraph."""

from pathlib import Path

from diascope.run.report.methods import methods_of
from diascope.run.report.summary import summarise
from tests.run.finished import BRAIN, GLIOMA, write_finished_run


def test_the_paragraph_names_versions_networks_digests_licences_and_device(tmp_path: Path) -> None:
    text = methods_of(summarise(write_finished_run(tmp_path))).text

    for fact in (
        "diascope 0.1.0",
        "brain_mri",
        "Of 5 studies, 3 gave results",
        "1 failed",
        f"{BRAIN.name} version 0.1.0 (SHA-256 abababababab; licence Apache-2.0)",
        f"{GLIOMA.name} version 0.2.0 (SHA-256 cdcdcdcdcdcd; licence CC BY-NC-SA 4.0, for research use only)",
        "cpu, 2 cores",
        "PyTorch 2.13.0",
        "MONAI 1.6.1",
        "Python 3.11.9",
    ):
        assert fact in text


def test_references_are_numbered_as_they_are_cited(tmp_path: Path) -> None:
    shared = "Buda M et al. Computers in Biology and Medicine 109, 2019."
    citations = {BRAIN.name: (shared,), GLIOMA.name: ("Another A et al. 2020.", shared)}

    methods = methods_of(summarise(write_finished_run(tmp_path), citations=citations))

    assert methods.references[:2] == (shared, "Another A et al. 2020.")
    assert f"{BRAIN.name} version 0.1.0 (SHA-256 abababababab; licence Apache-2.0) was applied [1]." in methods.text
    assert "was applied [1, 2]." in methods.text
    assert any("MONAI" in reference for reference in methods.references)
    for number in range(1, len(methods.references) + 1):
        assert f"\n[{number}] " in methods.text
