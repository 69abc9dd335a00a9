"""Rules that choose images for a network: what a yaml may say under `select`."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from diascope.config import Settings

Plane = Literal["axial", "coronal", "sagittal", "oblique"]
Order = Literal["thinner_slices", "thicker_slices", "more_slices", "fewer_slices", "no_contrast", "contrast", "later"]


REQUIRABLE = (
    "modality", "body_part", "plane", "view", "contrast", "description", "kernel", "image_type", "repetition_time_ms",
    "echo_time_ms", "inversion_time_ms", "flip_angle_deg", "b_value_s_per_mm2", "field_strength_t",
    "slice_thickness_mm", "slices",
)  # fmt: skip
"""Criteria that a rule may ask a header to state."""


def _compiled(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiled)]

# What people call a modality, and what DICOM calls it (PS3.3, C.7.3.1.1.1): no header ever says the former.
_SPOKEN_MODALITIES = {
    "MRI": "MR", "MRT": "MR", "CAT": "CT", "PET": "PT", "SPECT": "NM", "ULTRASOUND": "US", "XRAY": "DX or CR",
    "MAMMOGRAPHY": "MG",
}  # fmt: skip


def _of_dicom(modality: str) -> str:
    spelled = modality.upper().replace("-", "").replace(" ", "")
    if right := _SPOKEN_MODALITIES.get(spelled):
        raise ValueError(f"{modality} is no modality of DICOM: write {right}")
    return modality


Modality = Annotated[str, AfterValidator(_of_dicom)]


class Range(Settings):
    """A number between two bounds, both included."""

    min: float | None = None
    """Smallest allowed; none if left out."""

    max: float | None = None
    """Largest allowed; none if left out."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is larger than max {self.max}")
        return self

    def holds(self, value: float) -> bool:
        """Say whether the value is within the bounds."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        if self.min is not None and self.max is not None:
            return f"{self.min:g} to {self.max:g}" if self.min != self.max else f"{self.min:g}"
        return f"at least {self.min:g}" if self.min is not None else f"at most {self.max:g}"


class Patterns(Settings):
    """Regular expressions, searched anywhere in the text, upper and lower case alike."""

    include: tuple[Pattern, ...] = ()
    """One of them must be found; none given: any text will do."""

    exclude: tuple[Pattern, ...] = ()
    """None of them may be found."""


class Criteria(Settings):
    """What an image must be like. What its source does not state turns it away only if `required` names it."""

    modality: tuple[Modality, ...] = ()
    """DICOM modalities, such as MR."""

    body_part: tuple[str, ...] = ()
    """BodyPartExamined, upper case."""

    plane: tuple[Plane, ...] = ()
    """Plane of the slices."""

    view: tuple[str, ...] = ()
    """ViewPosition of a radiograph, such as PA."""

    contrast: bool | None = None
    """Whether a contrast agent must be recorded (true) or must not be (false)."""

    description: Patterns = Patterns()
    """Of series description, protocol and sequence name, or the suffix of a BIDS file."""

    file_name: Patterns = Patterns()
    """Of the name of the first file, without its folder."""

    kernel: Patterns = Patterns()
    """Of the convolution kernel of a CT."""

    image_type: Patterns = Patterns()
    """Of the values of ImageType, each for itself."""

    repetition_time_ms: Range | None = None
    echo_time_ms: Range | None = None
    inversion_time_ms: Range | None = None
    flip_angle_deg: Range | None = None
    b_value_s_per_mm2: Range | None = None
    field_strength_t: Range | None = None
    slice_thickness_mm: Range | None = None
    """Nominal thickness; where it is not stated, the distance of the slices."""

    slices: Range | None = None
    """Number of slices (voxels along k)."""

    required: tuple[str, ...] = ()
    """Settings above that a DICOM image must state: `inversion_time_ms` for a FLAIR,
    for a DICOM header without one is of no inversion recovery."""

    @model_validator(mode="after")
    def _check_required(self) -> Self:
        for name in self.required:
            if name not in REQUIRABLE:
                raise ValueError(f"required: {name} is not one of {', '.join(sorted(REQUIRABLE))}")
        return self


class Preference(Settings):
    """Images that match go first; exactly one of the keys."""

    description: Pattern | None = None
    kernel: Pattern | None = None
    image_type: Pattern | None = None
    plane: Plane | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if len(self._given) != 1:
            raise ValueError("a preference has exactly one of description, kernel, image_type, plane")
        return self

    @property
    def key(self) -> str:
        """The one key that is given; a rule that was written out and read again names the others, too, as null."""
        return self._given[0]

    @property
    def _given(self) -> list[str]:
        return [name for name, value in self if value is not None]


class SelectRule(Criteria):
    """Which images of a study go to one network."""

    any_of: tuple[Criteria, ...] = ()
    """If given, an image must fit at least one of these, too, or say nothing of any."""

    image_type: Patterns = Patterns(exclude=("^LOCALIZER$",))
    """Of the values of ImageType, each for itself."""

    scouts: bool = False
    """Localizers may be taken, too: those that say so, and those that show it by a few slices in several planes."""

    volumes: Range = Range(max=1)
    """How many volumes: more than one is 4-D (time, b-value, echo)."""

    prefer: tuple[Order | Preference, ...] = ("thinner_slices", "more_slices")
    """The order of the images that fit, the most important first."""

    select: Literal["best", "all"] = "best"
    """Take the first by `prefer`, or every image that fits."""
