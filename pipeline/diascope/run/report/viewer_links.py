"""Links from a run's page in MLflow to its cases, slices and findings in the viewer."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from diascope.errors import InputError
from diascope.findings import CaseReport, Prediction, read_report
from diascope.io.outfolder import OutFolder
from diascope.run.report.case_address import case_path
from diascope.run.report.summary import RunSummary

# MLflow cuts a description at 5,000 characters; what the run says of itself stands before the links.
MOST_CHARACTERS = 4200

MOST_FINDINGS = 5


def links_note(out: OutFolder, summary: RunSummary, viewer_url: str) -> str:
    """Write the links as markdown: cases to look at first, then the others, as many as there is room for.

    Args:
        out: The output folder.
        summary: Of the run.
        viewer_url: Where readers reach the viewer; empty if nobody said: then paths are told, to be put behind the
            address that `diascope view` prints.
    """
    order = sorted((row for row in summary.rows if row.status == "done"), key=lambda row: not row.review_first)
    if not order:
        return ""
    base = f"{viewer_url.rstrip('/')}/" if viewer_url else ""
    if base:
        head = f"Review: [worklist]({base}#/worklist). Cases, with their findings:"
    else:
        head = "Review: `diascope view OUT` prints an address; put one of these behind its last `/`:"
    reasons = {doubt.case_id: "; ".join(doubt.reasons) for doubt in summary.doubts}
    lines: list[str] = []
    for row in order:
        line = _line(out, row.case_id, base, reasons.get(row.case_id, ""))
        if sum(map(len, lines)) + len(line) > MOST_CHARACTERS:
            lines.append(f"* and {len(order) - len(lines)} more, in the worklist")
            break
        lines.append(line)
    return "\n".join(["", "", head, "", *lines])


def _line(out: OutFolder, case_id: str, base: str, reason: str) -> str:
    found = [_link(base, case_id, case_path(case_id))]
    with contextlib.suppress(InputError):  # of another format: the case is told, its findings are not
        found += [_link(base, text, path) for text, path in _places(read_report(out.case(case_id) / "case.json"))]
    return "* " + ", ".join(found) + (f" ({reason})" if reason else "")


def _places(report: CaseReport) -> Iterator[tuple[str, str]]:
    """List findings, and the highest slice of each class that is judged slice by slice."""
    findings = report.findings or ()
    for number, one in enumerate(findings[:MOST_FINDINGS], start=1):
        label = one.label.replace("_", " ")
        yield f"{label} {number}", case_path(report.case_id, finding=one.finding_id)
    if len(findings) > MOST_FINDINGS:
        yield f"{len(findings) - MOST_FINDINGS} more findings", case_path(report.case_id)
    shapes = {image.image_id: image.shape for image in report.images}
    for best in _highest_slices(report.predictions or ()):
        shape = shapes.get(best.image_id)
        if shape is not None and best.slice_k is not None:
            at = {"i": shape[0] // 2, "j": shape[1] // 2, "k": best.slice_k}
            text = f"{best.target.replace('_', ' ')}, slice {best.slice_k + 1}"
            yield text, case_path(report.case_id, image=best.image_id, **at)


def _highest_slices(predictions: Sequence[Prediction]) -> Iterable[Prediction]:
    highest: dict[tuple[str, str, str], Prediction] = {}
    for one in predictions:
        key = (one.bundle, one.image_id, one.target)
        if one.slice_k is not None and (key not in highest or one.score > highest[key].score):
            highest[key] = one
    return highest.values()


def _link(base: str, text: str, path: str) -> str:
    # A bracket in a label would end the link.
    plain = text.replace("[", "(").replace("]", ")")
    return f"[{plain}]({base}{path})" if base else f"{plain} `{path}`"
