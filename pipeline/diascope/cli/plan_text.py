"""What `diascope run --plan` prints, and what a run prints before it starts.

A plan is read by the person who has the scans, on a terminal: there a study is shown
with its folder and a series with its number and description, or nobody would know
which is meant. They are identifiers: they go to stdout of this one command and nowhere
else, neither to a log nor to a file, and `--json` leaves them out.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diascope.geometry import Grid
from diascope.io.series import Catalogue, Series
from diascope.run.planning.estimate import Estimate
from diascope.run.planning.plan import Plan, StudyPlan
from diascope.run.planning.speeds import Span

_LONGEST_DESCRIPTION = 40
_MOST_FILES = 10
_NO_IMAGE = ("failed", "refused", "skipped", "not_an_image")


def plan_text(plan: Plan, expected: Estimate, done: int = 0) -> str:
    """Say in a few lines what will run, what not, and what it will take.

    Args:
        plan: Of the run.
        expected: How long it will take.
        done: Cases that an earlier run in the same folder has done.
    """
    earlier = f"{done} done by an earlier run, " if done else ""
    files = Counter(row.fate for row in plan.catalogue.files)
    used = files.pop("used", 0)
    return "\n".join(
        [
            f"{_count(len(plan.catalogue.files), 'file')}: {used} in images"
            + "".join(f", {n} {fate.replace('_', ' ')}" for fate, n in sorted(files.items())),
            f"{_count(len(plan.studies), 'case')}: {earlier}{len(plan.to_run) - done} to run,"
            f" {len(plan.nothing_to_do)} nothing to do, {len(plan.refused)} refused",
            f"networks: {', '.join(bundle.name for bundle in plan.bundles)}",
            f"disk: about {size_text(plan.disk_bytes)} (estimate)",
            _time_line(expected),
        ]
    )


def study_lines(plan: Plan, expected: Estimate, inputs: Sequence[Path]) -> list[str]:
    """Say of each study what networks are given, and why not the rest; for the terminal only.

    Args:
        plan: Of the run.
        expected: How long it will take.
        inputs: As they were typed.
    """
    places = places_of(plan.catalogue, inputs)
    lines = ["", *(f"  {line}" for line in expected.basis)]
    # In the order of the folders, as their owner knows them.
    for study in sorted(plan.studies, key=lambda one: places.get(one.case_id, "")):
        lines += ["", *_lines_of(study, expected, places.get(study.case_id, ""))]
    return lines + _lines_of_files(plan.catalogue, inputs)


def plan_facts(plan: Plan, expected: Estimate) -> list[dict[str, Any]]:
    """Give the same of each study to a machine, without paths and free text."""
    return [
        {
            "case_id": study.case_id,
            "outcome": _outcome(study),
            "seconds": span.likely if (span := expected.seconds.get(study.case_id)) else None,
            "seconds_range": [span.low, span.high] if span else None,
            "disk_bytes": study.disk_bytes,
            "chosen": {choice.bundle: list(choice.chosen_ids) for choice in study.choices},
            "not_chosen": {choice.bundle: dict(choice.why_not) for choice in study.choices},
            "refused": {image.image_id: image.failure.reason for image in study.refused},
        }
        for study in plan.studies
    ]


def places_of(found: Catalogue, inputs: Sequence[Path]) -> dict[str, str]:
    """Name the folder of each case, from the input as it was typed."""
    paths: dict[str, list[str]] = {}
    for row in found.files:
        if row.case_id:
            paths.setdefault(row.case_id, []).append(row.path)
    typed = _typed(inputs)
    return {case_id: _as_typed(_common(rows), typed) for case_id, rows in paths.items()}


def duration_text(seconds: float) -> str:
    """Spell a time that is an estimate: no more digits than it deserves."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def span_text(span: Span) -> str:
    """Spell a time with how sure it is."""
    low, high = duration_text(span.low), duration_text(span.high)
    if low == high:
        return f"about {low}"
    (less, unit), (more, its_unit) = low.split(" "), high.split(" ")
    return f"{less} to {more} {unit}" if unit == its_unit else f"{low} to {high}"


