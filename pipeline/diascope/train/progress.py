"""What a training tells while it runs: a bar with the time left, and a log per epoch."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

# The time left is guessed from this long: a validation now and then must not frighten.
GUESSED_FROM_SECONDS = 300.0


class ProgressBar:
    """A bar with the time left on a terminal; nothing where there is none."""

    def __init__(self, total_steps: int, first: int, console: Console | None = None) -> None:
        """Know the end, and the step at which this run begins; None for the console shows nothing."""
        self._progress: Progress | None = None
        if console and console.is_terminal:
            self._progress = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]:.3f}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console,
                speed_estimate_period=GUESSED_FROM_SECONDS,
            )
            self._task = self._progress.add_task("training", total=total_steps, completed=first, loss=math.nan)

    def __enter__(self) -> Self:
        """Take the terminal."""
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it is, and give the terminal back."""
        if self._progress:
            self._progress.stop()

    def show(self, step: int, loss: float) -> None:
        """Show where the training stands."""
        if self._progress:
            self._progress.update(self._task, completed=step, loss=loss)


class EpochLog:
    """A line of json per epoch; epochs that a resumed run repeats are replaced."""

    def __init__(self, target: Path, begun: int) -> None:
        """Keep the lines up to epoch `begun`, after which the run continues."""
        self.target = target
        kept = [line for line in read_log(target) if line["epoch"] <= begun]
        self.seconds_before = kept[-1]["seconds"] if kept else 0.0
        target.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Append an epoch."""
        with self.target.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"epoch": epoch, **metrics}) + "\n")
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        log.info("epoch %d: %s", epoch, shown)


def read_log(source: Path) -> list[dict[str, float]]:
    """Read the log of a training; a line cut short by a kill is left out."""
    if not source.is_file():
        return []
    lines = []
    for text in source.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines
