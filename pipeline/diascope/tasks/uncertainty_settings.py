"""What a person may say about asking a network more than once."""

from typing import Annotated, Literal

from pydantic import Field

from diascope.config import Settings

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

    @property
    def asks_again(self) -> bool:
        """Whether one pass is not all."""
        return bool(self.mirrors) or self.dropout_draws > 0