def size_text(count_bytes: int) -> str:
    """Spell a size on disk."""
    return f"{count_bytes / 1e6:.0f} MB" if count_bytes < 1e9 else f"{count_bytes / 1e9:.1f} GB"


def _time_line(expected: Estimate) -> str:
    total = expected.total
    if total is None:
        return "time: not known before the networks have run here once; --plan tries one window of each"
    if not expected.seconds:
        return "time: nothing is left to run"
    return f"time: {span_text(total)}, likely {duration_text(total.likely)} (estimate)"


def _lines_of(study: StudyPlan, expected: Estimate, place: str) -> list[str]:
    known = {series.image_id: series for series in study.series}
    span = expected.seconds.get(study.case_id)
    time = [span_text(span)] if span is not None else []
    cost = [*time, size_text(study.disk_bytes)] if study.chosen else []
    lines = ["  ".join([place or study.case_id, _outcome(study), *cost]), f"  {study.case_id}"]
    for choice in study.choices:
        channels = [f" {name}" for name in choice.channels] or [""] * len(choice.chosen)
        lines += [
            f"  {choice.bundle}{channel}: {_image_line(series)}"
            for channel, series in zip(channels, choice.chosen, strict=True)
        ]
        if not choice.chosen:
            lines.append(f"  {choice.bundle}: nothing to do")
        lines += [f"    not {_image_line(known[image_id])}\n      {reason}" for image_id, reason in choice.why_not]
    lines += [
        f"  refused {image.image_id} ({_count(image.files, 'file')}): {image.failure.reason}" for image in study.refused
    ]
    return lines


def _lines_of_files(found: Catalogue, inputs: Sequence[Path]) -> list[str]:
    """Name the files that give no image, below their reason: what was refused with its cure, then what was left out."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for row in found.files:
        if row.fate in _NO_IMAGE:
            groups.setdefault((row.fate, row.code, row.reason, row.cure), []).append(row.path)
    typed, lines = _typed(inputs), []
    for (fate, code, reason, cure), paths in sorted(groups.items(), key=lambda one: _NO_IMAGE.index(one[0][0])):
        lines += ["", f"{_count(len(paths), 'file')} {fate.replace('_', ' ')}: {code}: {reason}"]
        lines += [f"  try: {cure}"] if cure else []
        lines += [f"  {_as_typed(path, typed)}" for path in sorted(paths)[:_MOST_FILES]]
        lines += [f"  and {len(paths) - _MOST_FILES} more"] if len(paths) > _MOST_FILES else []
    return lines


def _outcome(study: StudyPlan) -> str:
    if study.chosen:
        return "to run"
    return "nothing to do" if study.series else "refused"


def _image_line(series: Series) -> str:
    parts = [series.image_id, *_name(series), *(str(one) for one in (series.facts.modality, series.facts.plane) if one)]
    if series.space is not None:
        volumes = f" x {series.volumes}" if series.volumes > 1 else ""
        parts.append(" x ".join(map(str, series.space.shape)) + volumes)
    if isinstance(series.space, Grid):
        parts.append(" x ".join(f"{step:.2g}" for step in series.space.spacing_mm) + " mm")
    return "  ".join(parts)


def _name(series: Series) -> list[str]:
    number = series.selection.get("series_number", "")
    words = series.selection.get("series_description") or series.selection.get("protocol_name") or ""
    if not words and series.reader != "dicom":
        words = series.selection.get("file_name", "")
    shown = "".join(letter for letter in words if letter.isprintable())[:_LONGEST_DESCRIPTION]
    return [part for part in (f"series {number}" if number else "", shown) if part]


def _common(paths: Sequence[str]) -> str:
    if len(paths) == 1:
        return paths[0]
    # A member stands behind its archive as behind a folder.
    folder = os.path.commonpath([path.replace("!", "!/") for path in paths])
    return folder.replace("!/", "!")


def _typed(inputs: Sequence[Path]) -> dict[str, str]:
    return {os.path.abspath(path): str(path) for path in inputs}  # noqa: PTH100 - as the walk spells them


def _as_typed(path: str, typed: Mapping[str, str]) -> str:
    for full in sorted(typed, key=len, reverse=True):
        if path == full or path.startswith((f"{full}/", f"{full}!")):
            return typed[full] + path[len(full) :]
    return path


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
