"""What is explained, as a module that gives one number per window: Captum's forward function."""

from collections.abc import Sequence

import torch
from torch import nn

from diascope.errors import ConfigError
from diascope.explain.boxes import Anchor, AnchoredDetector, Box, anchor_logits
from diascope.explain.request import ExplainRequest, ScoresBox


class Subject(nn.Module):
    """One answer of a network, as one number per window; it counts the windows that it was shown."""

    def __init__(self, network: nn.Module, name: str) -> None:
        """Hold the network.

        Args:
            network: In evaluation mode.
            name: Of what is explained, for messages.
        """
        super().__init__()
        self.network = network
        self.name = name
        self.forwards = 0

    def forward(self, windows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Score windows.

        Args:
            windows: (n, c, ...).
            weights: (n, ...) as in `Windows`.

        Returns:
            (n,) scores.
        """
        self.forwards += len(windows)
        return self.score(windows, weights)

    def score(self, windows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Score windows, see `forward`.

        Args:
            windows: (n, c, ...).
            weights: (n, ...) as in `Windows`.
        """
        raise NotImplementedError


class ChannelScore(Subject):
    """The logit of a class, or the mean logit of a label over voxels that were fixed beforehand."""

    def __init__(self, network: nn.Module, name: str, channel: int) -> None:
        """Hold the network and the channel of its output."""
        super().__init__(network, name)
        self.channel = channel

    def score(self, windows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Weigh the channel's logits and add them up; see `Subject.forward`.

        Args:
            windows: (n, c, ...).
            weights: (n, ...) as in `Windows`.
        """
        logits = self.network(windows)
        if isinstance(logits, tuple | list):
            logits = logits[0]
        if not 0 <= self.channel < logits.shape[1]:
            raise ConfigError(
                f"{self.name} is channel {self.channel}, but the network has {logits.shape[1]}: 0 to "
                f"{logits.shape[1] - 1}",
                hint="explain a target that the network has",
                code="unknown_target",
            )
        chosen: torch.Tensor = logits[:, self.channel]
        if chosen.shape != weights.shape:
            raise ConfigError(
                f"the network answers with shape {tuple(logits.shape)}, which does not fit the weights "
                f"{tuple(weights.shape)}",
                hint="ask as the network answers: `segment` for voxels, `classify` for one number per class",
                code="unfit_output",
            )
        return (chosen * weights).flatten(1).sum(1) if chosen.ndim > 1 else chosen * weights


class AnchorScore(Subject):
    """What one anchor of a detector says of one class."""

    def __init__(self, detector: nn.Module, name: str, channel: int, anchor: Anchor) -> None:
        """Hold the detector, the class and the anchor."""
        super().__init__(detector, name)
        self.channel = channel
        self.anchor = anchor

    def score(self, windows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Ask the anchor; see `Subject.forward`.

        Args:
            windows: (n, c, ...), as large as the detector wants them.
            weights: (n,) ones.
        """
        detector: AnchoredDetector = self.network  # type: ignore[assignment]  # looked at when it was made
        return anchor_logits(detector, windows)[:, self.anchor.index, self.channel] * weights


class BoxScore(Subject):
    """The score of one box, of a detector that can say it itself."""

    def __init__(self, detector: nn.Module, name: str, box: Box) -> None:
        """Hold the detector, which must have `score_of`, and the box."""
        super().__init__(detector, name)
        if not callable(getattr(detector, "score_of", None)):
            raise ConfigError(
                f"a {type(detector).__name__} cannot score one box, so {name} cannot be explained",
                hint="give the detector anchors as MONAI's RetinaNet has, or a method score_of(images, box)",
                code="unfit_output",
            )
        self.box = box

    def score(self, windows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Ask the detector; see `Subject.forward`.

        Args:
            windows: (n, c, ...).
            weights: (n,) ones.
        """
        detector: ScoresBox = self.network  # type: ignore[assignment]  # looked at when it was made
        return detector.score_of(windows, self.box) * weights


class MeanScore(Subject):
    """What the members of an ensemble say, on average."""

    def __init__(self, members: Sequence[Subject]) -> None:
        """Hold the members' own scores."""
        super().__init__(nn.ModuleList(members), members[0].name)
        self.members = tuple(members)

    def score(self, windows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Average the members' scores; see `Subject.forward`.

        Args:
            windows: (n, c, ...).
            weights: (n, ...) as in `Windows`.
        """
        return torch.stack([member(windows, weights) for member in self.members]).mean(0)


def subject_of(network: nn.Module, request: ExplainRequest) -> Subject:
    """Make the module that gives the number which a request wants explained."""
    if request.anchor is not None:
        return AnchorScore(network, request.target_name, request.target, request.anchor)
    if request.task == "detect" and request.box is not None:
        return BoxScore(network, request.target_name, request.box)
    return ChannelScore(network, request.target_name, request.target)
