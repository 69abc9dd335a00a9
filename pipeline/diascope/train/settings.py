"""What a training is told: pydantic models, of which configs/train_*.yaml are the spelling."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from diascope.bundles.find import ExplainWish
from diascope.config import Settings, parse_settings, read_yaml
from diascope.geometry import FieldOfView
from diascope.image_facts import AgeRange
from diascope.io.select_rule import Modality, SelectRule
from diascope.train.recipe import (
    FoldSettings,
    LossSettings,
    OptimiserSettings,
    RegularisationSettings,
    ScheduleSettings,
    SearchSettings,
    StartSettings,
    resolved,
)
from diascope.train.source_settings import BoxSettings, ClassSettings, ReconstructionSettings, VolumeSettings

Fraction = Annotated[float, Field(ge=0, le=1)]


class Component(Settings):
    """A component by its name in one of our tables, with its arguments."""

    name: str
    """Name in the table; never a dotted path."""

    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments, as the component's own documentation names them."""


class LabelSettings(Settings):
    """One label of the mask: its name, its colour and what it is made of."""

    name: str
    """Snake-case name, as it will stand in measurements.csv."""

    colour: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
    """Colour of overlays."""

    source_values: tuple[int, ...] = ()
    """Values in the source's label files that become this label; empty: the label's own number."""


class BundleSettings(Settings):
    """What the bundle says about itself."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    """Folder name under models/."""

    version: str = "0.1.0"
    """Version of the bundle."""

    title: str
    """One line for lists."""

    needs: Literal["grid", "pixels", "index"]
    """The least geometry an image must have."""

    labels: tuple[LabelSettings, ...]
    """Foreground labels; the first is value 1 of the mask."""

    modality: tuple[Modality, ...] = ("MR",)
    """DICOM modalities the network was made for."""

    select: SelectRule | None = None
    """Which images it is given where a config of a run does not say, as `select` there."""

    explain: ExplainWish | None = None
    """What a run explains without being asked, and how: `{method: hires_cam, targets: [tumour]}`."""

    field_of_view: FieldOfView | None = None
    """What an image must show for it, such as a whole head; a run turns others away."""

    ages: AgeRange | None = None
    """Ages of the patients it was shown; a run calls the case of another one doubtful."""

    licence: str
    """Licence of the weights."""

    research_only: bool
    """Whether the licence of the data allows research only."""

    citations: tuple[str, ...]
    """Works to cite with results."""

    intended_use: str
    """What the network is for, in a sentence or two."""

    limits: tuple[str, ...]
    """What it cannot do, what it was never shown."""

    data_statement: str
    """Where the data come from, under which licence, and how they were split."""

    training_note: str = ""
    """What a reader should know about how this training ran; goes onto the card."""


class ContrastSettings(Settings):
    """Mean intensity of tissues in one MR contrast, between 0 and 1."""

    name: str
    """For example t1."""

    mean_of_value: dict[int, Fraction]
    """Mean by value of the label file; tissues not named get a random one."""


class PhaseSettings(Settings):
    """What changes from a certain image of the training on; None leaves a setting as it is."""

    from_image: PositiveInt
    """Number of the first image of this phase."""

    window_voxels: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """As in the source: a small window first, because its steps are cheaper."""

    offset_mm: NonNegativeFloat | None = None
    """As in the source."""

    neck_fraction: Fraction | None = None
    """As in the source."""

    contrast_fraction: Fraction | None = None
    """As in the source."""

    contrast_spread: Fraction | None = None
    """As in the source."""

    thickest_mm: PositiveFloat | None = None
    """As in the source."""

    bias: NonNegativeFloat | None = None
    """As in the source."""


class SynthesisSettings(Settings):
    """How images are synthesised from label maps (Billot et al., SynthSeg, MedIA 2023)."""

    kind: Literal["synthesis"]
    """Tells the kinds of data source apart."""

    tissue_labels: str
    """Csv below the data root: a value of the label files per line."""

    tissue_classes: str
    """Csv below the data root: the tissue class of the value on the same line."""

    mirrored_values: dict[int, int] = Field(default_factory=dict)
    """Value of a right structure: value of its left twin, whose tissue class it takes."""

    keep_when_stripped: tuple[int, ...] = ()
    """Values around the brain (its fluid) that half of the skull-stripped images keep close to the brain."""

    window_voxels: tuple[PositiveInt, PositiveInt, PositiveInt] = (80, 96, 80)
    """Size of a training image."""

    spacing_mm: PositiveFloat = 2.0
    """Voxel size of a training image."""

    rotation_deg: NonNegativeFloat = 20.0
    """Largest rotation about each axis."""

    scaling: Fraction = 0.2
    """Largest relative change of size along each axis."""

    shearing: Fraction = 0.015
    """Largest shear."""

    elastic_mm: NonNegativeFloat = 4.0
    """Largest standard deviation of the random displacement."""

    offset_mm: NonNegativeFloat = 24.0
    """Largest distance along each axis between window and brain."""

    far_offset_mm: NonNegativeFloat = 80.0
    """The same for the far windows, which see mostly neck and air."""

    far_fraction: Fraction = 0.2
    """Fraction of far windows."""

    stripped_fraction: Fraction = 0.4
    """Fraction of images without anything outside the brain."""

    flip_fraction: Fraction = 0.5
    """Fraction mirrored left to right; 0 for networks that tell the sides apart."""

    contrast_fraction: Fraction = 0.3
    """Fraction drawn near one of the known contrasts; the others are fully random."""

    contrast_spread: Fraction = 0.08
    """Standard deviation of each tissue's mean around the known contrast."""

    contrasts: tuple[ContrastSettings, ...] = ()
    """Known contrasts, near which some images are drawn and on which the test is made."""

    thickest_mm: PositiveFloat = 7.0
    """Largest slice thickness that is imitated."""

    bias: NonNegativeFloat = 0.5
    """Largest standard deviation of the logarithm of the bias field."""

    gamma: NonNegativeFloat = 0.4
    """Standard deviation of the logarithm of gamma."""

    outer_brightness: Annotated[float, Field(ge=1)] = 1.0
    """Largest factor by which an image's tissues outside the brain are brighter than drawn: fat on T1."""

    neck_fraction: Fraction = 0.0
    """Fraction of whole heads that go on below the map's lowest slice, in random tissues, as scans do."""

    ramp_images: NonNegativeInt = 0
    """Images over which the settings rise from easy to those above; 0 begins with all of it."""

    phases: tuple[PhaseSettings, ...] = ()
    """Later changes, in the order of their first image."""


