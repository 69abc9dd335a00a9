"""What an evaluator's network said of each held-out image, kept until the epoch is measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.inferers import Inferer
from monai.utils import CommonKeys
from torch import Tensor

from diascope.train.learner import Training
from diascope.train.sources import Sample
from diascope.train.validation import MixedPrecision


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One entry per held-out image, in their order.

    Attributes:
        outputs: (channels, ...) of the network, without batch.
        labels: (1, ...) label maps, or (k,) classes of slices.
        cases: Names of the cases.
    """

    outputs: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)

    def attach(self, evaluator: SupervisedEvaluator) -> None:
        """Be filled anew by every run of an evaluator."""

        @evaluator.on(Events.STARTED)  # type: ignore[untyped-decorator]  # ignite is not typed
        def _clear(_: SupervisedEvaluator) -> None:
            for kept in (self.outputs, self.labels, self.cases):
                kept.clear()

        @evaluator.on(Events.ITERATION_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
        def _keep(engine: SupervisedEvaluator) -> None:
            for one in engine.state.output:
                self.outputs.append(one[CommonKeys.PRED].detach().float().cpu())
                self.labels.append(one[CommonKeys.LABEL].cpu())
            self.cases.extend(str(one["case"]) for one in engine.state.batch)


def seeing_evaluator(
    training: Training, samples: Sequence[Sample], inferer: Inferer
) -> tuple[SupervisedEvaluator, Seen]:
    """Build an evaluator of whole volumes, and what it will have seen.

    Args:
        training: What is to be training.
        samples: Whole volumes.
        inferer: Runs the slices of a volume.
    """
    seen = Seen()
    evaluator = SupervisedEvaluator(
        device=training.team.device,
        val_data_loader=DataLoader(list(samples), batch_size=1, num_workers=0),
        network=training.network,
        inferer=MixedPrecision(inferer, training.team.device, training.config),
    )
    seen.attach(evaluator)
    return evaluator, seen
