"""What a config may say of a source that works on real images: whole volumes, classes of slices, boxes."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from diascope.config import Settings
from diascope.errors import ConfigError
from diascope.train.manifest import ManifestCase

Fraction = Annotated[float, Field(ge=0, le=1)]


class VolumeSettings(Settings):
    """Whole volumes and their masks; the config's augmentation cuts, turns and alters them."""

    kind: Literal["volumes"]
    """Tells the kinds of data source apart."""


class ClassSettings(Settings):
    """Slices and the class each shows: from the masks, or from a column of the manifest.

    Without `column` a slice is of label n where its mask holds the value n. With it, every slice of a case
    has the class that `classes` gives for the case's value in that column; cases of other values are left out.
    """

    kind: Literal["classes"]
    """Tells the kinds of data source apart."""

    column: str | None = None
    """Column of the manifest that holds the class of a case."""

    classes: dict[str, int] = Field(default_factory=dict)
    """Value of that column: number of its label, 0 for the class that has none."""

    foreground_fraction: Fraction = 0.5
    """Fraction of training slices that show a label."""

    smallest_pixels: PositiveInt = 1
    """Pixels of a label from which on a slice shows it."""

    thin_fraction: Fraction = 0.25
    """Fraction of training slices whose neighbours are drawn towards them, as in scans with thin slices."""

    groups: tuple[str, ...] = ()
    """Columns of the manifest by which the card splits its figures."""


class BoxSettings(Settings):
    """Slices and the boxes around the connected parts of their masks."""

    kind: Literal["boxes"]
    """Tells the kinds of data source apart."""

    foreground_fraction: Fraction = 0.6
    """Fraction of training slices that show a label."""

    smallest_pixels: PositiveInt = 4
    """Parts with fewer pixels on the network's grid have no box."""

    thin_fraction: Fraction = 0.25
    """Fraction of training slices whose neighbours are drawn towards them, as in scans with thin slices."""

    false_positives_per_scan: Annotated[float, Field(gt=0)] = 0.25
    """At this rate on the calibration split the lowest score of a finding is set."""

    groups: tuple[str, ...] = ()
    """Columns of the manifest by which the card splits its figures."""


def class_of(case: ManifestCase, settings: ClassSettings) -> int | None:
    """Give the class of a case by its column of the manifest; None where it has none of those asked for.

    Raises:
        ConfigError: The manifest has no such column.
    """
    column = settings.column or ""
    if column not in case.groups:
        raise ConfigError(
            f"the manifest has no column {column}", hint=f"it has: {', '.join(sorted(case.groups)) or 'no others'}"
        )
    return settings.classes.get(case.groups[column])


class ReconstructionSettings(Settings):
    """Volumes of which blocks are hidden, to be filled in: pre-training without labels."""

    kind: Literal["masked_reconstruction"]
    """Tells the kinds of data source apart."""

    hidden_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Fraction of the blocks that is hidden."""

    block_voxels: PositiveInt = 8
    """Edge of a block, on the network's grid."""
