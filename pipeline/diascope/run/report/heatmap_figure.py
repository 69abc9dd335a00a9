"""How far the heatmaps of a batch can be trusted, as a figure for MLflow: no pixel of a patient is in it."""

import io
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from diascope.findings import Trust
from diascope.run.report.heatmap_table import CHECKS, HeatmapSummary

# Okabe and Ito's palette: told apart by people who do not see red and green.
COLOURS: dict[Trust, str] = {
    "supported": "#009E73",
    "doubtful": "#E69F00",
    "unsupported": "#D55E00",
    "unchecked": "#BBBBBB",
}
WIDTH_INCH = 9.0
ROW_INCH = 0.5

# Numbers that mean the same for every network, so that they can share an axis from 0 to 1.
SHOWN = ("depends_on_weights", "deletion_gain_over_random", "insertion_gain_over_random", "energy_outside_body")


def heatmap_figure(summaries: Sequence[HeatmapSummary]) -> bytes:
    """Draw the verdicts of each network, target and method, and the numbers behind them.

    Args:
        summaries: At least one.

    Returns:
        A PNG; the same summaries give the same bytes.
    """
    figure = Figure(figsize=(WIDTH_INCH, 1.4 + ROW_INCH * len(summaries)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    counts, numbers = figure.subplots(1, 2, width_ratios=[3, 4])
    rows = [-at for at in range(len(summaries))]
    left = [0] * len(summaries)
    for trust, colour in COLOURS.items():
        widths = [one.trusts[trust] for one in summaries]
        counts.barh(rows, widths, left=left, color=colour, label=trust, height=0.6)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    counts.set_yticks(rows, [f"{one.bundle}\n{one.target}, {one.method}" for one in summaries], fontsize=7)
    counts.set_xlabel("maps", fontsize=8)
    counts.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    for name, marker in zip(SHOWN, "os^D", strict=True):
        known = [(one.means[name], row) for one, row in zip(summaries, rows, strict=True) if name in one.means]
        if known:
            numbers.plot(*zip(*known, strict=True), marker, label=CHECKS[name], markersize=5)
    numbers.axvline(0, color="#888888", linewidth=0.8)
    numbers.set_yticks(rows, [""] * len(rows))
    numbers.set_ylim(counts.get_ylim())
    numbers.set_xlabel("mean over the maps that were asked", fontsize=8)
    if numbers.lines[:-1]:
        numbers.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
