"""Pictures of a training: its curves, and what it draws on held-out images.

They lie in OUT/pictures and name no case: an image is a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from monai.engines import SupervisedEvaluator
from numpy.typing import NDArray
from torch import Tensor

PICTURES = "pictures"
CURVES = "learning_curves.png"
OVERLAYS = "validation_overlays.png"

# So many held-out images are shown.
SHOWN = 4

COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#17becf")


MOST_NAMED = 12


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """One slice of a held-out image.

    Attributes:
        image: (rows, columns) as the network saw it.
        truth: (rows, columns) label values.
        drawn: (rows, columns) label values of the network.
    """

    image: NDArray[np.float32]
    truth: NDArray[np.int64]
    drawn: NDArray[np.int64]


def draw_curves(log: Sequence[Mapping[str, float]], target: Path) -> None:
    """Draw loss, validation and learning rate over the epochs.

    Args:
        log: Lines of log.jsonl.
        target: The png.
    """
    figure = Figure(figsize=(10, 3.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    loss, validation, rate = figure.subplots(1, 3)
    _curve(loss, log, ["loss"], "training loss")
    known = {"epoch", "loss", "learning_rate", "seconds", "steps"}
    measures = list(dict.fromkeys(name for line in log for name in line if name not in known))
    _curve(validation, log, measures, "validation")
    _curve(rate, log, ["learning_rate"], "learning rate")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)


def draw_overlays(overlays: Sequence[Overlay], target: Path, title: str) -> None:
    """Draw held-out images in a row: the truth dashed, what the network drew as a line.

    Args:
        overlays: The slices.
        target: The png.
        title: Above all.
    """
    figure = Figure(figsize=(2.6 * len(overlays), 3.0), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}: truth dashed, network solid", fontsize=9)
    for number, (axes, one) in enumerate(
        zip(np.ravel(figure.subplots(1, len(overlays))), overlays, strict=True), start=1
    ):
        low, high = np.percentile(one.image, [1, 99])
        # The first array axis runs to the right, the second upwards, as on RAS voxels.
        axes.imshow(one.image.T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower")
        for value in range(1, int(max(one.truth.max(), one.drawn.max())) + 1):
            colour = COLOURS[(value - 1) % len(COLOURS)]
            for values, style in ((one.truth, "--"), (one.drawn, "-")):
                if (values == value).any() and not (values == value).all():
                    axes.contour((values == value).T, [0.5], colors=[colour], linestyles=[style], linewidths=1)
        axes.set_title(f"held-out image {number}", fontsize=8)
        axes.set_axis_off()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)


class OverlayTaker:
    """Takes the slices for the picture while a validation runs."""

    def __init__(self, evaluator: SupervisedEvaluator) -> None:
        """Listen to an evaluator of label maps."""
        self.taken: list[Overlay] = []
        evaluator.add_event_handler(Events.STARTED, self._begin)
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._take)

    def _begin(self, _: SupervisedEvaluator) -> None:
        self.taken = []

    def _take(self, engine: SupervisedEvaluator) -> None:
        for item in engine.state.output:
            if len(self.taken) < SHOWN and torch.as_tensor(item["label"]).ndim >= 3:
                self.taken.append(overlay_of(*(torch.as_tensor(item[key]) for key in ("image", "label", "pred"))))


def overlay_of(image: Tensor, label: Tensor, pred: Tensor) -> Overlay:
    """Cut the slice that shows most of the truth, else of what was drawn.

    Args:
        image: (channels, i, j) or (channels, i, j, k); the middle channel is shown.
        label: (labels + 1, i, j) or (labels + 1, i, j, k) one-hot.
        pred: (labels + 1, i, j) or (labels + 1, i, j, k) one-hot.
    """
    truth, drawn = (np.asarray(values.argmax(0).cpu()) for values in (label, pred))
    shown = np.asarray(image[image.shape[0] // 2].float().cpu())
    if shown.ndim == 3:
        counts = (truth > 0).sum((0, 1))
        counts = counts if counts.any() else (drawn > 0).sum((0, 1))
        at = int(counts.argmax()) if counts.any() else shown.shape[2] // 2
        shown, truth, drawn = shown[..., at], truth[..., at], drawn[..., at]
    return Overlay(shown.astype(np.float32), truth.astype(np.int64), drawn.astype(np.int64))


def _curve(axes: Axes, log: Sequence[Mapping[str, float]], names: Sequence[str], title: str) -> None:
    for name in names:
        seen = [(line["epoch"], line[name]) for line in log if name in line]
        if seen:
            # A key of more lines leaves no room for the curves: the mean, which comes first, keeps its name.
            is_named = len(names) <= MOST_NAMED or name == names[0]
            look: dict[str, Any] = {"label": name} if is_named else {"color": "0.7", "linewidth": 0.6, "zorder": 1}
            axes.plot(*zip(*seen, strict=True), marker="o" if len(seen) < 30 else None, markersize=3, **look)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("epoch", fontsize=8)
    axes.tick_params(labelsize=7)
    if len(names) > 1:
        axes.legend(fontsize=6)
