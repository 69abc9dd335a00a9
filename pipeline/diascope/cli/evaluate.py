"""`diascope evaluate`: results against the truth, with intervals."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diascope.evaluation.bootstrap import Estimate
    from diascope.evaluation.evaluate import Evaluation
    from diascope.evaluation.learnt import Learnt
    from diascope.evaluation.promises import Promise
    from diascope.evaluation.recalibrate import MissRecalibration, OutlineRecalibration, Recalibration

COMPARISON_FAILED = 1


def evaluate(
    out: Annotated[Path, typer.Argument(help="Output folder of a run.")],
    truth: Annotated[Path, typer.Option("--truth", help="Truth manifest: a csv with case and truth.")],
    config: Annotated[str | None, typer.Option("--config", "-c", help="How to compare: a yaml file.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print evaluation.json.")] = False,
) -> None:
    """Compare the results of a run with the truth: metrics with intervals, nothing dropped."""
    from diascope.config import find_config, load_settings, parse_settings
    from diascope.evaluation.evaluate import as_json as plain
    from diascope.evaluation.evaluate import evaluate as compare
    from diascope.evaluation.evaluate import write_evaluation
    from diascope.evaluation.settings import EvaluationSettings
    from diascope.io.outfolder import OutFolder

    chosen = overrides or []
    settings = (
        load_settings(EvaluationSettings, find_config(config), chosen)
        if config
        else parse_settings(EvaluationSettings, {}, chosen, where="--set")
    )
    found = compare(OutFolder(out), truth, settings)
    write_evaluation(found, out / "evaluation")
    typer.echo(json.dumps(plain(found), indent=1) if as_json else evaluation_text(found))
    for note in found.compared.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"tables: {out / 'evaluation'}", err=as_json)
    _track(out, found)
    if found.compared.problems:
        raise typer.Exit(COMPARISON_FAILED)


def _track(out: Path, found: "Evaluation") -> None:
    from diascope.evaluation.evaluate import scalars
    from diascope.run.tracking.additions import Extra, add_to_batch

    # Rows of single patients with sex and age stay in OUT; figures go.
    extra = Extra(scalars(found), {}, "evaluation", ["evaluation/evaluation.json"])
    add_to_batch(out, extra, lambda text: typer.echo(text, err=True))


def evaluation_text(found: "Evaluation") -> str:
    """Say what the results are worth, a block per network and label."""
    from diascope.evaluation.heatmap_hits import hit_rates

    lines: list[str] = []
    for (bundle, name), label in found.segmentation.items():
        counts = ", ".join(f"{n} {outcome.replace('_', ' ')}" for outcome, n in label.counts.items() if n)
        lines += [f"{bundle}: {name}  ({counts}; {label.distance_unit})", *_metric_lines(label.metrics)]
    for (bundle, name), cls in found.classification.items():
        head = f"{cls.n} images of {cls.patients} patients, {cls.positives} positive; at score {cls.threshold:g}"
        lines += [f"{bundle}: {name}  ({head})", *_metric_lines(cls.metrics)]
    for (bundle, name), cls in found.slices.items():
        head = f"{cls.n} slices of {cls.patients} patients, {cls.positives} positive; at score {cls.threshold:g}"
        lines += [f"{bundle}: {name} in slices  ({head})", *_metric_lines(cls.metrics)]
    for (bundle, name), det in found.detection.items():
        head = f"{det.lesions} lesions in {det.scans} scans, {det.scans_without_lesions} scans without"
        head += f"; at score {det.threshold:g}"
        lines += [f"{bundle}: {name} as lesions  ({head})", *_metric_lines(det.metrics)]
    for (bundle, name, method), rate in hit_rates([row.hit for row in found.compared.maps]).items():
        lines.append(f"{bundle}: heatmaps of {name} by {method}")
        share = f"{rate.hits / rate.maps:.3f} ({rate.low:.3f} to {rate.high:.3f})"
        lines.append(f"  {'highest place in the truth':<40} {share}, {rate.hits} of {rate.maps}")
    lines += _learnt_lines(found.learnt)
    lines += [line for promise in found.promises for line in _promise_lines(promise)]
    compared = found.compared
    if compared.problems:
        lines.append(f"{len(compared.problems)} truths could not be compared:")
        lines += [f"  line {one.line}: {one.code}: {one.reason}" for one in compared.problems]
    if compared.without_truth:
        lines.append(f"{len(compared.without_truth)} cases have no truth")
    return "\n".join(lines)


def _learnt_lines(learnt: "Learnt") -> list[str]:
    lines: list[str] = []
    for what, classes in (("", learnt.images), (" in slices", learnt.slices)):
        for (bundle, name), one in classes.items():
            lines += [f"{bundle}: {name}{what}, calibrated on {one.patients} patients", *_calibration_lines(one)]
    for bundle, outline in learnt.outlines.items():
        lines += [
            f"{bundle}: confidence in outlines, calibrated on {outline.patients} patients",
            *_outline_lines(outline),
        ]
    for (bundle, name), missed in learnt.misses.items():
        lines += [f"{bundle}: missed volume of {name}, learnt of {missed.patients} patients", *_missed_lines(missed)]
    return lines


def _missed_lines(learnt: "MissRecalibration") -> list[str]:
    if learnt.learnt is None:
        return [f"  not learnt: {learnt.reason}"]
    return [
        f"  drawn from a probability of  {learnt.learnt.threshold:.3f}, for at most {learnt.learnt.bound:g} missed",
        f"  missed before, on patients that only check  {learnt.before}",
        f"  missed from such a threshold                {learnt.after}",
    ]


def _calibration_lines(learnt: "Recalibration") -> list[str]:
    if learnt.learnt is None:
        return [f"  not calibrated: {learnt.reason}"]
    return [
        f"  temperature                              {learnt.learnt.temperature:.3f}",
        f"  ece before, on patients that only check  {learnt.before['ece']}",
        f"  ece after                                {learnt.after['ece']}",
        f"  coverage of the conformal sets           {learnt.coverage}",
    ]


def _outline_lines(learnt: "OutlineRecalibration") -> list[str]:
    if learnt.learnt is None:
        return [f"  not calibrated: {learnt.reason}"]
    return [
        f"  distance from Dice before, on patients that only check  {learnt.before}",
        f"  distance from Dice after                                {learnt.after}",
    ]


def _promise_lines(promise: "Promise") -> list[str]:
    asked = "covered, promised at least" if promise.kind == "coverage" else "of the volume missed, promised at most"
    broken = "  NOT KEPT" if promise.is_broken else ""
    lines = [f"{promise.bundle}: {promise.name}: {promise.seen} {asked} {promise.promised:g}{broken}"]
    for attribute, groups in promise.by_group.items():
        lines += [f"  {f'{attribute} {group}':<40} {seen}" for group, seen in groups.items()]
    return lines


def _metric_lines(metrics: "Mapping[str, Estimate]") -> list[str]:
    return [f"  {name:<40} {estimate}" for name, estimate in metrics.items()]
