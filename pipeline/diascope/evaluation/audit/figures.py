"""Plots a clinician can read, as SVG that needs nothing from outside."""

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diascope.evaluation.audit.result import AuditResult, Group
from diascope.evaluation.froc import FP_PER_SCAN

# Okabe and Ito's palette: told apart by people who do not see red and green.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "os^DvP*X"

WIDTH_INCH = 7.0
ROW_INCH = 0.21


def forest_plot(result: AuditResult, metric: str) -> str:
    """Draw every group's value with its interval, under its attribute; the whole is the dashed line.

    Hollow: too few patients to be judged.
    """
    rows = _forest_rows(result, metric)
    figure, axes = _figure(len(rows) * ROW_INCH + 0.8)
    for at, (_, group) in enumerate(rows):
        if group is not None:
            _forest_row(axes, -at, group, metric)
    whole = result.overall[metric].value
    if whole is not None:
        axes.axvline(whole, color="#444444", linestyle="--", linewidth=0.8)
    axes.set_yticks([-at for at in range(len(rows))], [label for label, _ in rows], fontsize=8)
    for tick, (_, group) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if group is None else "normal")
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.set_xlabel(f"{metric.replace('_', ' ')}, with its 95 % interval", fontsize=8)
    return _svg(figure)


def calibration_plot(result: AuditResult, attribute: str) -> str:
    """Draw what was promised against what came, for each group of an attribute."""
    figure, axes = _figure(3.6)
    axes.plot([0, 1], [0, 1], color="#888888", linestyle="--", linewidth=0.8)
    groups = [one for one in _of(result, attribute) if len(one.calibration) > 1]
    for at, group in enumerate(groups):
        promised, came, _ = zip(*group.calibration, strict=True)
        axes.plot(promised, came, label=f"{group.name} ({group.rows:,})", **_style(at))
    axes.set_xlabel("score", fontsize=8)
    axes.set_ylabel("share that is positive", fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _legend(axes, groups)
    return _svg(figure)


def froc_plot(result: AuditResult, attribute: str) -> str:
    """Draw sensitivity against false positives per scan, for each group of an attribute."""
    figure, axes = _figure(3.2)
    names = [f"sensitivity_at_{rate:g}_fp" for rate in FP_PER_SCAN]
    groups = [one for one in _of(result, attribute) if all(one.metrics[n].value is not None for n in names)]
    for at, group in enumerate(groups):
        axes.plot(FP_PER_SCAN, [group.metrics[n].value or 0.0 for n in names], label=group.name, **_style(at))
    axes.set_xscale("log", base=2)
    axes.set_xticks(FP_PER_SCAN, ["1/8", "1/4", "1/2", "1", "2", "4", "8"], fontsize=8)
    axes.set_ylim(0, 1)
    axes.set_xlabel("false positives per scan", fontsize=8)
    axes.set_ylabel("sensitivity", fontsize=8)
    _legend(axes, groups)
    return _svg(figure)


def trend_plot(result: AuditResult, metric: str) -> str:
    """Draw a metric over earlier audits and this one, each with its interval, and its worst group."""
    figure, axes = _figure(2.6)
    points = [(at, one.overall[metric]) for at, one in enumerate(result.trend) if metric in one.overall]
    known = [(at, found) for at, found in points if found.value is not None]
    for at, found in known:
        if found.low is not None and found.high is not None:
            axes.plot([at, at], [found.low, found.high], color=COLOURS[0], linewidth=1.4)
    axes.plot([at for at, _ in known], [found.value or 0.0 for _, found in known], label="everybody", **_style(0))
    worst = [
        (at, group)
        for at, one in enumerate(result.trend)
        for group in sorted((w for w in one.worst if w.metric == metric), key=lambda w: -(w.gap or 0.0))[:1]
    ]
    for at, group in worst:
        axes.annotate(
            f"{group.attribute}: {group.group}",
            (at, group.value),
            fontsize=7,
            xytext=(6, -9),
            textcoords="offset points",
            color=COLOURS[1],
        )
    axes.plot(
        [at for at, _ in worst],
        [group.value for _, group in worst],
        label="worst group",
        linestyle="none",
        **{**_style(1), "linewidth": 0},
    )
    axes.set_xticks(range(len(result.trend)), [one.name for one in result.trend], fontsize=8)
    axes.set_xlim(-0.3, len(result.trend) - 0.3)
    axes.set_ylabel(metric.replace("_", " "), fontsize=8)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _svg(figure)


def _forest_rows(result: AuditResult, metric: str) -> list[tuple[str, Group | None]]:
    rows: list[tuple[str, Group | None]] = []
    exploratory = {one.attribute for one in result.comparisons if one.is_exploratory}
    last = ""
    for group in result.groups:
        if group.attribute in exploratory:
            continue
        if group.attribute != last:
            rows.append((group.attribute.replace("_", " "), None))
            last = group.attribute
        rows.append((f"{group.name}  (n {group.behind.get(metric, 0):,})" if group.rows else group.name, group))
    return rows


def _forest_row(axes: Axes, y: float, group: Group, metric: str) -> None:
    found = group.metrics[metric]
    if found.value is None:
        axes.text(0.01, y, found.reason, transform=axes.get_yaxis_transform(), fontsize=7, color="#666666", va="center")
        return
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [y, y], color=COLOURS[0], linewidth=1.4)
    is_judged = group.is_sufficient.get(metric, False)
    axes.plot(
        [found.value], [y], "o", markersize=5, color=COLOURS[0], markerfacecolor=COLOURS[0] if is_judged else "white"
    )


def _of(result: AuditResult, attribute: str) -> list[Group]:
    return [group for group in result.groups if group.attribute == attribute]


def _style(at: int) -> dict[str, Any]:
    return {
        "color": COLOURS[at % len(COLOURS)],
        "marker": MARKERS[at % len(MARKERS)],
        "markersize": 4,
        "linewidth": 1.2,
    }


def _legend(axes: Axes, groups: Sequence[Group]) -> None:
    if groups:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    else:
        axes.text(0.5, 0.5, "no group is large enough", transform=axes.transAxes, ha="center", fontsize=8)


def _figure(height_inch: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_INCH, height_inch), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    # The same audit gives the same bytes: no date, and ids from a fixed salt.
    with mpl.rc_context({"svg.hashsalt": "diascope", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*" height="[^"]*"|(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"',
        r"\1\2\3",
        text,
        count=1,
    )
