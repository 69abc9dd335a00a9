"""What a report says of its images, and what a reader should doubt."""

from diascope.findings import CaseReport, Label, Measurement, Segmentation
from diascope.run.image_record import doubts


def report(volumes: dict[str, float], border: tuple[str, ...] = ()) -> CaseReport:
    labels = tuple(Label(at, name, "#000000") for at, name in enumerate(volumes, start=1))
    return CaseReport(
        "case-1",
        "done",
        segmentations=(Segmentation("brain", "img-1", "brain.seg.nii.gz", labels, border),),
        measurements=tuple(Measurement("img-1", "brain", name, "volume", mm3, "mm3") for name, mm3 in volumes.items()),
    )


def test_a_structure_that_every_head_has_and_was_not_found_is_a_doubt() -> None:
    found = report({"white_matter": 400_000.0, "brainstem": 0.0})

    assert doubts(found, {"brain": ("white_matter", "brainstem")}) == ("brain found no brainstem",)


def test_a_lesion_network_that_finds_nothing_gives_no_doubt() -> None:
    assert doubts(report({"tumour": 0.0}), {"brain": ()}) == ()


def test_what_touches_the_border_is_cut_off() -> None:
    (reason,) = doubts(report({"cortex": 5.0}, border=("cortex",)), {"brain": ("cortex",)})

    assert reason == "brain: cortex cut off by the border of the image"


def test_nothing_special_is_no_doubt() -> None:
    assert doubts(report({"cortex": 5.0}), {"brain": ("cortex",)}) == ()
