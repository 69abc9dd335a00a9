"""What a person may say about asking a network more than once."""

from typing import Annotated, Literal

from pydantic import Field

from diascope.bundles.find import BundleInfo, sided
from diascope.config import Settings
from diascope.errors import ConfigError

Axis = Literal["i", "j", "k"]


class UncertaintySettings(Settings):
    """Asking networks more than once; each further answer costs one more pass."""

    mirrors: tuple[Axis, ...] = ()
    """Test-time augmentation: the prepared image is shown mirrored along each of these axes too."""

    dropout_draws: Annotated[int, Field(ge=0, le=100)] = 0
    """Monte Carlo dropout: passes in which the network's own dropout layers are active."""

    seed: int = 0
    """The same seed drops the same units."""

    control_misses: bool = False
    """Draw lesions from the probability at which the promised share of missed volume holds (calibration.json)."""

    keep_probabilities: bool = False
    """Keep each label's probability beside the label map: `diascope evaluate` learns the bound on misses from it."""

    map: Literal["none", "entropy", "least_confidence", "disagreement"] = "none"
    """Write beside every label map how unsure each voxel is: as entropy, as 1 less the highest probability, or, of
    several answers, by how much they disagree."""

    @property
    def asks_again(self) -> bool:
        """Whether one pass is not all."""
        return bool(self.mirrors) or self.dropout_draws > 0


def check_answers(bundle: BundleInfo, settings: UncertaintySettings) -> None:
    """Refuse mirrors where a label has a side: mirrored, a left kidney is a right one.

    Raises:
        ConfigError: A label says left or right, or the network marks boxes.
    """
    if (settings.asks_again or bundle.members) and bundle.block.task == "detect":
        raise ConfigError(
            f"{bundle.name} marks boxes, which cannot be averaged over several answers",
            hint="leave mirrors, dropout_draws and ensemble out, or run it in a folder of its own",
            code="unfit_uncertainty",
        )
    if settings.map == "disagreement" and not settings.asks_again and not bundle.members:
        raise ConfigError(
            f"{bundle.name} is asked once, and one answer cannot disagree with itself",
            hint="set uncertainty.mirrors, dropout_draws or an ensemble, or uncertainty.map to entropy",
            code="unfit_uncertainty",
        )
    with_side = sided(bundle.block.labels.values())
    if settings.mirrors and with_side:
        raise ConfigError(
            f"{bundle.name} tells sides apart ({with_side[0]}), so its image must not be mirrored",
            hint="leave uncertainty.mirrors out; dropout_draws and an ensemble do not mirror",
            code="unfit_uncertainty",
        )
