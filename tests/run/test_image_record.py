"""What a report says of its images, and what a reader should doubt."""

from dataclasses import replace

from diascope.findings import BundleStamp, CaseReport, ImageFacts, ImageRecord, Label, Measurement, Segmentation
from diascope.run.image_record import captions, doubts


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


def test_slices_that_nobody_scanned_are_a_doubt_where_a_network_saw_them() -> None:
    filled = ImageRecord("img-1", ImageFacts(), shape=(5, 7, 11), interpolated_slices=2, chosen_for=("brain",))
    run = replace(report({}), images=(filled,), bundles=(BundleStamp("brain", "1", "0" * 64, "MIT", False),))

    assert doubts(run, {}) == ("img-1: 2 of 11 slices were interpolated between their neighbours",)
    assert doubts(replace(run, images=(replace(filled, chosen_for=()),)), {}) == ()


def test_a_conversion_tells_them_of_every_image() -> None:
    filled = ImageRecord("img-1", ImageFacts(), interpolated_slices=2)

    (reason,) = doubts(CaseReport("case-1", "done", images=(filled,)), {})

    assert reason == "img-1: 2 slices were interpolated between their neighbours"


def test_a_picture_says_what_its_image_is_not() -> None:
    told = ("two: flair, brought onto the grid of img-2", "other: flair")
    image = ImageRecord("img-1", ImageFacts(), interpolated_slices=2, channel_of=told)

    assert captions(image) == ("2 slices interpolated", "channel flair")
    assert captions(ImageRecord("img-1", ImageFacts())) == ()
