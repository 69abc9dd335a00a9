"""The truth manifest: every way to name a case, and every way to get it wrong."""

from pathlib import Path

import pytest

from diascope.errors import InputError
from diascope.evaluation.truth import Place, Places, TruthRow, read_truth_table
from diascope.io.outfolder import OutFolder
from diascope.io.private import IDENTITY_COLUMNS, INPUT_COLUMNS


def manifest(tmp_path: Path, text: str) -> Path:
    (tmp_path / "truth.csv").write_text(text)
    return tmp_path / "truth.csv"


@pytest.fixture
def out(tmp_path: Path) -> OutFolder:
    """Three cases: one of patient A, two of patient B."""
    folder = OutFolder(tmp_path / "out")
    folder.create()
    for name in ("case-1", "case-2", "case-3"):
        folder.case(name).mkdir()
    inputs = [",".join(INPUT_COLUMNS)]
    for n, place in ((1, "case-1,img-1"), (2, "case-2,img-2"), (3, "case-3,img-3")):
        inputs.append(f"{tmp_path}/scans/{n}.nii.gz,,file-{n},{place},used,,,,1")
    (folder.private / "inputs.csv").write_text("\n".join(inputs) + "\n")
    identities = [
        ",".join(IDENTITY_COLUMNS),
        "case-1,pat-a,A,,study-1,,,",
        "case-2,pat-b,B,,study-2,,,",
        "case-3,pat-b,B,,study-3,,,",
    ]
    (folder.private / "identity.csv").write_text("\n".join(identities) + "\n")
    return folder


def test_rows_hold_maps_beside_the_manifest_or_classes(tmp_path: Path) -> None:
    path = manifest(tmp_path, "\ufeffcase,truth,label,target,positive\nc1,maps/t.nii,liver,,\nc2,,,nodule,1\n")

    first, second = read_truth_table(path)

    assert first == TruthRow(2, "c1", label_map=tmp_path / "maps/t.nii", label="liver")
    assert second == TruthRow(3, "c2", target="nodule", is_positive=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,mask\n1,a.nii\n", r"needs the columns case and truth.*\['patient', 'mask'\]"),
        ("case,truth\n,a.nii\n", "line 2 of the truth manifest names no case"),
        ("case,truth\nc1,a.nii\nc2,\n", "line 3 of the truth manifest names no case, or no truth"),
        ("case,target,positive\nc1,nodule,maybe\n", "positive must be 0 or 1, got 'maybe'"),
    ],
)
def test_manifests_that_say_too_little_are_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_truth_table(manifest(tmp_path, text))


def test_an_absent_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: no such file"):
        read_truth_table(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("case", "image", "place"),
    [
        ("case-2", "", Place("case-2")),
        ("A", "", Place("case-1")),
        ("pat-a", "", Place("case-1")),
        ("study-3", "", Place("case-3")),
        ("scans/3.nii.gz", "", Place("case-3", "img-3")),
        ("B", "scans/2.nii.gz", Place("case-2", "img-2")),
        ("case-2", "img-7", Place("case-2", "img-7")),
    ],
)
def test_a_case_is_found_by_id_patient_study_or_file(
    out: OutFolder, tmp_path: Path, case: str, image: str, place: Place
) -> None:
    assert Places(out).find(TruthRow(2, case, image), tmp_path) == place


@pytest.mark.parametrize(
    ("case", "said"), [("B", "could mean each of 2 cases"), ("nobody", "names none of the ")], ids=["several", "none"]
)
def test_a_row_that_means_several_cases_or_none_is_told_without_its_name(
    out: OutFolder, tmp_path: Path, case: str, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        Places(out).find(TruthRow(8, case), tmp_path)

    assert f"line 8 of the truth manifest {said}" in caught.value.message
    assert case not in caught.value.message.split()


def test_a_misspelt_case_id_is_repeated_with_the_one_that_was_meant(out: OutFolder, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"names none of the \d cases of the output folder: case-2x is not there"
    ) as caught:
        Places(out).find(TruthRow(8, "case-2x"), tmp_path)

    assert "did you mean case-2? " in caught.value.hint
