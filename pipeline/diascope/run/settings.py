"""The settings of a run: what a yaml in configs/ may say."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from diascope.config import Settings, settings_hash
from diascope.explain.settings import CheckSettings, ExplainSettings
from diascope.io.reader import IngestSettings
from diascope.io.selection import SelectRule
from diascope.run.key import IdentitySettings
from diascope.run.tracking.settings import TrackingSettings
from diascope.tasks.uncertainty_settings import UncertaintySettings

Precision = Literal["auto", "float32", "bfloat16", "float16"]


Fractions = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]


class PartSettings(Settings):
    """A part of a label's box, along the patient's axes, as fractions of the box."""

    left_right: Fractions = (0.0, 1.0)
    """0 is the patient's left end of the box, 1 its right end."""

    back_front: Fractions = (0.0, 1.0)
    """0 is the back."""

    foot_head: Fractions = (0.0, 1.0)
    """0 is towards the feet."""

    label: str = ""
    """Of this label's box; of `within.label` where left out."""


class WithinSettings(Settings):
    """Where a network looks that does not look everywhere."""

    bundle: str
    """Name of the network that finds the place; it stands before this one in the config."""

    label: str = ""
    """Its label; the largest connected piece of it counts. May be left out where every part names its own."""

    margin_mm: Annotated[float, Field(ge=0)] = 5.0
    """Added on every side."""

    parts: dict[str, PartSettings] = Field(default_factory=dict)
    """Parts of the label's box, by a name such as `left`, that are looked at one by one; all of it where left out."""

    @model_validator(mode="after")
    def _check_label(self) -> Self:
        if not self.label and not (self.parts and all(part.label for part in self.parts.values())):
            raise ValueError("within: name the label, or one for every part")
        return self


class BundleUse(Settings):
    """One network of a run, and which images it is given."""

    name: str
    """Folder name of the bundle, or a path to it."""

    select: SelectRule = SelectRule()
    """Which images of a study it wants; where left out, what the network itself asks for (`diascope models info`)."""

    channels: dict[str, SelectRule] = Field(default_factory=dict)
    """For a network with several channels, which image each of them wants, in the order of the channels. They are
    brought onto the grid of the first by their affines; images of different frames of reference are not combined."""

    ensemble: tuple[str, ...] = ()
    """Other bundles that are asked with it and averaged: same labels, same steps before the network."""

    calibration: Path | None = None
    """A calibration.json that `diascope evaluate` made; the bundle's own where left out."""

    within: WithinSettings | None = None
    """Look only where another network of this config found something, not at the whole image."""

    any_field_of_view: bool = False
    """Give it images too that show less or more than it was made for; their cases are called doubtful."""

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        if self.channels and "select" in self.model_fields_set:
            raise ValueError("channels takes the place of select: give one of them")
        if len(self.channels) == 1:
            raise ValueError("channels needs two or more; for one image there is select")
        if several := [name for name, rule in self.channels.items() if rule.select == "all"]:
            raise ValueError(f"channels.{several[0]}: a channel is one image, not all")
        if self.channels and self.within is not None:
            raise ValueError("within: a network with several channels looks at whole images")
        return self


class ModelsSettings(Settings):
    """Where bundles are looked for."""

    dir: Path | None = None
    """Looked in first, before $DIASCOPE_MODELS, the user's folder and the packaged ones."""


class RunConfig(Settings):
    """Everything a run can be told."""

    bundles: Annotated[tuple[BundleUse, ...], Field(min_length=1)]
    """The networks, in the order in which they run."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    precision: Precision = "auto"
    """auto is float16 on a card, float32 on the CPU."""

    store_images: bool = True
    """Write each image that was given to a network as NIfTI, for the viewer."""

    uncertainty: UncertaintySettings = UncertaintySettings()
    """Asking networks more than once, and what is promised of misses."""

    explain: ExplainSettings | None = ExplainSettings()
    """Heatmaps of what the networks say, with checks: of classes, findings and the labels that a bundle or
    `explain: {targets: [tumour]}` names. `explain: null` makes none."""

    ingest: IngestSettings = IngestSettings()
    """How files become images."""

    identity: IdentitySettings = IdentitySettings()
    """The key of the ids."""

    models: ModelsSettings = ModelsSettings()
    """Where bundles are looked for."""

    tracking: TrackingSettings = TrackingSettings()
    """Where MLflow is, and what may go there."""

    @field_validator("device")
    @classmethod
    def _is_device(cls, name: str) -> str:
        # Whether it is there is found out with torch; how it is spelt need not wait for that.
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
            raise ValueError(f"{name} is not a device: one of auto, cpu, cuda, cuda:0, cuda:1, ...")
        return name

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        earlier: set[str] = set()
        for use in self.bundles:
            if use.within is not None and use.within.bundle not in earlier:
                raise ValueError(f"{use.name} looks within {use.within.bundle}, which must stand before it in bundles")
            earlier.add(use.name)
        return self


def results_hash(config: RunConfig) -> str:
    """Hash the settings that a result depends on: not where things lie, nor who is told.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    plain = RunConfig(
        bundles=config.bundles,
        precision=config.precision,
        store_images=config.store_images,
        uncertainty=config.uncertainty,
        explain=_as_asked_of_one_case(config.explain),
        ingest=config.ingest,
    )
    return settings_hash(plain)


def _as_asked_of_one_case(explain: ExplainSettings | None) -> ExplainSettings | None:
    # Which cases are asked the dear questions belongs to the batch, and to the key of each case.
    if explain is None:
        return None
    drawn = {name: CheckSettings.model_fields[name].default for name in ("enabled", "sample", "share", "cases")}
    return explain.model_copy(update={"checks": explain.checks.model_copy(update=drawn)})
