"""Networks that see one slice at a time: their encoder, a classifier on it, and how a volume is handed to them.

A bundle's config may name these classes (see `network.OURS`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.networks.nets import DynUNet
from torch import Tensor, nn


class EachSlice(Inferer):  # type: ignore[misc]  # MONAI is not typed
    """Runs a 2-D network on every slice of a volume, and stacks what it says.

    A classifier's answer becomes one voxel per slice: (1, classes, 1, 1, k). A
    detector's becomes (1, 6, boxes, 1, k). So every network answers with one tensor.
    """

    def __init__(self, batch_size: int = 16) -> None:
        """Set how many slices are run together."""
        super().__init__()
        self.batch_size = batch_size

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Run the network on all slices.

        Args:
            inputs: (1, channels, i, j, k).
            network: Takes (b, channels, i, j), gives (b, channels) or (b, channels, n).
            args: Passed on to the network.
            kwargs: Passed on to the network.
        """
        # Plain tensors: what a MetaTensor knows of its axes is no longer true of slices.
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        slices = plain[0].movedim(-1, 0)
        said = torch.cat([network(part, *args, **kwargs) for part in slices.split(self.batch_size)])
        rows = said if said.ndim == 3 else said[..., None]
        answer = rows[..., None].movedim(0, -1)[None]
        if isinstance(inputs, MetaTensor):  # stock MONAI saves by the name of the file, which is in the meta
            kept: Tensor = MetaTensor(answer).copy_meta_from(inputs, copy_attr=False)
            return kept
        return answer


class UNetEncoder(nn.Module):
    """The descending half of a DynUNet, layer by layer under the same names.

    So it can begin with what a segmentation network of the same image has learned.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        filters: Sequence[int],
        norm_name: str | Sequence[Any] = "batch",
        act_name: str | Sequence[Any] = ("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
    ) -> None:
        """Build it.

        Args:
            spatial_dims: 2 or 3.
            in_channels: Of the image.
            filters: Channels of each level; each level after the first halves the size.
            norm_name: As DynUNet's.
            act_name: As DynUNet's.
        """
        super().__init__()
        levels = len(filters)
        whole = DynUNet(
            spatial_dims,
            in_channels,
            1,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=list(filters),
            norm_name=norm_name,
            act_name=act_name,
        )
        self.input_block = whole.input_block
        self.downsamples = whole.downsamples
        self.bottleneck = whole.bottleneck

    def forward(self, image: Tensor) -> list[Tensor]:
        """Give the features of every level, the finest first.

        Args:
            image: (b, channels, ...).
        """
        levels = [self.input_block(image)]
        for layer in (*self.downsamples, self.bottleneck):
            levels.append(layer(levels[-1]))
        return levels


class SliceClassifier(nn.Module):
    """A U-Net's encoder with a classifier on its deepest features.

    The highest and the mean response of each channel go into one linear layer: a small
    lesion shows in the highest, the size of a large one in the mean.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        filters: Sequence[int],
        dropout: float = 0.2,
        norm_name: str | Sequence[Any] = "batch",
    ) -> None:
        """Build it.

        Args:
            in_channels: Of the image.
            num_classes: With the one that shows nothing, which is first.
            filters: Channels of each level of the encoder.
            dropout: Part of the features left out in training.
            norm_name: As DynUNet's.
        """
        super().__init__()
        self.encoder = UNetEncoder(2, in_channels, filters, norm_name)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * filters[-1], num_classes))

    def forward(self, image: Tensor) -> Tensor:
        """Classify slices.

        Args:
            image: (b, channels, i, j).

        Returns:
            (b, classes) logits.
        """
        deepest = self.encoder(image)[-1].flatten(2)
        logits: Tensor = self.head(torch.cat([deepest.amax(-1), deepest.mean(-1)], 1))
        return logits
