"""What a person may say about an evaluation."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from diascope.config import Settings
from diascope.evaluation.detection import MIN_IOU, MOST_MARKS, MatchRule
from diascope.evaluation.froc import DetectionRules

Unit = Annotated[float, Field(ge=0, le=1)]


class DetectionTruth(Settings):
    """What counts as a lesion that was found."""

    rule: MatchRule = "iou"
    """iou: boxes overlap; radius: the mark's centre within half the lesion's diameter (LUNA16); centre_in_box."""

    min_iou: Unit = MIN_IOU
    """For the rule iou."""

    size_edges: tuple[PositiveFloat, ...] = ()
    """Limits between size classes: diameter in mm, in voxels where the image has no spacing."""

    smallest_size: float = 0.0
    """Smaller lesions are not judged: neither missed nor false."""

    most_marks: PositiveInt | None = MOST_MARKS
    """Of a scan with more marks only those surer than the first one too many count (LUNA16: 100); null for all."""


class EvaluationSettings(Settings):
    """How results are compared with the truth."""

    truth_labels: dict[int, str] | None = None
    """Name of each value of the truth's label maps (NIfTI and plain NRRD carry none)."""

    same_label: dict[str, str] = Field(default_factory=dict)
    """Predicted label: the true one it stands for; several may stand for one. By default equal names."""

    tolerance: PositiveFloat | dict[str, PositiveFloat] | None = None
    """Of the surface Dice, in mm (in voxels without spacing); one, or per true label."""

    threshold: Unit = 0.5
    """Operating point: a score of this or more is positive, a mark of this or more is shown."""

    detection: DetectionTruth = DetectionTruth()
    """For networks that mark lesions."""

    calibrate: bool = False
    """Whether to learn what scores and outlines are worth, for runs to come: only on patients kept for it."""

    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of cases whose true class the conformal sets promise to hold."""

    missed_bound: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Mean share of a lesion's volume that is missed at most: where the run kept probabilities."""

    rounds: PositiveInt = 1000
    """Draws of patients for the intervals."""

    seed: int = 0
    """The same seed gives the same intervals."""

    def detection_rules(self) -> DetectionRules:
        """Give the rules of detection at this operating point."""
        one = self.detection
        return DetectionRules(one.rule, one.min_iou, self.threshold, one.size_edges, one.most_marks)
