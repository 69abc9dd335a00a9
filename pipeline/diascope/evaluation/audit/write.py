"""An audit as files: audit.json, csv tables, audit.html, and the section of a model card."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diascope.evaluation.audit import figures, words
from diascope.evaluation.audit.publish import SUPPRESSED
from diascope.evaluation.audit.report import audit_html
from diascope.evaluation.audit.result import FORMAT, AuditResult
from diascope.evaluation.audit.reviews import ReviewFigure
from diascope.evaluation.bootstrap import Estimate
from diascope.evaluation.drift import Moved
from diascope.io.outfolder import output_errors, write_atomic


def write_audit(result: AuditResult, folder: Path) -> None:
    """Write everything into a folder; made if need be."""
    with output_errors("the audit"):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "audit.json", audit_json(result))
    write_atomic(folder / "groups.csv", _csv(_group_rows(result)))
    write_atomic(folder / "gaps.csv", _csv(_gap_rows(result)))
    if result.confounding:
        write_atomic(folder / "confounders.csv", _csv([asdict(one) for one in result.confounding]))
    if result.rulings:
        write_atomic(folder / "gate.csv", _csv([asdict(one) for one in result.rulings]))
    if result.reviews is not None:
        write_atomic(folder / "reviews.csv", _csv([_review_row(one) for one in result.reviews.figures]))
    if result.trend:
        write_atomic(folder / "trend.csv", _csv(_trend_rows(result)))
    if result.drift:
        write_drift(result.drift, folder)
    write_atomic(folder / "audit.html", audit_html(result))
    for name, svg in audit_figures(result).items():
        write_atomic(folder / f"{name}.svg", _alone(svg))
    write_atomic(folder / "model_card.md", model_card(result))


def write_drift(moved: Sequence[Moved], folder: Path) -> None:
    """Write what moved against a reference batch: drift.csv, and drift.json with the words."""
    with output_errors("the audit"):
        folder.mkdir(parents=True, exist_ok=True)
    rows = [asdict(one) for one in moved]
    write_atomic(folder / "drift.csv", _csv(rows))
    write_atomic(folder / "drift.json", json.dumps({"format": FORMAT, "moved": rows}, indent=1, allow_nan=False) + "\n")


def drift_scalars(moved: Sequence[Moved]) -> dict[str, float]:
    """Give how far each column moved by flat names, for tracking."""
    found = {f"drift.psi.{_flat(one.name)}": one.psi for one in moved if one.psi is not None}
    found |= {f"drift.p_holm.{_flat(one.name)}": one.p_holm for one in moved}
    return {**found, "drift.moved": float(sum(one.has_moved for one in moved))}


def audit_figures(result: AuditResult) -> dict[str, str]:
    """Draw the report's figures as files of their own, by name without suffix."""
    primary = words.primary_metrics(result)
    found = {f"forest_{name}": figures.forest_plot(result, name) for name in primary}
    attributes = dict.fromkeys(one.attribute for one in result.comparisons if not one.is_exploratory)
    draw = {"classification": figures.calibration_plot, "detection": figures.froc_plot}.get(result.task)
    if draw is not None:
        kind = "calibration" if result.task == "classification" else "froc"
        found |= {f"{kind}_{_flat(name)}": draw(result, name) for name in attributes}
    if result.trend:
        found |= {f"trend_{name}": figures.trend_plot(result, name) for name in primary}
    return found


def audit_json(result: AuditResult) -> str:
    """Give the audit as the text of audit.json; the same audit gives the same bytes."""
    return json.dumps(asdict(result), indent=1, allow_nan=False, default=str) + "\n"


def audit_scalars(result: AuditResult) -> dict[str, float]:
    """Give headline and worst-group figures and gaps by flat names, for tracking."""
    found = {f"audit.{name}": one.value for name, one in result.overall.items() if one.value is not None}
    for one in result.comparisons:
        worst = one.of_worst()
        if one.is_exploratory or worst is None or worst.value is None:
            continue
        name = f"audit.{one.metric}.{one.attribute}"
        found[f"{name}.worst"] = worst.value
        if worst.gap is not None:
            found[f"{name}.gap"] = worst.gap
        if one.range.value is not None:
            found[f"{name}.range"] = one.range.value
        if one.p_holm is not None:
            found[f"{name}.p_holm"] = one.p_holm
    found.update({f"audit.probe_auc.{one.attribute}": one.auc for one in result.probes if one.auc is not None})
    found.update({f"audit.equalised_odds.{name}": value for name, value in result.equalised_odds.items()})
    if result.reviews is not None:
        found.update(
            {
                f"audit.reviews.{one.metric}.{_flat(one.read)}": one.value.value
                for one in result.reviews.figures
                if not one.attribute and one.value.value is not None
            }
        )
    return found | (drift_scalars(result.drift) if result.drift else {})


