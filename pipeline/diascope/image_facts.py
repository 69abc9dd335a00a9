"""What is known of an image without knowing whose it is: a part of the words of `findings`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

SpaceKind = Literal["grid", "pixels", "index"]
SliceNaming = Literal["instance_number", "frame_number"]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What may be known of a patient and an acquisition without knowing who it is.

    Kept for the choice of series and for the audit. Spelling is normalised
    (manufacturer `SIEMENS`, sex `M`, `F` or `O`). None where the source is silent.

    Attributes:
        modality: DICOM modality (CT, MR, DX, ...).
        body_part: BodyPartExamined, upper case.
        sex: `M`, `F` or `O`.
        age_years: Whole years as text, 90 and over as `90+`.
        ethnic_group: As in the source, lower case.
        manufacturer: Upper case, known spellings made one.
        scanner_model: ManufacturerModelName.
        site_key: Keyed hash of the institution.
        field_strength_t: Of the magnet, in tesla.
        kvp: Peak tube voltage in kV.
        slice_thickness_mm: Nominal thickness.
        kernel: Convolution kernel.
        view: ViewPosition of a radiograph.
        plane: `axial`, `coronal`, `sagittal` or `oblique`.
        sequence: `scanning_sequence/sequence_variant`, such as `SE/SK`.
        contrast: Whether a contrast agent is recorded.
        repetition_time_ms: TR.
        echo_time_ms: TE.
        inversion_time_ms: TI.
        flip_angle_deg: Flip angle.
        b_value_s_per_mm2: Diffusion weighting.
        image_type: The values of ImageType.
        days_since_first: Days since the patient's first study in this run.
        patient_key: Keyed hash of the patient.
        burned_in: Whether text may be burned into the pixels.
        extra: Facts that were allow-listed, and those of a manifest or BIDS table.
    """

    modality: str | None = None
    body_part: str | None = None
    sex: Literal["M", "F", "O"] | None = None
    age_years: str | None = None
    ethnic_group: str | None = None
    manufacturer: str | None = None
    scanner_model: str | None = None
    site_key: str | None = None
    field_strength_t: float | None = None
    kvp: float | None = None
    slice_thickness_mm: float | None = None
    kernel: str | None = None
    view: str | None = None
    plane: Literal["axial", "coronal", "sagittal", "oblique"] | None = None
    sequence: str | None = None
    contrast: bool | None = None
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None
    b_value_s_per_mm2: float | None = None
    image_type: tuple[str, ...] = ()
    days_since_first: int | None = None
    patient_key: str | None = None
    burned_in: Literal["yes", "no", "unknown"] | None = None
    extra: tuple[tuple[str, str], ...] = ()


GROUP_FACTS = (
    "sex",
    "age_years",
    "ethnic_group",
    "site_key",
    "manufacturer",
    "scanner_model",
    "field_strength_t",
    "kvp",
    "slice_thickness_mm",
    "kernel",
    "view",
    "contrast",
)
"""Facts of patient and scanner by which results are compared: the audit's groups."""

SCAN_FACTS = (
    *GROUP_FACTS,
    "modality",
    "body_part",
    "plane",
    "repetition_time_ms",
    "echo_time_ms",
    "inversion_time_ms",
)
"""Those, and what else may move from one batch to the next."""


@dataclass(frozen=True, slots=True)
class AgeRange:
    """The ages that a network was shown, both ends among them.

    Attributes:
        least_years: Of the youngest patient; None where nothing is known.
        most_years: Of the oldest.
    """

    # For pydantic, which reads it from a bundle's metadata: a misspelt limit must not pass.
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    least_years: int | None = None
    most_years: int | None = None

    def misfit(self, facts: ImageFacts) -> str:
        """Say in words why a patient is not of these ages; empty where one is, or where the age is not known."""
        known = (facts.age_years or "").removesuffix("+")
        if not known.isdecimal():
            return ""
        years = int(known)
        if self.least_years is not None and years < self.least_years:
            return f"the patient is {facts.age_years} years old, it was shown none younger than {self.least_years}"
        if self.most_years is not None and years > self.most_years:
            return f"the patient is {facts.age_years} years old, it was shown none older than {self.most_years}"
        return ""


@dataclass(frozen=True, slots=True)
class SliceRun:
    """Slices that follow each other along k and are numbered evenly in their source.

    Attributes:
        first: Number of the first; None where no file holds these slices.
        step: From one slice to the next; may be negative, or 0 (tiles of one file).
        count: How many slices.
    """

    first: int | None
    step: int
    count: int


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a case, chosen for a bundle or not.

    Attributes:
        image_id: Keyed id.
        facts: What is known of it.
        space: Kind of its geometry.
        shape: Voxels along i, j, k; None if the image was never decoded.
        spacing_mm: On a Grid three numbers, on a PixelGrid two; else None.
        axcodes: Patient directions of i, j, k on a Grid, such as LPS.
        is_sheared: Gantry tilt; None off a Grid.
        files: How many input files it was made of.
        chosen_for: Bundles that were given this image.
        not_chosen: One sentence per bundle that was not, `bundle: reason`.
        notes: What a reader should know: resampled, detector spacing, repaired header.
        stored: File below the case folder that holds the image as the reviewer sees it.
        display_window: (centre, width) to show it with.
        is_inverted: Low numbers are bright (MONOCHROME1).
        interpolated_slices: Slices that no file holds: computed from their neighbours, because gaps were allowed.
        channel_of: `bundle: channel` of each network to which it was one channel among several, and whether it was
            brought onto the grid of the first.
        series_number: SeriesNumber of the source; None where it names none.
        slices_named_by: By what a workstation finds a slice of the source: InstanceNumber of its file, or the frame
            of a file of many, from 1. None where the source has no numbers: a slice is then its index k.
        slice_runs: Those numbers, along k; empty where there are none.
    """

    image_id: str
    facts: ImageFacts
    space: SpaceKind | None = None
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, ...] | None = None
    axcodes: str | None = None
    is_sheared: bool | None = None
    files: int = 1
    chosen_for: tuple[str, ...] = ()
    not_chosen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stored: str | None = None
    display_window: tuple[float, float] | None = None
    is_inverted: bool = False
    interpolated_slices: int = 0
    channel_of: tuple[str, ...] = ()
    series_number: int | None = None
    slices_named_by: SliceNaming | None = None
    slice_runs: tuple[SliceRun, ...] = ()

    def slice_number(self, k: int) -> int | None:
        """Tell what the source calls slice k; None where it does not, or no file holds the slice."""
        at = k
        for run in self.slice_runs:
            if 0 <= at < run.count:
                return None if run.first is None else run.first + run.step * at
            at -= run.count
        return None


def slice_runs(numbers: Sequence[int | None]) -> tuple[SliceRun, ...]:
    """Write the numbers of slices as few runs: most series are one.

    Args:
        numbers: Along k; None where no file holds the slice.
    """
    runs: list[SliceRun] = []
    for number in numbers:
        last = runs[-1] if runs else None
        if last is not None and (step := _step_to(last, number)) is not None:
            runs[-1] = SliceRun(last.first, step, last.count + 1)
        else:
            runs.append(SliceRun(number, 0, 1))
    return tuple(runs)


def _step_to(run: SliceRun, number: int | None) -> int | None:
    """Give the step with which a run goes on to a number; None where it does not."""
    if run.first is None or number is None:
        return 0 if run.first is number else None
    step = number - run.first if run.count == 1 else run.step
    return step if number == run.first + step * run.count else None
