"""Which networks there are, and what they say of themselves; no torch in here.

Bundles are looked for in `models.dir`, `$DIASCOPE_MODELS`, the user's data folder and
the ones that come with the package, in this order; the first of a name wins.
"""

import difflib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diascope.bundles.card import CARD
from diascope.bundles.lock import read_lock, verify_bundle, whole_digest
from diascope.errors import BundleError
from diascope.findings import BundleStamp, Label
from diascope.geometry import FieldOfView, Need
from diascope.image_facts import AgeRange
from diascope.io.select_rule import Modality, SelectRule

METADATA = Path("configs") / "metadata.json"
LOCK = "bundles.lock"

_FALLBACK_COLOUR = "#e6a817"

# Words of a label's name that say on which side it lies; `lh` and `rh` are FreeSurfer's hemispheres.
_LEFT, _RIGHT = {"left", "lh", "l"}, {"right", "rh", "r"}


class ExplainWish(BaseModel):
    """How a bundle wants its answers explained; a run's own settings win."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: str | None = None
    """Name of the attribution method."""

    layer: str | None = None
    """For methods that look at one."""

    targets: tuple[str, ...] = ()
    """Labels of a segmentation whose heatmap means something: a lesion, not the whole anatomy."""


class DiascopeBlock(BaseModel):
    """The `diascope` block of a bundle's metadata.json."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    format: Literal[1] = 1
    """Version of this block."""

    task: Literal["segment", "classify", "detect"]
    """The question the network answers."""

    needs: Need
    """What it asks of an image's geometry."""

    labels: dict[Annotated[int, Field(ge=1, le=255)], str]
    """Name of each label value; 0 is background."""

    colours: dict[str, str] = {}
    """`#rrggbb` of a label's name."""

    expected: tuple[str, ...] | None = None
    """Labels that every suitable image shows, so that a missing one is a doubt. Where left out: all of a network
    with several labels (anatomy), none of a network with one (a lesion)."""

    field_of_view: FieldOfView = FieldOfView()
    """What an image must show, such as a whole head; any where left out."""

    ages: AgeRange = AgeRange()
    """Ages of the patients it was shown; the case of another is doubtful, and none is turned away."""

    activation: Literal["softmax", "sigmoid"] = "softmax"
    """What turns the network's numbers into probabilities."""

    min_score: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Lesions of a detector with a lower score are not reported."""

    licence: str
    """Of the weights."""

    research_only: bool = False
    """The data or the licence forbid clinical or commercial use."""

    citations: tuple[str, ...] = ()
    """What to cite."""

    modality: tuple[Modality, ...] = ()
    """DICOM modalities the network was made for."""

    select: SelectRule | None = None
    """Which images it wants where a config does not say; those of its modality where left out."""

    explain: ExplainWish = ExplainWish()
    """What a run explains without being asked, and how."""

    @property
    def own_select(self) -> SelectRule:
        """The rule that holds where a config has none."""
        return self.select if self.select is not None else SelectRule(modality=self.modality)


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """A bundle on disk, not loaded.

    Attributes:
        name: Of its folder.
        folder: Where it lies.
        version: Of its metadata.
        description: One sentence.
        block: What diascope needs to know.
        sha256: Digest over its files; empty until it was verified.
        is_shipped: Whether these very files come with diascope; False until it was verified.
        members: Other bundles that are asked with it, as an ensemble.
        calibration: A calibration.json that takes the place of its own; None where it has its own or none.
        is_repeated: Whether a run shows it each image more than once, mirrored or with dropout.
    """

    name: str
    folder: Path
    version: str
    description: str
    block: DiascopeBlock
    sha256: str = ""
    is_shipped: bool = False
    members: tuple["BundleInfo", ...] = ()
    calibration: Path | None = None
    is_repeated: bool = False

    @property
    def labels(self) -> tuple[Label, ...]:
        """Everything the network may draw or name, by value."""
        return tuple(
            Label(value, name, self.block.colours.get(name, _FALLBACK_COLOUR))
            for value, name in sorted(self.block.labels.items())
        )

    @property
    def expected(self) -> tuple[str, ...]:
        """Names of the labels that every suitable image shows."""
        if self.block.expected is not None:
            return self.block.expected
        return tuple(label.name for label in self.labels) if len(self.labels) > 1 else ()

    @property
    def card(self) -> Path | None:
        """Its model card; None where it brings none."""
        return self.folder / CARD if (self.folder / CARD).is_file() else None

    @property
    def is_averaged(self) -> bool:
        """Whether what a run says of it is the average of several answers."""
        return bool(self.members) or self.is_repeated

    @property
    def stamp(self) -> BundleStamp:
        """What a report says of it."""
        block = self.block
        return BundleStamp(
            self.name, self.version, self.sha256, block.licence, block.research_only, is_averaged=self.is_averaged
        )

    @property
    def stamps(self) -> tuple[BundleStamp, ...]:
        """Its own, and those of the other members of its ensemble."""
        return (self.stamp, *(member.stamp for member in self.members))


def sided(names: Iterable[str]) -> tuple[str, ...]:
    """Pick the names of labels that say on which side they lie: in a mirrored image they are wrong."""
    return tuple(name for name in names if set(re.split(r"[^a-z0-9]+", name.lower())) & (_LEFT | _RIGHT))


def search_path(models_dir: Path | None = None) -> tuple[Path, ...]:
    """List the folders in which bundles are looked for, first wins."""
    named = os.environ.get("DIASCOPE_MODELS")
    users = platformdirs.user_data_path("diascope") / "models"
    every = (models_dir, Path(named) if named else None, users, packaged_models())
    return tuple(folder for folder in every if folder)


def packaged_models() -> Path:
    """Folder of the bundles that come with the package: the checkout's, else the wheel's."""
    checkout = Path(__file__).resolve().parents[3] / "models"
    return checkout if checkout.is_dir() else Path(str(resources.files("diascope"))) / "_models"


def list_bundles(models_dir: Path | None = None) -> tuple[BundleInfo, ...]:
    """Find every bundle, by name."""
    found: dict[str, BundleInfo] = {}
    for root in search_path(models_dir):
        for metadata in sorted(root.glob(f"*/{METADATA}")):
            folder = metadata.parents[1]
            if folder.name not in found:
                found[folder.name] = read_bundle(folder)
    return tuple(found[name] for name in sorted(found))


def find_bundle(name: str, models_dir: Path | None = None) -> BundleInfo:
    """Find a bundle by its name, or by the path of its folder (`./name`), and check it against its lock.

    Raises:
        BundleError: There is none of that name, or its files are not the ones that were locked.
    """
    # A bare name is never a folder that happens to lie in the working folder: a bundle is a program.
    if Path(name).name != name and (Path(name) / METADATA).is_file():
        return _verified(read_bundle(Path(name).resolve()))
    for root in search_path(models_dir):
        if (root / name / METADATA).is_file():
            return _verified(read_bundle(root / name))
    names = [bundle.name for bundle in list_bundles(models_dir)]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"
    raise BundleError(f"there is no bundle named {name}", hint=hint)


def read_bundle(folder: Path) -> BundleInfo:
    """Read what a bundle says of itself, without trusting its files yet.

    Raises:
        BundleError: Its metadata.json is missing, or is no description diascope can use.
    """
    try:
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        block = DiascopeBlock.model_validate(metadata["diascope"])
        return BundleInfo(folder.name, folder, str(metadata["version"]), str(metadata.get("description", "")), block)
    except (OSError, ValueError, KeyError, TypeError) as error:
        detail = (
            "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
            if isinstance(error, ValidationError)
            else f"{type(error).__name__} {error}"
        )
        raise BundleError(f"bundle {folder.name}: metadata.json does not describe it for diascope: {detail}") from None


def _verified(bundle: BundleInfo) -> BundleInfo:
    digest = verify_bundle(bundle.folder, bundle.folder.parent / LOCK)
    # By content, not by place: whoever can write a bundle can write the lock beside it.
    shipped = read_lock(packaged_models() / LOCK).get(bundle.name)
    return replace(bundle, sha256=digest, is_shipped=shipped is not None and whole_digest(shipped) == digest)