def audit_tags(result: AuditResult) -> dict[str, str]:
    """Give what a tracking run is tagged with."""
    return {
        "audit.verdict": result.verdict,
        "audit.plan_sha256": result.settings_sha256,
        "audit.table_sha256": result.table_sha256,
        "audit.registered": result.registration.registered or "no",
        "audit.simulated": str(result.is_simulated).lower(),
    }


def model_card(result: AuditResult) -> str:
    """Write the fairness section of a model card, in Markdown."""
    lines = [
        "## Performance by group",
        "",
        f"**{result.verdict}**: {words.headline(result)}",
        "",
        words.subject(result),
        "",
    ]
    lines += [f"- {line}" for line in (*words.overall(result), *words.findings(result))]
    lines += ["", *_card_table(result)]
    if missing := words.needed(result):
        lines += ["", "Too few patients to judge (there, of so many that are needed):", ""]
        lines += [f"- {line}" for line in missing]
    if said := words.reviews(result):
        lines += ["", "What reviewers said (no independent truth):", "", *(f"- {line}" for line in said)]
    lines += [
        "",
        f"Plan `{result.settings_sha256[:16]}`, "
        + (
            f"registered {result.registration.registered}"
            if result.registration.registered
            else "not registered beforehand"
        )
        + ".",
    ]
    return "\n".join(lines) + "\n"


def _card_table(result: AuditResult) -> list[str]:
    primary = words.primary_metrics(result)
    attributes = dict.fromkeys(one.attribute for one in result.comparisons if not one.is_exploratory)
    rows = [
        f"| {group.attribute} {group.name} | {group.patients or '–'} | "
        + " | ".join(_in_cell(group.metrics[name]) for name in primary)
        + " |"
        for group in result.groups
        if group.attribute in attributes
    ]
    if not rows:
        return []
    head = ["group", "patients", *(name.replace("_", " ") for name in primary)]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows]


def _in_cell(found: Estimate) -> str:
    return "–" if found.reason == SUPPRESSED else str(found)


def _group_rows(result: AuditResult) -> list[dict[str, Any]]:
    rows = []
    for group in result.groups:
        for metric, found in group.metrics.items():
            rows.append(
                {
                    "attribute": group.attribute,
                    "group": group.name,
                    "rows": group.rows or "",
                    "patients": group.patients or "",
                    "metric": metric,
                    **asdict(found),
                    "is_sufficient": group.is_sufficient.get(metric, ""),
                    "at_common_prevalence": group.prevalence_matched.get(metric, ""),
                }
            )
    return rows


def _gap_rows(result: AuditResult) -> list[dict[str, Any]]:
    return [
        {
            "attribute": one.attribute,
            "metric": one.metric,
            **asdict(gap),
            "is_worst": gap.group == one.worst,
            "p_holm": one.p_holm,
            "p_bh": one.p_bh,
            "is_exploratory": one.is_exploratory,
        }
        for one in result.comparisons
        for gap in one.groups
    ]


def _review_row(one: ReviewFigure) -> dict[str, Any]:
    return {"read": one.read, "attribute": one.attribute, "group": one.group, "metric": one.metric, **asdict(one.value)}


def _trend_rows(result: AuditResult) -> list[dict[str, Any]]:
    return [
        {
            "audit": point.name,
            "verdict": point.verdict,
            "patients": point.patients,
            "same_plan": point.same_plan,
            "metric": metric,
            **asdict(found),
            "p_since_before": point.p.get(metric),
        }
        for point in result.trend
        for metric, found in point.overall.items()
    ]


def _flat(name: str) -> str:
    # What MLflow takes in the name of a metric or a file.
    return "".join(letter if letter.isalnum() or letter in "_.-" else "_" for letter in name)


def _alone(svg: str) -> str:
    # On its own a picture needs a size; in the page it has none, so that it fits any width.
    box = svg[svg.index('viewBox="') + 9 :].split('"', 1)[0].split()
    return svg.replace("<svg", f'<svg width="{box[2]}pt" height="{box[3]}pt"', 1)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
