"""Losses by name: MONAI's, told which classes there are and how much each weighs.

Every loss takes logits (b, labels + 1, ...), background first, and whole numbers (b, 1, ...).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from monai.losses import DiceLoss, FocalLoss, GeneralizedDiceLoss, TverskyLoss
from torch import Tensor, nn

from diascope.errors import ConfigError
from diascope.train.names import pick
from diascope.train.recipe import LossSettings, RegularisationSettings

ClassWeights = Sequence[float] | None


class DiceCrossEntropy(nn.Module):
    """Overlap and cross-entropy, of which only the latter is weighted by class.

    MONAI's DiceCELoss hands its weights to both terms; a Dice term is balanced
    already, and weighted again it forgets the large structures.
    """

    def __init__(self, settings: LossSettings, class_weights: ClassWeights) -> None:
        """Build both terms.

        Args:
            settings: Their weights.
            class_weights: A weight per label, background first.
        """
        super().__init__()
        self.settings = settings
        self.dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=settings.batch_dice)
        self.cross_entropy = CrossEntropy(settings, class_weights)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compare a prediction with the truth.

        Args:
            logits: (b, labels + 1, ...), background first.
            label: (b, 1, ...) whole numbers.
        """
        overlap = self.dice(logits, label)
        entropy = self.cross_entropy(logits, label)
        total: Tensor = self.settings.dice_weight * overlap + self.settings.ce_weight * entropy
        return total


class CrossEntropy(nn.Module):
    """torch's cross-entropy, for labels that have a channel of their own as MONAI's do.

    Attributes:
        full_weights: (labels + 1,) before they fade.
    """

    full_weights: Tensor

    def __init__(self, settings: LossSettings, class_weights: ClassWeights) -> None:
        """Build it.

        Args:
            settings: Its further arguments, such as label_smoothing.
            class_weights: A weight per label, background first.
        """
        super().__init__()
        self.inner = nn.CrossEntropyLoss(_as_tensor(class_weights), **settings.args)
        self.fade = settings.weights_fade if class_weights is not None else None
        self.register_buffer("full_weights", _as_tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compare a prediction with the truth.

        Args:
            logits: (b, labels + 1, ...), background first.
            label: (b, 1, ...) whole numbers.
        """
        found: Tensor = self.inner(logits, label[:, 0].long())
        return found

    def at_step(self, step: int) -> None:
        """Weigh the classes as the settings want it at this step of the training."""
        if self.fade is not None:
            first, last = self.fade
            part = min(max((step - first) / (last - first), 0.0), 1.0)
            self.inner.weight = self.full_weights ** (1 - part)


class Penalised(nn.Module):
    """Another loss, and a price for large kernels; norms and biases are free."""

    def __init__(self, inner: nn.Module, network: nn.Module, settings: RegularisationSettings) -> None:
        """Wrap a loss."""
        super().__init__()
        self.inner = inner
        self.settings = settings
        # In a tuple: the network's weights must not become the loss's own.
        self._watched = (network,)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compare a prediction with the truth, and add the price.

        Args:
            logits: (b, labels + 1, ...), background first.
            label: (b, 1, ...) whole numbers.
        """
        total: Tensor = self.inner(logits, label)
        for weights in self._watched[0].parameters():
            if weights.requires_grad and weights.ndim > 1:
                total = total + self.settings.l1 * weights.abs().sum() + 0.5 * self.settings.l2 * weights.square().sum()
        return total


def _dice(settings: LossSettings, _weights: ClassWeights) -> nn.Module:
    kwargs = {"include_background": False, "batch": settings.batch_dice, **settings.args}
    built: nn.Module = DiceLoss(to_onehot_y=True, softmax=True, **kwargs)
    return built


def _generalised_dice(settings: LossSettings, _weights: ClassWeights) -> nn.Module:
    kwargs = {"include_background": False, "batch": settings.batch_dice, **settings.args}
    built: nn.Module = GeneralizedDiceLoss(to_onehot_y=True, softmax=True, **kwargs)
    return built


def _tversky(settings: LossSettings, _weights: ClassWeights) -> nn.Module:
    kwargs = {"include_background": False, "batch": settings.batch_dice, **settings.args}
    built: nn.Module = TverskyLoss(to_onehot_y=True, softmax=True, **kwargs)
    return built


def _focal(settings: LossSettings, weights: ClassWeights) -> nn.Module:
    built: nn.Module = FocalLoss(to_onehot_y=True, use_softmax=True, weight=_as_tensor(weights), **settings.args)
    return built


LOSSES: Mapping[str, Callable[[LossSettings, ClassWeights], nn.Module]] = {
    "cross_entropy": CrossEntropy,
    "dice": _dice,
    "dice_ce": DiceCrossEntropy,
    "focal": _focal,
    "generalised_dice": _generalised_dice,
    "tversky": _tversky,
}

# Overlap is counted per class: a rare one counts as much as a frequent one.
BALANCED_BY_THEMSELVES = ("dice", "generalised_dice", "tversky")


def build_loss(settings: LossSettings, class_weights: ClassWeights) -> nn.Module:
    """Build the loss.

    Args:
        settings: Which, and its arguments.
        class_weights: A weight per label, background first; None where all weigh the same.

    Raises:
        ConfigError: There is no such loss, or it does not take these settings.
    """
    build = pick(LOSSES, settings.name, "loss")
    if class_weights is not None and settings.name in BALANCED_BY_THEMSELVES:
        raise ConfigError(
            f"the loss {settings.name} takes no class weights: it counts every class alike",
            hint="set loss.class_weights: none, or take dice_ce, cross_entropy or focal",
        )
    try:
        return build(settings, class_weights)
    except TypeError as error:
        raise ConfigError(f"loss {settings.name}: {error}") from None


def at_step(loss: nn.Module, step: int) -> None:
    """Tell a loss, and the losses inside it, at which step the training is."""
    for part in loss.modules():
        if isinstance(part, CrossEntropy):
            part.at_step(step)


def _as_tensor(weights: ClassWeights) -> Tensor | None:
    return None if weights is None else torch.tensor(weights)
