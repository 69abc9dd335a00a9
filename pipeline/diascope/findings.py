"""What comes out of a case: the words of this project, as frozen dataclasses.

A **case** is one study. An **image** is one volume or radiograph of it. A
**bundle** (a network with its steps before and after) gives **predictions** (a
class and its score), **segmentations** (a label map on the source's voxels),
**findings** (one lesion each) and **measurements** (one number each). Everything
a case has to say is in its **CaseReport**, which is case.json. Fields that a step
fills which did not run are None.

No identifier is in here: no name, date, UID or path (see `identity.py`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from diascope.errors import InputError
from diascope.image_facts import ImageFacts, ImageRecord, SpaceKind

__all__ = [  # what is known of an image is a module of its own, and part of the words all the same
    "FORMAT",
    "BoxIJK",
    "BundleStamp",
    "CaseReport",
    "CaseStatus",
    "Check",
    "ConfidenceKind",
    "Failure",
    "Finding",
    "HeatmapRecord",
    "ImageFacts",
    "ImageRecord",
    "Label",
    "Measurement",
    "Prediction",
    "Segmentation",
    "SpaceKind",
    "Triple",
    "Trust",
    "UncertaintyKind",
    "UncertaintyMap",
    "read_report",
]

Triple = tuple[float, float, float]
BoxIJK = tuple[tuple[int, int, int], tuple[int, int, int]]

FORMAT = 1
"""Version of the output contract: what is in case.json and how OUT is laid out."""

PROBABILITY_STEPS = 200
"""A kept probability is a whole number of two-hundredths, rounded down: so it is below a threshold if it was."""

CaseStatus = Literal["done", "nothing_to_do", "failed"]
Trust = Literal["supported", "doubtful", "unsupported", "unchecked"]
ConfidenceKind = Literal["calibrated", "raw", "none"]
UncertaintyKind = Literal["entropy", "least_confidence", "disagreement"]
AskedAgain = Literal["ensemble", "mirrors", "dropout"]


@dataclass(frozen=True, slots=True)
class Label:
    """A structure that a bundle may draw.

    Attributes:
        value: Its number in the label map, from 1.
        name: Its name, snake_case.
        colour: `#rrggbb`.
    """

    value: int
    name: str
    colour: str


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A label map that was written beside case.json.

    Attributes:
        bundle: Who drew it.
        image_id: The image whose voxels it lies on.
        file: Path below the case folder.
        labels: Every label the bundle may draw, also those that were not found.
        reached_border: Names of labels that touch the border of the image: cut off.
        sha256: Digest of the file: a reader's verdict belongs to it.
        promised_misses: By label that was drawn for it, the mean share of a lesion's volume
            that is missed at most.
        probabilities: By label, the file with its probability at each voxel, in two-hundredths; where the run
            was asked to keep them.
    """

    bundle: str
    image_id: str
    file: str
    labels: tuple[Label, ...]
    reached_border: tuple[str, ...] = ()
    sha256: str = ""
    promised_misses: tuple[tuple[str, float], ...] = ()
    probabilities: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number; a row of measurements.csv.

    Attributes:
        image_id: The image it was measured on.
        bundle: Who drew what was measured.
        subject: Label or finding.
        quantity: Such as `volume` or `mean_intensity`.
        value: The number; None where it is not defined (the mean of no voxels).
        unit: `mm3`, `voxel`, `HU`, `1` (no unit), `source` (the image's own).
    """

    image_id: str
    bundle: str
    subject: str
    quantity: str
    value: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One lesion or other thing found, with its place.

    Attributes:
        finding_id: Unique in the case, such as `flair_glioma_detection-1`.
        bundle: Who found it.
        image_id: Where.
        label: What.
        score: 0..1, the network's own; see `confidence_kind` of the report.
        box_ijk: ((i0, j0, k0), (i1, j1, k1)), half-open: the second is outside.
        centre_ras_mm: On a Grid only, like all in mm.
        box_ras_mm: Corners of the axis-aligned box that holds it, RAS mm.
        volume_mm3: Of its voxels.
        longest_diameter_mm: In the plane of the slices.
        longest_ends_ras_mm: The end points of that diameter.
        perpendicular_diameter_mm: At right angles to it, in the same slice.
        perpendicular_ends_ras_mm: The end points of that diameter.
        size_voxels: Number of its voxels, everywhere.
        score_kind: A calibrated score is the share of such marks that are true; a raw one promises nothing.
        slice_boxes_ijk: Of a network that marks slices, the box in each slice, half-open like `box_ijk`, which holds
            them all; empty where the finding was not found slice by slice.
    """

    finding_id: str
    bundle: str
    image_id: str
    label: str
    score: float
    box_ijk: BoxIJK
    centre_ras_mm: Triple | None = None
    box_ras_mm: tuple[Triple, Triple] | None = None
    volume_mm3: float | None = None
    longest_diameter_mm: float | None = None
    longest_ends_ras_mm: tuple[Triple, Triple] | None = None
    perpendicular_diameter_mm: float | None = None
    perpendicular_ends_ras_mm: tuple[Triple, Triple] | None = None
    size_voxels: int | None = None
    score_kind: ConfidenceKind = "raw"
    slice_boxes_ijk: tuple[BoxIJK, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """A class and its score, for an image or for one slice of it.

    Attributes:
        bundle: Who says so.
        image_id: Of what.
        target: The class.
        score: 0..1.
        slice_k: The slice, where the network judges slices; else None.
        conformal_set: Classes that a calibrated promise of coverage keeps open; `no_TARGET`
            is that the target is not there.
        score_kind: A calibrated score is a probability; a raw one promises nothing.
        operating_point: Calibrated score from which on the class is called; None if none was learnt.
        promised_coverage: Share of cases whose true class the conformal set promises to hold.
        part: The part of the image that was judged, where a network looks part by part (`within`); else empty.
    """

    bundle: str
    image_id: str
    target: str
    score: float
    slice_k: int | None = None
    conformal_set: tuple[str, ...] | None = None
    score_kind: ConfidenceKind = "raw"
    operating_point: float | None = None
    promised_coverage: float | None = None
    part: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One question asked of a result, and the answer.

    Attributes:
        name: Such as `depends_on_weights`.
        passed: None where it could not be answered.
        value: The number behind it.
        reason: In words.
    """

    name: str
    passed: bool | None
    value: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class HeatmapRecord:
    """A heatmap that was written beside case.json, and whether to trust it.

    Attributes:
        bundle: Whose answer is explained.
        image_id: Of which image.
        target: The label, class or kind of finding.
        method: How, such as `grad_cam`.
        file: Path below the case folder.
        raw_range: Lowest and highest value.
        has_positive_evidence: Whether any place speaks for the target.
        trust: The verdict.
        trust_reason: In words.
        checks: The answers behind it.
        finding_id: Of the finding that is explained; None of a label or class.
    """

    bundle: str
    image_id: str
    target: str
    method: str
    file: str
    raw_range: tuple[float, float]
    has_positive_evidence: bool
    trust: Trust
    trust_reason: str
    checks: tuple[Check, ...] = ()
    finding_id: str | None = None


@dataclass(frozen=True, slots=True)
class UncertaintyMap:
    """How unsure a network was of each voxel: a map beside its label map, on the same voxels. Not calibrated.

    Attributes:
        bundle: Whose label map it belongs to.
        image_id: Of which image.
        kind: `entropy` of the (averaged) probabilities; `least_confidence`, 1 less the highest of them;
            `disagreement` of several answers: entropy of their average less the average of their entropies.
        file: Path below the case folder.
        unit: `bit`, or `1` for a share of probability.
        answers: How many answers were averaged; 1 is a single pass.
        asked_again: What made them several; empty for a single pass.
        highest: Highest value in the map.
        limit: Highest value there can be.
    """

    bundle: str
    image_id: str
    kind: UncertaintyKind
    file: str
    unit: Literal["bit", "1"]
    answers: int
    asked_again: tuple[AskedAgain, ...]
    highest: float
    limit: float


@dataclass(frozen=True, slots=True)
class BundleStamp:
    """Which network it was.

    Attributes:
        name: Folder name under models/.
        version: Of its metadata.
        sha256: Digest over all its files.
        licence: In words.
        research_only: Its data or licence forbid anything else.
        is_averaged: Whether what it says here is the average of several answers (`uncertainty`, `ensemble`).
    """

    name: str
    version: str
    sha256: str
    licence: str
    research_only: bool
    is_averaged: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a case has no result.

    Attributes:
        code: Stable short name of the problem.
        reason: What was seen and what was expected.
        cure: What to do.
    """

    code: str
    reason: str
    cure: str


@dataclass(frozen=True, slots=True)
class CaseReport:
    """Everything a case has to say. No clock is in it: the same input gives the same bytes.

    Attributes:
        case_id: Keyed id of the study.
        status: `nothing_to_do` is a study that fits no network; no error.
        images: Every image of the case, chosen or not.
        bundles: Which networks ran.
        segmentations: Label maps.
        measurements: Numbers.
        findings: Lesions; None if no bundle looks for any.
        predictions: Classes; None if no bundle classifies.
        heatmaps: None if nothing was explained.
        uncertainty: Maps of how unsure each voxel is; None if none were asked for.
        checks: Of the case as a whole; None if none ran.
        confidence: 0..1, of the least certain bundle.
        confidence_kind: A raw one promises nothing.
        out_of_distribution: How far its oddest image lies from its network's reference: above 1 lies
            one usual patient in twenty. None where the network brings no reference.
        review_first: Whether a reader should see this case early, and why not empty.
        review_reasons: In words.
        failure: Why it failed.
        config_sha256: Of the run's settings.
        diascope_version: Who wrote this.
        format: Version of the output contract.
    """

    case_id: str
    status: CaseStatus
    images: tuple[ImageRecord, ...] = ()
    bundles: tuple[BundleStamp, ...] = ()
    segmentations: tuple[Segmentation, ...] | None = None
    measurements: tuple[Measurement, ...] | None = None
    findings: tuple[Finding, ...] | None = None
    predictions: tuple[Prediction, ...] | None = None
    heatmaps: tuple[HeatmapRecord, ...] | None = None
    uncertainty: tuple[UncertaintyMap, ...] | None = None
    checks: tuple[Check, ...] | None = None
    confidence: float | None = None
    confidence_kind: ConfidenceKind = "none"
    out_of_distribution: float | None = None
    review_first: bool | None = None
    review_reasons: tuple[str, ...] = ()
    failure: Failure | None = None
    config_sha256: str = ""
    diascope_version: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Refuse a failure without a reason, a reason without a failure, and two findings of one id.

        Raises:
            InputError: Status and failure do not go together.
            ValueError: A verdict on one finding would be one on another, too.
        """
        if (self.status == "failed") != (self.failure is not None):
            raise InputError(f"a case that is {self.status} has failure {self.failure}", code="bad_report")
        ids = [one.finding_id for one in self.findings or ()]
        if doubled := sorted({one for one in ids if ids.count(one) > 1}):
            raise ValueError(f"{self.case_id}: several findings are called {', '.join(doubled)}; an id names one")

    def to_json(self) -> str:
        """Write the report as case.json holds it, keys in the order of the fields."""
        return _REPORT.dump_json(self, indent=1).decode() + "\n"


def read_report(path: Path) -> CaseReport:
    """Read a case.json.

    Raises:
        InputError: The file is not a CaseReport of this format.
    """
    try:
        report: CaseReport = _REPORT.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"{path.name} is not a case report: {type(error).__name__}", code="bad_report") from None
    if report.format != FORMAT:
        raise InputError(
            f"{path.name} is a case report of format {report.format}, expected {FORMAT}",
            hint="use the version of diascope that is named in run.json",
            code="bad_report",
        )
    return report


_REPORT: TypeAdapter[Any] = TypeAdapter(CaseReport)
