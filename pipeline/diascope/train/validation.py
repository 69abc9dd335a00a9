"""How a training is watched: an evaluator over held-out images, and what it measures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.handlers import MeanDice, from_engine
from monai.inferers import Inferer, SimpleInferer
from monai.transforms import AsDiscreted, Compose
from torch import Tensor

from diascope.train.learner import Training
from diascope.train.settings import TrainConfig
from diascope.train.sources import Sample
from diascope.train.team import Team


class MixedPrecision(Inferer):  # type: ignore[misc]  # MONAI is not typed
    """Another inferer, in bfloat16 where that was asked for; its result is float32.

    MONAI's own `amp` means CUDA. bfloat16 needs no loss scaling, so the same
    code serves both kinds of device.
    """

    def __init__(self, inner: Inferer, device: torch.device, config: TrainConfig) -> None:
        """Wrap an inferer."""
        super().__init__()
        self.inner = inner
        self.device = device
        self.is_enabled = config.precision == "bf16"
        self.memory_format = torch.channels_last if config.channels_last else torch.contiguous_format

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Run the network.

        Args:
            inputs: (b, channels, ...) images.
            network: What is to be run on them.
            args: Passed on to the inner inferer.
            kwargs: Passed on to the inner inferer.
        """

        def lowered(image: Tensor) -> Tensor:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_enabled):
                logits: Tensor = network(image.contiguous(memory_format=self.memory_format))
            return logits.float()

        result: Tensor = self.inner(inputs, lowered, *args, **kwargs)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """How a training is training.

    Attributes:
        evaluator: Runs over the held-out images.
        measures: Reads what it measured, by the name it has in log.jsonl.
        main: The measure by which an epoch is better than another; more is better.
        draws_labels: Whether its output is a label map that can be drawn on the image.
    """

    evaluator: SupervisedEvaluator
    measures: Callable[[], Mapping[str, float]]
    main: str
    draws_labels: bool = False


def watch_labels(
    training: Training, samples: Sequence[Sample], names: Sequence[str], inferer: Inferer | None = None
) -> Watch:
    """Watch label maps by their Dice.

    Args:
        training: What is to be training.
        samples: Dictionaries with `image`, `label` and `case`.
        names: Names of the labels without background.
        inferer: How whole images are fed; None feeds them at once.
    """
    scored = from_engine(["pred", "label"])
    evaluator = SupervisedEvaluator(
        device=training.team.device,
        val_data_loader=loader_of(training.team, samples),
        network=training.network,
        inferer=MixedPrecision(inferer or SimpleInferer(), training.team.device, training.config),
        postprocessing=Compose(
            [
                AsDiscreted(keys="pred", argmax=True, to_onehot=len(names) + 1),
                AsDiscreted(keys="label", to_onehot=len(names) + 1),
            ]
        ),
        key_val_metric={"dice": MeanDice(include_background=False, output_transform=scored)},
        additional_metrics={
            "dice_by_label": MeanDice(include_background=False, output_transform=scored, reduction="mean_batch")
        },
    )

    def measures() -> dict[str, float]:
        # MONAI gives a plain number where there is one label.
        by_label = torch.as_tensor(evaluator.state.metrics["dice_by_label"]).reshape(-1).tolist()
        named = {f"dice_{name}": float(dice) for name, dice in zip(names, by_label, strict=True)}
        return {"dice": float(evaluator.state.metrics["dice"]), **named}

    return Watch(evaluator, measures, "dice", draws_labels=True)


def loader_of(team: Team, samples: Sequence[Sample]) -> DataLoader:
    """Feed held-out images one by one, each to one process of the team; MONAI's metrics gather them."""
    mine = list(samples[team.rank :: team.size]) if len(samples) >= team.size else list(samples)
    return DataLoader(mine, batch_size=1, num_workers=0)