class SliceSettings(Settings):
    """Slices with their neighbours as channels (2.5-D), from volumes and masks."""

    kind: Literal["slices"]
    """Tells the kinds of data source apart."""

    foreground_fraction: Fraction = 0.6
    """Fraction of training slices that show a label."""

    thin_fraction: Fraction = 0.25
    """Fraction of training slices whose neighbours are drawn towards them, as in scans with thin slices."""


class TrainConfig(Settings):
    """One training, from the manifest to the bundle."""

    bundle: BundleSettings
    """The bundle to be made."""

    manifest: Path
    """Csv with files, hashes, patients and splits."""

    data_root: Path
    """Folder to which the manifest's file paths are relative."""

    source: Annotated[
        SynthesisSettings | SliceSettings | VolumeSettings | ClassSettings | BoxSettings | ReconstructionSettings,
        Field(discriminator="kind"),
    ]
    """How training images are made of the manifest's files."""

    network: Component
    """Network by its MONAI name."""

    preprocessing: tuple[Component, ...]
    """Deterministic MONAI transforms from the file to the network; the bundle carries them."""

    inferer: Component
    """MONAI inferer the bundle carries."""

    augmentation: tuple[Component, ...] = ()
    """Random MONAI transforms of the training images."""

    loss: LossSettings = LossSettings()
    """What the training lowers."""

    optimiser: OptimiserSettings = OptimiserSettings()
    """How the weights move."""

    schedule: ScheduleSettings = ScheduleSettings()
    """How the learning rate changes."""

    regularisation: RegularisationSettings = RegularisationSettings()
    """What keeps the weights small, and the training short."""

    init_from: StartSettings | None = None
    """Where the weights come from; None begins with random ones."""

    folds: FoldSettings | None = None
    """Cross-validation; None takes the manifest's own splits."""

    search: SearchSettings | None = None
    """A search for better settings; None trains once."""

    epochs: PositiveInt
    """Length of the training; the schedule ends with it."""

    steps_per_epoch: PositiveInt
    """Optimiser steps between two log lines."""

    batch_size: PositiveInt = 1
    """Images per step, all processes together."""

    validate_every_epochs: PositiveInt = 1
    """Epochs between two validations."""

    validation_images: PositiveInt = 12
    """Synthetic images per validation; a source of real images uses its whole calibration split."""

    checkpoint_every_epochs: PositiveInt = 1
    """Epochs between two checkpoints; at most this much is lost by a kill."""

    weights: Literal["last", "best"] = "last"
    """Which the bundle gets: those of the last epoch, or of the best one on the calibration split."""

    seed: NonNegativeInt = 0
    """Seed of everything random."""

    device: str = "cpu"
    """cpu, or cuda:0."""

    precision: Literal["fp32", "bf16"] = "bf16"
    """Arithmetic of the forward pass."""

    channels_last: bool = False
    """Memory order of 2-D networks; faster with BatchNorm, slower with InstanceNorm."""

    threads: PositiveInt | None = None
    """Threads of torch; None leaves torch's choice."""

    data_workers: NonNegativeInt = 1
    """Processes that prepare images beside the network."""

    cost_on_card: bool = True
    """Whether one test case is run once more, alone in a process, to say on the card what time and memory it takes."""

    weights_dtype: Literal["float32", "float16"] = "float32"
    """How the bundle stores its kernels; the figures on the card are measured with these."""


def load_train_config(source: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a training config; its relative paths count from the yaml's own folder.

    Raises:
        ConfigError: A key or value does not fit.
    """
    # What is under `tracking` is read by the room above, run/.
    values = {key: value for key, value in read_yaml(source).items() if key != "tracking"}
    mine = [one for one in overrides if not one.startswith("tracking.")]
    config = parse_settings(TrainConfig, values, mine, where=source.name)
    here = source.resolve().parent
    start = resolved(config.init_from, here) if config.init_from else None
    return config.model_copy(
        update={"manifest": here / config.manifest, "data_root": here / config.data_root, "init_from": start}
    )
