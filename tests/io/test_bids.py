"""In a BIDS folder subject and session are the case, and participants.tsv says who belongs to which group."""

import json
from pathlib import Path

import pytest

from diascope.io.bids import BidsFiles, with_bids_origins
from diascope.io.reader import FoundFile, Origin


def dataset(root: Path, name: str = "Ageing") -> Path:
    (root / "sub-01" / "ses-1" / "anat").mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": name, "BIDSVersion": "1.10.0"}))
    (root / "participants.tsv").write_text(
        "participant_id\tsex\tage\tgroup\tdate_of_birth\tname\nsub-01\tF\t42\tpatient\t1980-01-01\tMeyer\nsub-02\tM\tn/a\tcontrol\t\t\n"
    )
    return root


def found(root: Path, *names: str) -> list[FoundFile]:
    return [FoundFile(root / name, str(root / name), 1, 0) for name in names]


def origin_of(files: BidsFiles) -> Origin:
    (file,) = files.files
    assert file.origin is not None
    return file.origin


def test_subject_and_session_make_the_case(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds")
    one, other, later = (
        origin_of(with_bids_origins(found(root, name)))
        for name in (
            "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
            "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz",
            "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
        )
    )

    assert one.case == other.case != later.case
    assert one.case.endswith("ds/sub-01/ses-1")
    assert one.patient == later.patient == "Ageing/sub-01"


def test_groups_come_from_the_table_and_identifiers_do_not(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds")

    facts = dict(origin_of(with_bids_origins(found(root, "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz"))).facts)

    assert facts == {"sex": "F", "age": "42", "group": "patient", "bids_suffix": "FLAIR", "modality": "MR"}


def test_the_same_subject_of_two_datasets_is_two_patients(tmp_path: Path) -> None:
    one, other = dataset(tmp_path / "a", "One"), dataset(tmp_path / "b", "Other")
    name = "sub-01/anat/sub-01_T1w.nii.gz"

    files = with_bids_origins([*found(one, name), *found(other, name)]).files

    assert len({file.origin.patient for file in files if file.origin}) == 2
    assert len({file.origin.case for file in files if file.origin}) == 2


def test_derivatives_sources_and_masks_are_skipped_by_rule(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds")
    (root / "derivatives" / "seg").mkdir(parents=True)
    (root / "derivatives" / "seg" / "dataset_description.json").write_text('{"Name": "seg", "BIDSVersion": "1.10.0"}')

    files = with_bids_origins(
        found(
            root,
            "derivatives/seg/sub-01/anat/sub-01_T1w.nii.gz",
            "sourcedata/sub-01/IM1",
            "sub-01/anat/sub-01_label-tumour_mask.nii.gz",
            "sub-01/anat/sub-01_T1w.nii.gz",
            "README",
        )
    )

    assert [failure.code for _, _, failure in files.decided] == ["bids_derivative", "bids_source", "mask"]
    assert {fate for _, fate, _ in files.decided} == {"skipped"}
    assert [file.path.name for file in files.files] == ["sub-01_T1w.nii.gz", "README"]


def test_files_elsewhere_pass_unchanged(tmp_path: Path) -> None:
    (tmp_path / "sub-01").mkdir()
    files = found(tmp_path, "sub-01/x.nii.gz", "y.nii.gz")

    assert with_bids_origins(files) == BidsFiles(tuple(files))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"Name": "no version"}', "[" * 100_000])
def test_a_description_that_is_none_makes_no_dataset(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset_description.json").write_text(content)
    files = found(tmp_path, "sub-01/x.nii.gz")

    assert with_bids_origins(files).files == tuple(files)


def test_what_a_manifest_said_is_not_overwritten(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds")
    said = FoundFile(root / "sub-01/x.nii.gz", "x", 1, 0, Origin("case 1"))

    assert with_bids_origins([said]).files == (said,)


def test_a_dataset_in_an_archive_keeps_its_cases_wherever_it_is_unpacked(tmp_path: Path) -> None:
    cases = set()
    for scratch in ("one", "other"):
        root = dataset(tmp_path / scratch / "ds")
        file = FoundFile(root / "sub-01" / "x_T1w.nii.gz", "/in/a.zip!ds/sub-01/x_T1w.nii.gz", 1, 0)
        cases.add(origin_of(with_bids_origins([file])).case)

    assert cases == {"/in/a.zip!ds/sub-01"}


@pytest.mark.parametrize("text", ["subject\tsex\nsub-01\tF\n", "", "a\ta\n1\t2\n"])
def test_a_participants_table_that_is_none_fails_by_itself_and_the_images_stay(tmp_path: Path, text: str) -> None:
    root = dataset(tmp_path / "ds")
    (root / "participants.tsv").write_text(text)

    files = with_bids_origins(found(root, "participants.tsv", "sub-01/anat/sub-01_T1w.nii.gz"))

    assert [(file.path.name, fate, failure.code) for file, fate, failure in files.decided] == [
        ("participants.tsv", "failed", "bad_table")
    ]
    assert dict(origin_of(files).facts) == {"bids_suffix": "T1w", "modality": "MR"}
