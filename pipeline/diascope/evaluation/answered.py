"""What the networks of a case answered, as a comparison with the truth asks for it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from diascope.errors import InputError
from diascope.evaluation.rows import Origin
from diascope.findings import CaseReport, ImageFacts, Prediction, Segmentation
from diascope.geometry import Space
from diascope.io.nifti import read_space


@dataclass(frozen=True, slots=True)
class Answered:
    """A case, and what its networks call what they look for.

    Attributes:
        folder: Of the case.
        report: Of it.
        words: Labels and classes by network, gathered over all cases: a network that found nothing in a case
            does not say there what it looked for.
    """

    folder: Path
    report: CaseReport
    words: Mapping[str, frozenset[str]]

    def origin(self, bundle: str, image_id: str) -> Origin:
        """Say whose a row is."""
        facts = next((image.facts for image in self.report.images if image.image_id == image_id), ImageFacts())
        is_averaged = any(stamp.is_averaged for stamp in self.report.bundles if stamp.name == bundle)
        patient = facts.patient_key or self.report.case_id
        return Origin(self.report.case_id, image_id, patient, bundle, facts, is_averaged)

    @property
    def confidence_in_outline(self) -> float | None:
        """The raw confidence of the case, if it rests on one outline alone; else None."""
        report = self.report
        alone = len(report.segmentations or ()) == 1 and report.predictions is None and report.findings is None
        return report.confidence if alone and report.confidence_kind == "raw" else None

    def segmentations(self, image_id: str) -> list[Segmentation]:
        """List the label maps of an image, or of all where none is named."""
        return [one for one in self.report.segmentations or () if image_id in {"", one.image_id}]

    def judged_images(self, image_id: str) -> list[str]:
        """List the images that networks looked for lesions or classes in; of all where none is named."""
        every = dict.fromkeys(image.image_id for image in self.report.images)
        every |= dict.fromkeys(one.image_id for one in self.report.findings or ())
        every |= dict.fromkeys(one.image_id for one in self.report.predictions or ())
        return [one for one in every if image_id in {"", one} and (self.classifiers(one) or self.detectors(one))]

    def classifiers(self, image_id: str) -> dict[str, list[Prediction]]:
        """List the networks that judged an image, each with what it said."""
        found: dict[str, list[Prediction]] = {}
        for one in self.report.predictions or ():
            if one.image_id == image_id:
                found.setdefault(one.bundle, []).append(one)
        return found

    def detectors(self, image_id: str) -> list[str]:
        """List the networks that looked for lesions in an image, also those that found none."""
        if self.report.findings is None:
            return []
        drawn = [one.bundle for one in self.segmentations(image_id)]
        others = {*drawn, *self.classifiers(image_id)}
        given = next((image.chosen_for for image in self.report.images if image.image_id == image_id), ())
        found = dict.fromkeys(one.bundle for one in self.report.findings if one.image_id == image_id)
        found |= dict.fromkeys(bundle for bundle in given if bundle not in others)
        # Where it is known who was given the image, a network that only draws has not looked for lesions in it.
        return list(found or (() if given else dict.fromkeys(drawn)))

    def space_of(self, image_id: str) -> Space:
        """Read where the voxels of an image lie: from what was drawn on it, or from the image beside the results.

        Raises:
            InputError: Nothing was drawn on it, and the run kept no images.
        """
        if drawn := next((one for one in self.segmentations(image_id) if one.image_id == image_id), None):
            return read_space(self.folder / drawn.file)
        image = next((one for one in self.report.images if one.image_id == image_id), None)
        if image is None or image.stored is None:
            raise InputError(
                f"{image_id} is not stored beside the results, so nothing says where its voxels lie",
                hint="run with store_images: true",
                code="no_image",
            )
        return read_space(self.folder / image.stored)


def words_of(reports: Iterable[CaseReport]) -> dict[str, frozenset[str]]:
    """List what each network calls what it looks for, as far as reports tell."""
    found: dict[str, set[str]] = {}
    for report in reports:
        for segmentation in report.segmentations or ():
            found.setdefault(segmentation.bundle, set()).update(label.name for label in segmentation.labels)
        for finding in report.findings or ():
            found.setdefault(finding.bundle, set()).add(finding.label)
        for prediction in report.predictions or ():
            found.setdefault(prediction.bundle, set()).add(prediction.target)
    return {bundle: frozenset(names) for bundle, names in found.items()}


def of_image(said: Iterable[Prediction], target: str) -> Prediction | None:
    """Take what a network says of a class of the image as a whole; None where it says nothing of it."""
    # What is said of the whole image counts; a network that judges slices only says as much of the
    # image as of its worst slice.
    mine = [one for one in said if one.target == target]
    return max(mine, key=lambda one: (one.slice_k is None, one.score), default=None)
