"""What a comparison with the truth gives: a row per image and label, class or lesion, and every hole named."""

from dataclasses import dataclass

from diascope.evaluation.detection import Scan
from diascope.evaluation.heatmap_hits import HeatmapHit
from diascope.evaluation.kept_probabilities import MissedShares
from diascope.evaluation.segmentation import LabelScore
from diascope.findings import ConfidenceKind, ImageFacts


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose a row is, and what is known of patient and scanner.

    Attributes:
        case_id: The case.
        image_id: The image.
        patient: Keyed patient; the case where the patient is not known.
        bundle: The network.
        facts: Of the image.
        is_averaged: Whether the network's answer is the average of several.
    """

    case_id: str
    image_id: str
    patient: str
    bundle: str
    facts: ImageFacts
    is_averaged: bool = False


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label of an image, compared with its truth.

    Attributes:
        origin: Whose it is.
        score: How well it fits.
        promised: Mean missed share that was promised of this label; None if nothing was.
        confidence: Raw, of the case, if this outline is all that it rests on; else None.
        missed: What would be missed at other thresholds; None where the run kept no probabilities.
    """

    origin: Origin
    score: LabelScore
    promised: float | None = None
    confidence: float | None = None
    missed: MissedShares | None = None


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class of an image, with its truth.

    Attributes:
        origin: Whose it is.
        target: The class.
        is_positive: Whether it is there.
        score: 0..1.
        score_kind: A raw one promises nothing.
        covered: Whether the conformal set holds the truth; None if there is no set.
        promised: Coverage that was promised; None if none was.
        slice_k: Which slice; None of a whole image.
    """

    origin: Origin
    target: str
    is_positive: bool
    score: float
    score_kind: ConfidenceKind = "raw"
    covered: bool | None = None
    promised: float | None = None
    slice_k: int | None = None


@dataclass(frozen=True, slots=True)
class MapRow:
    """A heatmap, compared with the truth of what it explains."""

    origin: Origin
    hit: HeatmapHit


@dataclass(frozen=True, slots=True)
class ScanRow:
    """An image with the lesions that are there and the marks that were made."""

    origin: Origin
    label: str
    scan: Scan


@dataclass(frozen=True, slots=True)
class Problem:
    """A truth that could not be compared: named, never dropped.

    Attributes:
        line: Line of the truth manifest.
        case_id: Empty where none was found.
        code: Stable short name.
        reason: What was seen.
        cure: What to do, if anything is known.
    """

    line: int
    case_id: str
    code: str
    reason: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """Everything that could be compared, and what could not.

    Attributes:
        labels: Of segmentations.
        classes: Of classifications.
        scans: Of detections.
        maps: Of heatmaps.
        problems: Truths without a comparison.
        without_truth: Cases of the output folder that the manifest does not name.
        notes: What a reader should know.
        slices: Of single slices that were classified, where the truth is a label map.
    """

    labels: tuple[LabelRow, ...]
    classes: tuple[ClassRow, ...]
    scans: tuple[ScanRow, ...]
    maps: tuple[MapRow, ...]
    problems: tuple[Problem, ...]
    without_truth: tuple[str, ...]
    notes: tuple[str, ...]
    slices: tuple[ClassRow, ...] = ()
