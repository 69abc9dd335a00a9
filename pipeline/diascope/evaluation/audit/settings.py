"""What a person may say about an audit: groups, operating point, thresholds."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from diascope.config import Settings
from diascope.evaluation.settings import DetectionTruth

Task = Literal["classification", "segmentation", "detection"]
Unit = Annotated[float, Field(ge=0, le=1)]

DEFAULT_PRIMARY: dict[Task, tuple[str, ...]] = {
    "classification": ("sensitivity", "specificity"),
    "segmentation": ("dice", "miss_rate"),
    "detection": ("sensitivity", "false_positives_per_scan"),
}

# Children, young adults, and decades in which most disease falls; slices as protocols call thin and thick.
DEFAULT_BANDS: dict[str, tuple[float, ...]] = {
    "age_years": (18.0, 40.0, 60.0, 75.0),
    "slice_thickness_mm": (1.5, 3.0, 5.0),
}


class Columns(Settings):
    """Which column of the table holds what."""

    case: str = "case_id"
    """Names the row; a case may stand there once only (once per image or label)."""

    patient: str = "patient"
    """Rows of one patient stay together; where there is no such column, every case is a patient."""

    truth: str = "y"
    """Classification: 0 or 1."""

    score: str = "score"
    """Classification: probability of the positive class. Detection: of a mark."""


class Join(Settings):
    """A clinical table whose columns become groups."""

    file: str
    """A csv."""

    on: str
    """Column that both tables have."""


class Masks(Settings):
    """Where the true outlines lie, if the predictions are a folder of label maps."""

    truth: str
    """A folder whose files have the names of the predicted ones."""

    labels: dict[int, str]
    """Name of each value, in both folders."""

    tolerance: Annotated[float, Field(gt=0)] | None = None
    """Of the surface Dice, in mm (in voxels without spacing)."""


class Gate(Settings):
    """What must hold; each threshold by the name of a primary metric."""

    max_gap: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """How much worse than all the others together a group may be."""

    min_value: dict[str, float] = Field(default_factory=dict)
    """The least that every group must reach (for errors and distances: the most)."""

    groups: tuple[str, ...] | None = None
    """Attributes that count for the gate; by default all."""

    reviews_accepted: Unit | None = None
    """The least share of results that reviewers accepted; judged only where a random sample was read."""


class AuditSettings(Settings):
    """One audit: its table, its groups, its rules."""

    task: Task = "classification"
    """What the rows are."""

    unit: Literal["image", "slice"] = "image"
    """Of a classification in an output folder: audit what was said of images, or of their single slices."""

    columns: Columns = Columns()
    """Names of the table's columns."""

    where: dict[str, str] = Field(default_factory=dict)
    """Rows to keep, such as `label: tumour` or `bundle: brain`."""

    groups: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns that divide the rows: demographics and acquisition."""

    bands: dict[str, tuple[float, ...]] = Field(default_factory=lambda: dict(DEFAULT_BANDS))
    """Limits of the bands of a numeric group column; each limit begins a band."""

    largest_number_of_groups: PositiveInt = 20
    """A column with more values than this is refused: band it, or it is an identifier."""

    intersections: bool = True
    """Whether pairs of attributes are looked at too (exploratory)."""

    threshold: Unit = 0.5
    """The operating point, the same for every group."""

    detection: DetectionTruth = DetectionTruth()
    """For the task detection: what counts as found."""

    primary: tuple[str, ...] = ()
    """Metrics that are tested; by default two of the task's."""

    smallest_group: PositiveInt = 20
    """Patients that must be behind a metric of a group (positives for sensitivity)."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Of all tests on primary metrics together (Holm)."""

    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    """For the smallest gap that the audit could have shown."""

    join: Join | None = None
    """A clinical table to join."""

    masks: Masks | None = None
    """Only for two folders of label maps."""

    reviews: str | None = None
    """A csv of reviewers' verdicts (`diascope view OUT --export`): reported apart from the truth."""

    gate: Gate = Gate()
    """Thresholds of the verdict; without any there is no verdict but `insufficient`."""

    rounds: PositiveInt = 1000
    """Draws of patients for intervals, and permutations for tests."""

    seed: int = 0
    """The same seed gives the same audit."""

    is_simulated: bool = False
    """The table is made up: said on every page."""

    title: str = "Bias audit"
    """Heading of the report."""

    @model_validator(mode="after")
    def _gate_names_what_is_tested(self) -> "AuditSettings":
        tested = set(self.primary_metrics())
        for name in (*self.gate.max_gap, *self.gate.min_value):
            if name not in tested:
                raise ValueError(f"the gate has a threshold for {name}, which is not primary: {sorted(tested)}")
        if self.gate.reviews_accepted is not None and self.reviews is None:
            raise ValueError("the gate asks for reviews_accepted, but no table of reviews is named")
        unknown = set(self.gate.groups or ()) - set(self.groups)
        if unknown:
            raise ValueError(f"the gate names {sorted(unknown)}, which are not among the groups {list(self.groups)}")
        return self

    def primary_metrics(self) -> tuple[str, ...]:
        """Name the metrics that are tested."""
        return self.primary or DEFAULT_PRIMARY[self.task]
