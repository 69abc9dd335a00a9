"""report.html: the run at a glance, in one file that can be mailed, printed and put into MLflow."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from diascope.io.outfolder import OutFolder, write_atomic
from diascope.run.report.heatmap_table import CHECKS
from diascope.run.report.methods import methods_of
from diascope.run.report.summary import RunSummary

# Wide enough for the letters and the legend to be read; 200 of them make some 10 MB.
THUMBNAIL_PX = 760
JPEG_QUALITY = 82


def write_report(out: OutFolder, summary: RunSummary) -> Path:
    """Write report.html.

    Args:
        out: The output folder; pictures of the previews are taken from its cases.
        summary: Of its run.

    Returns:
        Where it is.

    Raises:
        OutputError: It cannot be written.
    """
    pictures = {case_id: _thumbnail(out.case(case_id) / "preview.png") for case_id in summary.previews}
    write_atomic(out.report_html, render_report(summary, pictures))
    return out.report_html


def render_report(summary: RunSummary, pictures: dict[str, str]) -> str:
    """Make the page.

    Args:
        summary: Of the run.
        pictures: Address of the picture of each case, such as a data URI, by case_id.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["duration"] = _duration
    page = environment.get_template("report.html.jinja")
    labels = [row for row in summary.labels if row.quantity == "volume"]
    means = {(row.bundle, row.subject): row for row in summary.labels if row.quantity == "mean_intensity"}
    return page.render(
        summary=summary,
        record=summary.record,
        pictures=pictures,
        volumes=labels,
        means=means,
        checks=CHECKS,
        methods=methods_of(summary),
        shown_rejects=[group for group in summary.rejects if group.kind in {"refused", "failed"}],
        skipped=[group for group in summary.rejects if group.kind not in {"refused", "failed"}],
    )


def _thumbnail(preview: Path) -> str:
    with Image.open(preview) as page:
        small = page.convert("RGB")
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _number(value: float | None) -> str:
    """Write a number with four digits that count, in groups of three."""
    if value is None:
        return "–"
    if value == 0 or 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.4g}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
