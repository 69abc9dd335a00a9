"""What one DICOM file says of itself: a Header, and a Frame for each slice in it."""

from dataclasses import dataclass, field
from typing import Literal

from diascope.findings import Failure, ImageFacts
from diascope.io.reader import FoundFile

Vector = tuple[float, float, float]
Orientation = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Common:
    """What all files of a series share; kept once for the whole series.

    Attributes:
        study_uid: StudyInstanceUID; empty where missing.
        series_uid: SeriesInstanceUID; empty where missing.
        issuer: IssuerOfPatientID.
        patient_id: Record number.
        patient_name: As written.
        accession_number: Of the order.
        study_date: ISO, such as 2020-01-31; empty where missing or malformed.
        birth_date: As written.
        facts: What may be known, of the patient and the device.
        selection: What rules may use, by lower-case name.
    """

    study_uid: str = ""
    series_uid: str = ""
    issuer: str = ""
    patient_id: str = ""
    patient_name: str = ""
    accession_number: str = ""
    study_date: str = ""
    birth_date: str = ""
    facts: ImageFacts = field(default_factory=ImageFacts)
    selection: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of a frame are stored.

    Attributes:
        rows: Pixels along j.
        columns: Pixels along i.
        samples: 1, or 3 in colour.
        photometric: PhotometricInterpretation.
        planar: Whether colours come one plane after the other.
        bits_allocated: Of a stored cell.
        bits_stored: Of the number in it.
        high_bit: Where its highest bit lies.
        is_signed: PixelRepresentation.
        is_float: Float or double float pixel data.
        transfer_syntax: How they are packed.
        big_endian: Byte order.
        tiles: Slices laid out in one frame, across and down; (1, 1) where it is no mosaic.
        has_lut: A modality LUT takes the place of slope and intercept.
        has_voi_lut: A VOI LUT says how to show them.
    """

    rows: int
    columns: int
    samples: int = 1
    photometric: str = "MONOCHROME2"
    planar: bool = False
    bits_allocated: int = 16
    bits_stored: int = 16
    high_bit: int = 15
    is_signed: bool = False
    is_float: bool = False
    transfer_syntax: str = ""
    big_endian: bool = False
    tiles: tuple[int, int] = (1, 1)
    has_lut: bool = False
    has_voi_lut: bool = False

    @property
    def image_rows(self) -> int:
        """Pixels along j of one slice, in a mosaic of one tile."""
        return self.rows // self.tiles[1]

    @property
    def image_columns(self) -> int:
        """Pixels along i of one slice, in a mosaic of one tile."""
        return self.columns // self.tiles[0]

    @property
    def frame_bytes(self) -> int:
        """Size of one native frame."""
        # Of four YBR pixels in a row of 4:2:2, each second one lends its colours (PS3.3, C.7.6.3.1.2).
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return (self.rows * self.columns * samples * self.bits_allocated + 7) // 8


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice of a file; a plain file has one.

    Attributes:
        number: Which frame of the file, from 0.
        tile: Which tile of the frame, from 0; -1 where it is no mosaic.
        position_lps_mm: Centre of its first pixel; None where the file is silent.
        orientation: Direction cosines of a row, then of a column, in LPS.
        spacing_mm: Distance of pixel centres along i (within a row), then along j.
        thickness_mm: Nominal.
        spacing_between_mm: SpacingBetweenSlices, signed as written.
        slope: Of the modality rescale.
        intercept: Of the modality rescale.
        echo_ms: Echo time.
        echo_number: Where a scanner counts echoes.
        b_value: In s/mm².
        direction: Diffusion direction.
        temporal: TemporalPositionIdentifier or its index among dimensions.
        trigger_ms: Trigger or delay time.
        stack: StackID; parts of a series that belong together.
        display_window: (centre, width).
        kind: What kind of image the frame is, where frames of one file differ in it.
        dimensions: Index of the frame along the dimensions that are not its place.
    """

    number: int = 0
    tile: int = -1
    position_lps_mm: Vector | None = None
    orientation: Orientation | None = None
    spacing_mm: tuple[float, float] | None = None
    thickness_mm: float | None = None
    spacing_between_mm: float | None = None
    slope: float = 1.0
    intercept: float = 0.0
    echo_ms: float | None = None
    echo_number: int | None = None
    b_value: float | None = None
    direction: Vector | None = None
    temporal: float | None = None
    trigger_ms: float | None = None
    stack: str = ""
    display_window: tuple[float, float] | None = None
    kind: tuple[str, ...] = ()
    dimensions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What one file says.

    Attributes:
        file: Which.
        common: What it shares with its series.
        layout: How its pixels are stored.
        frames: Its slices.
        sop_class: SOPClassUID.
        sop_uid: SOPInstanceUID.
        frame_of_reference: FrameOfReferenceUID.
        image_type: Values of ImageType.
        instance: InstanceNumber.
        acquisition: AcquisitionNumber.
        time_s: Seconds since midnight of the acquisition, else of the content.
        kernel: Convolution kernel, for scans reconstructed twice.
        pixel_at: First byte of the pixels.
        pixel_bytes: Their length; UNDEFINED_LENGTH where they are encapsulated.
        detector_spacing_mm: ImagerPixelSpacing along i and j.
        calibrated: PixelSpacingCalibrationType is there.
        burned_in: Whether text may be burned into the pixels.
        quarantine: Why the file must not pass unseen; empty where it may.
        broken: Why its pixels cannot be read, where the header already tells.
        refusal: Why its frames cannot be told apart or placed.
        notes: What a reader should know of this file.
    """

    file: FoundFile
    common: Common
    layout: Layout
    frames: tuple[Frame, ...]
    sop_class: str = ""
    sop_uid: str = ""
    frame_of_reference: str = ""
    image_type: tuple[str, ...] = ()
    instance: int | None = None
    acquisition: int | None = None
    time_s: float | None = None
    kernel: str = ""
    pixel_at: int = 0
    pixel_bytes: int = 0
    detector_spacing_mm: tuple[float, float] | None = None
    calibrated: bool = False
    burned_in: Literal["yes", "no", "unknown"] = "unknown"
    quarantine: str = ""
    broken: Failure | None = None
    refusal: Failure | None = None
    notes: tuple[str, ...] = ()
