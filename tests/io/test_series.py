"""What was found: cases and their series."""

import pickle
from pathlib import Path

from diascope.findings import Failure, ImageFacts
from diascope.geometry import IndexGrid
from diascope.io.series import CaseIdentity, Catalogue, FileRecord, RefusedImage, Series


def series(case_id: str, image_id: str) -> Series:
    return Series(case_id, image_id, "nifti", (Path("a.nii"),), ImageFacts(), IndexGrid((5, 7, 11)), details={"at": 1})


def refused(case_id: str) -> RefusedImage:
    return RefusedImage(case_id, "img-9", 4, Failure("incomplete_series", "a gap", "send it again"))


def test_series_are_grouped_by_case_in_their_order() -> None:
    found = Catalogue((series("case-b", "img-1"), series("case-a", "img-3"), series("case-b", "img-2")), (), (), ())

    cases = found.cases()

    assert list(cases) == ["case-a", "case-b"]
    assert [one.image_id for one in cases["case-b"]] == ["img-1", "img-2"]


def test_a_case_whose_images_were_all_refused_is_there_empty() -> None:
    found = Catalogue((series("case-b", "img-1"),), (refused("case-a"), refused("case-b")), (), ())

    assert {case_id: len(images) for case_id, images in found.cases().items()} == {"case-a": 0, "case-b": 1}


def test_a_file_that_is_no_image_makes_no_case() -> None:
    found = Catalogue((), (), (FileRecord("notes.txt", "file-1", "not_an_image", "text"),), ())

    assert found.cases() == {}


def test_a_catalogue_survives_the_way_between_processes() -> None:
    found = Catalogue(
        (series("case-a", "img-1"),),
        (refused("case-b"),),
        (FileRecord("a.nii", "file-1", "used", case_id="case-a"),),
        (CaseIdentity("case-a", "pat-1", "4711", "Muster^Anna"),),
    )

    assert pickle.loads(pickle.dumps(found)) == found
