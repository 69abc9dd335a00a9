"""The methods paragraph."""

from dataclasses import replace
from pathlib import Path

from diascope.run.record import write_cases
from diascope.run.report.methods import methods_of
from diascope.run.report.summary import read_cases, summarise
from tests.run.finished import BRAIN, GLIOMA, RECORD, write_finished_run


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


def test_results_that_other_settings_made_are_named_with_their_digits(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path)
    rows = read_cases(out)
    done = [row.case_id for row in rows if row.status == "done"]
    made = {done[0]: RECORD.config_sha256[:12], done[1]: "0123456789ab", done[2]: "0123456789ab"}
    write_cases(out, [replace(row, settings=made.get(row.case_id, "fedcba987654")) for row in rows])

    text = methods_of(summarise(out)).text

    assert "with other settings, SHA-256 0123456789ab (2 studies); case.json names each." in text
    assert "fedcba987654" not in text  # of cases without a result


def test_a_folder_of_one_run_names_one_digest(tmp_path: Path) -> None:
    assert "other settings" not in methods_of(summarise(write_finished_run(tmp_path))).text
