"""One self-contained, read-only page of chosen cases; it opens from a disk, in a mail, and in MLflow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diascope import __version__
from diascope.io.outfolder import write_atomic
from diascope.run.tracking.additions import Extra, add_to_batch
from diascope.viewer.offline import MEGABYTE, gathered
from diascope.viewer.outs import open_outs
from diascope.viewer.session_page import presets
from diascope.viewer.settings import ViewSettings
from diascope.viewer.static_page import static_page


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """A page that was written.

    Attributes:
        cases: How many are in it.
        megabytes: How large it is.
    """

    cases: int
    megabytes: float


def write_page(folders: Sequence[Path], file: Path, cases: Sequence[str], settings: ViewSettings) -> WrittenPage:
    """Write the page, and log it to the batch's MLflow run if it lies in its output folder.

    Raises:
        ConfigError: A case is not there.
        OutputError: It would be larger than allowed, or cannot be written.
    """
    outs = open_outs(folders)
    session = {
        "reviewer": None,
        "role": "reader",
        "needs_name": False,
        "locked": False,
        "csrf": "",
        "blinded": False,
        "version": __version__,
        "reasons": [],
        "reviewers": [],
        "outs": [{"id": out.out_id, "title": out.title, "running": False, "mlflow_url": None} for out in outs],
        "window_presets": presets(),
    }
    content = gathered(outs, cases, session, settings.export_mb)
    text = static_page(content)
    write_atomic(file, text)
    root = outs[0].folder.root.resolve()
    if settings.mirror and len(outs) == 1 and file.resolve().is_relative_to(root):
        extra = Extra({}, folder="viewer", pictures=[str(file.resolve().relative_to(root))])
        add_to_batch(root, extra, lambda _: None)
    return WrittenPage(len(content["cases"]), len(text.encode()) / MEGABYTE)
