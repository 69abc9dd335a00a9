"""audit.html: one file without anything from outside; page one in plain words, then figures and tables."""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from diascope import __version__
from diascope.evaluation.audit import figures, words
from diascope.evaluation.audit.checklist import checklist
from diascope.evaluation.audit.publish import SUPPRESSED
from diascope.evaluation.audit.result import AuditResult, Comparison, Group
from diascope.evaluation.bootstrap import Estimate

# More intersections than this are a table, not a page.
INTERSECTIONS_SHOWN = 20

# Groups side by side, next to the column of everybody.
COLUMNS_ON_A4 = 7


def audit_html(result: AuditResult) -> str:
    """Write the report."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(figure=_figure, inline=str, three=_three, p=_p, people=words.people)
    source = resources.files("diascope.evaluation.audit").joinpath("audit.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(_context(result))


def _context(result: AuditResult) -> dict[str, Any]:
    singles = [one for one in result.comparisons if not one.is_exploratory]
    primary = words.primary_metrics(result)
    attributes = list(dict.fromkeys(one.attribute for one in singles))
    curves = _curves(result, attributes)
    return {
        "result": result,
        "headline": words.headline(result),
        "subject": words.subject(result),
        "overall_words": words.overall(result),
        "findings": words.findings(result),
        "not_judged": words.not_judged(result),
        "limits": words.LIMITS_OF_AUDITS,
        "primary": primary,
        "singles": singles,
        "attributes": attributes,
        "tables": [
            (name, table)
            for name in _all_attributes(result)
            for table in _tables([g for g in result.groups if g.attribute == name], result)
        ],
        "forests": {name: figures.forest_plot(result, name) for name in primary},
        "curves": curves,
        "trends": {name: figures.trend_plot(result, name) for name in primary} if result.trend else {},
        "trend_words": words.trend(result),
        "review_words": words.reviews(result),
        "review_rows": [one for one in result.reviews.figures if one.attribute] if result.reviews else [],
        "drift_words": words.drift(result.drift),
        "explanations": [(one, words.explanation(one)) for one in result.confounding],
        "intersections": _widest([one for one in result.comparisons if one.is_exploratory]),
        "checklist": checklist(result),
        "left_out": _left_out(result, has_curves=bool(curves)),
        "version": __version__,
    }


def _all_attributes(result: AuditResult) -> list[str]:
    exploratory = {one.attribute for one in result.comparisons if one.is_exploratory}
    return [name for name in dict.fromkeys(group.attribute for group in result.groups) if name not in exploratory]


def _tables(groups: Sequence[Group], result: AuditResult) -> list[Mapping[str, Any]]:
    # What does not fit on the width of a sheet is cut off by a printer.
    strips = [groups[first : first + COLUMNS_ON_A4] for first in range(0, len(groups), COLUMNS_ON_A4)]
    parts = [f"part {n} of {len(strips)}" for n in range(1, len(strips) + 1)] if len(strips) > 1 else [""]
    return [{"part": part, **_table(strip, groups, result)} for part, strip in zip(parts, strips, strict=True)]


def _table(groups: Sequence[Group], whole: Sequence[Group], result: AuditResult) -> Mapping[str, Any]:
    # The overall column first, so that a reader always has something to compare with.
    names = [name for name in whole[0].metrics if any(group.metrics[name].value is not None for group in whole)]
    rows = [(name, [result.overall[name], *(group.metrics[name] for group in groups)]) for name in names]
    matched = [
        (name, [group.prevalence_matched.get(name) for group in groups])
        for name in ("ppv", "npv", "selection_rate", "brier")
    ]
    return {
        "groups": groups,
        "rows": rows,
        "matched": matched if any(group.prevalence_matched for group in whole) else [],
    }


def _curves(result: AuditResult, attributes: Sequence[str]) -> Mapping[str, str]:
    if result.task == "classification":
        return {name: figures.calibration_plot(result, name) for name in attributes}
    if result.task == "detection":
        return {name: figures.froc_plot(result, name) for name in attributes}
    return {}


def _left_out(result: AuditResult, *, has_curves: bool) -> str:
    """Name the sections that this audit has nothing for, so that no reader of a print looks for a lost page."""
    there = {
        "5 (curves by group)": has_curves,
        "7 (reviewers)": bool(words.reviews(result)),
        "8 (earlier audits)": bool(result.trend),
        "9 (a reference batch)": bool(words.drift(result.drift)),
    }
    return ", ".join(name for name, is_there in there.items() if not is_there)


def _widest(pairs: Sequence[Comparison]) -> list[Comparison]:
    tested = [one for one in pairs if one.p is not None]
    return sorted(tested, key=lambda one: (one.p_bh or 1.0, -(one.range.value or 0.0)))[:INTERSECTIONS_SHOWN]


def _figure(found: Estimate) -> Markup:
    # The interval below the value, or a strip of groups would be too wide for A4.
    if found.value is None:
        return Markup('<span class="quiet">{}</span>').format("–" if found.reason == SUPPRESSED else found.reason)
    value = Markup("{}").format(f"{found.value:.3f}")
    if found.low is None or found.high is None:
        return value
    return value + Markup('<br><span class="quiet">{} to {}</span>').format(f"{found.low:.3f}", f"{found.high:.3f}")


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"
