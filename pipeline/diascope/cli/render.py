"""The text of the command line, made by pure functions."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from diascope.run.planning.plan import Plan
from diascope.run.record import CaseRow

if TYPE_CHECKING:
    from diascope.run.resume import Earlier

_SKIPPED = {"not_an_image", "skipped"}
_MOST_REASONS = 5
MOST_RESUMED = 20
"""So many cases of an earlier run are shown one by one."""

_NO_RESULT = {"failed": "failed", "nothing_to_do": "nothing to do"}


def case_line(row: CaseRow) -> str:
    """Sum a case up in a line: id, what came out, seconds."""
    if row.status in _NO_RESULT:
        outcome = _NO_RESULT[row.status] + (f" ({row.code})" if row.code else "")
    elif row.findings is not None:
        outcome = _count(row.findings, "finding")
    else:
        outcome = "done"
    mark = "  look first" if row.review_first else ""
    return f"{row.case_id}  {outcome:<28} {row.seconds:7.1f} s{mark}"


def reason_lines(rows: Sequence[CaseRow]) -> list[str]:
    """Say why cases failed or had nothing to do, each reason once with the number of its cases."""
    failed = Counter((row.code, row.reason) for row in rows if row.status == "failed")
    idle = Counter(row.reason for row in rows if row.status == "nothing_to_do").most_common()
    lines = [f"{_count(n, 'case')} failed, {code}: {reason}" for (code, reason), n in failed.most_common()]
    lines += [f"{_count(n, 'case')} with nothing to do: {reason}" for reason, n in idle[:_MOST_REASONS]]
    if rest := sum(n for _, n in idle[_MOST_REASONS:]):
        lines.append(f"{_count(rest, 'case')} with nothing to do for other reasons: see cases.csv")
    return lines


def total_line(rows: Sequence[CaseRow], resumed: int) -> str:
    """Count the cases by how they ended."""
    by_status: Counter[str] = Counter(row.status for row in rows)
    parts = [f"{by_status['done']} of {_count(len(rows), 'case')} done"]
    if resumed:
        parts[0] += f" ({resumed} by an earlier run)"
    parts += [f"{by_status[status]} {name}" for status, name in _NO_RESULT.items() if by_status[status]]
    return ", ".join(parts)


def earlier_lines(plan: Plan, earlier: "Earlier") -> list[str]:
    """Say what of a run is done already, and what is done again and why; nothing in a new folder."""
    lines = []
    done, all_cases = len(earlier.reports), len(plan.studies)
    if done:
        rest = len(plan.to_run) - done
        to_do = f"{rest} to do" if rest else "nothing is left to do"
        lines.append(f"resuming: {done} of {_count(all_cases, 'case')} {_were(done)} done by an earlier run, {to_do}")
    if n := len(earlier.outdated):
        lines.append(f"done again: {_count(n, 'case')} whose scans, settings or networks changed since an earlier run")
    if n := len(earlier.failed):
        lines.append(f"tried again: {_count(n, 'case')} that failed in an earlier run")
    return lines


def kept_lines(kept: int) -> list[str]:
    """Say where good results of an earlier run are that this run has no better one for."""
    where = "in history/ in the folder of the case"
    return [f"{_count(kept, 'case')} had a good result before: it is kept {where}"] if kept else []


def reject_lines(plan: Plan) -> list[str]:
    """Count the files that are in no case, by code; images that were refused first."""
    turned_away = [row for row in plan.catalogue.files if row.fate in {"refused", "failed"}]
    why = Counter((row.fate, row.code) for row in turned_away)
    cures = {(row.fate, row.code): row.cure for row in reversed(turned_away)}
    lines = []
    for (fate, code), n in sorted(why.items()):
        lines.append(f"{_count(n, 'file')} {fate}: {code}")
        if cure := cures[fate, code]:
            lines.append(f"  try: {cure}")
    if lines:
        lines.append("  which files: private/inputs.csv in the output folder, by the file_id of rejects.csv")
    skipped = Counter(
        "no image" if row.fate == "not_an_image" else row.code for row in plan.catalogue.files if row.fate in _SKIPPED
    )
    return lines + [f"{_count(n, 'file')} skipped: {why}" for why, n in sorted(skipped.items())]


def _were(n: int) -> str:
    return "was" if n == 1 else "were"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
