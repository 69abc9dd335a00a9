"""What a reader says of a case, as it is asked, kept and given back."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

VerdictName = Literal["accept", "reject", "needs_edit", "skip"]
Extent = Literal["true", "false", "wrong_extent"]
Sampling = Literal["random", "review_first", "chosen"]
ReadKind = Literal["first", "with_ai"]

Short = Annotated[str, Field(max_length=200)]
Index = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FindingVerdict(_Said):
    """Of one finding."""

    finding_id: Short
    verdict: Extent | None = None
    label: Short | None = None
    """The class that it should have; None if that is right."""


class LabelVerdict(_Said):
    """Of one label of a segmentation."""

    bundle: Short
    label: Short
    verdict: Extent
    image_id: Short | None = None


class MissedLesion(_Said):
    """Something that no network found."""

    image_id: Short
    label: Short
    box_ijk: tuple[tuple[Index, Index, Index], tuple[Index, Index, Index]]


class VerdictAsked(_Said):
    """A verdict as the page sends it."""

    verdict: VerdictName
    reasons: Annotated[tuple[Short, ...], Field(max_length=50)] = ()
    score: Annotated[int, Field(ge=1, le=5)] | None = None
    comment: Annotated[str, Field(max_length=10_000)] = ""
    urgent: bool = False
    findings: Annotated[tuple[FindingVerdict, ...], Field(max_length=5000)] = ()
    labels: Annotated[tuple[LabelVerdict, ...], Field(max_length=5000)] = ()
    missed: Annotated[tuple[MissedLesion, ...], Field(max_length=5000)] = ()
    read: ReadKind = "with_ai"
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    shown_ms: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    key: Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[\w-]+$")]
    """Made by the page, once per verdict: an answer that got lost is asked for again without saving twice."""


@dataclass(frozen=True, slots=True)
class NewVerdict:
    """A verdict with what the server knows of it.

    Attributes:
        out_key: The output folder.
        case_id: The case.
        patient_key: Keyed id of the patient; empty where there is none.
        reviewer: Who says it.
        asked: What was said.
        ai_visible: Whether this reader had seen what the networks say.
        sampling: How the case came before the reader.
        sampling_probability: With which it did; None for a case that was picked by hand.
        bundles: Name and SHA-256 of the networks.
    """

    out_key: str
    case_id: str
    patient_key: str
    reviewer: str
    asked: VerdictAsked
    ai_visible: bool
    sampling: Sampling
    sampling_probability: float | None
    bundles: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SavedVerdict:
    """A verdict that stands in the record.

    Attributes:
        verdict_id: Number of its row.
        new: What was saved.
        saved_at: When, ISO 8601 in UTC.
    """

    verdict_id: int
    new: NewVerdict
    saved_at: str
