"""What an evaluator's network said of each held-out image, kept until the epoch is measured."""

from dataclasses import dataclass, field

from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.utils import CommonKeys
from torch import Tensor


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
