"""A vision transformer that answers with class scores alone.

MONAI's ViT returns its hidden states beside them, which neither a loss nor a bundle's
postprocessing takes. A bundle's config may name this class.
"""

from typing import Any

from monai.networks import nets
from torch import Tensor


class ClassifyingViT(nets.ViT):  # type: ignore[misc]  # MONAI is not typed
    """MONAI's ViT with a classification head and no activation behind it (Dosovitskiy et al., ICLR 2021)."""

    def __init__(self, in_channels: int, img_size: Any, patch_size: Any, **kwargs: Any) -> None:
        """Build it; see MONAI's ViT for the arguments."""
        super().__init__(in_channels, img_size, patch_size, classification=True, post_activation="", **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images.

        Args:
            x: (b, channels, ...) of the size the network was built for.

        Returns:
            (b, classes) logits.
        """
        logits: Tensor = super().forward(x)[0]
        return logits
