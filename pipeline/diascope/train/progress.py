"""What a training tells while it runs: a line with the time left, and a log per epoch."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

log = logging.getLogger(__name__)


class ProgressLine:
    """One line on a terminal that is written anew; nothing where there is no terminal."""

    def __init__(self, total_steps: int, stream: TextIO | None = None) -> None:
        """Know the end."""
        self.total_steps = total_steps
        self.stream = stream or sys.stderr
        self.started = time.monotonic()

    def show(self, step: int, first: int, loss: float) -> None:
        """Show where the training stands; `first` is the step at which this run began."""
        if self.stream.isatty():
            seconds = time.monotonic() - self.started
            self.stream.write("\r" + progress_text(step, first, self.total_steps, seconds) + f"  loss {loss:.3f} ")
            self.stream.flush()


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


def progress_text(step: int, first: int, total_steps: int, seconds: float) -> str:
    """Say how far a training is and how long it will still take."""
    done = step - first
    if done <= 0:
        return f"step {step} of {total_steps}"
    left = round(seconds / done * (total_steps - step))
    return f"step {step} of {total_steps}, {left // 3600}:{left % 3600 // 60:02d}:{left % 60:02d} left"
