"""The files of a case, as the page asks for them."""

import email.utils
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from diascope.viewer.answers import Problem
from diascope.viewer.case_page import CaseFiles
from diascope.viewer.outs import inside
from diascope.viewer.volumes import dense_file, image_file, preview_file
from diascope.viewer.voxels import Scratch, stamp_of

# What is asked for by its stamp never changes under it.
_FOR_EVER = "private, max-age=31536000, immutable"
_ASK_AGAIN = "private, no-cache"

GZIP = "application/gzip"


def is_of_ai(name: str) -> bool:
    """Say whether a file tells what a network said."""
    return not name.startswith("image-")


def volume_file(case: CaseFiles, name: str, scratch: Scratch) -> Path:
    """Find the file that a name in an address stands for; a name is never a path.

    Raises:
        Problem: There is none.
    """
    kind, _, rest = name.partition("-")
    if kind == "image":
        return image_file(case.report, case.folder, rest)[1]
    if kind == "seg":
        at, _, _ = rest.partition("-")
        drawn = case.report.segmentations or ()
        if at.isdecimal() and int(at) < len(drawn):
            inside(case.folder, drawn[int(at)].file)
        for part in case.label_parts():
            if part.name == name:
                return dense_file(part, scratch)
    maps = case.report.heatmaps or ()
    if kind == "heat" and rest.isdecimal() and int(rest) < len(maps):
        return inside(case.folder, maps[int(rest)].file)
    unsure = case.report.uncertainty or ()
    if kind == "unc" and rest.isdecimal() and int(rest) < len(unsure):
        return inside(case.folder, unsure[int(rest)].file)
    raise Problem("no_such_image", "the case has no file of this name", "reload the case")


def preview(case: CaseFiles, image_id: str, scratch: Scratch) -> Path:
    """Make or find the preview of an image.

    Raises:
        Problem: There is no such image.
    """
    record, file = image_file(case.report, case.folder, image_id)
    return preview_file(record, file, scratch)


def send_file(request: Request, file: Path, media_type: str = GZIP) -> Response:
    """Send a file, or the range of it that was asked for, or word that the browser has it."""
    asked = request.headers.get("range", "")
    if asked.count(",") > 0:
        # Many small ranges of one file are how a server is made to send more than it has.
        raise Problem("bad_request", "one range at a time is sent", "ask for one range, or for all")
    tag = f'"{stamp_of(file)}"'
    headers = {
        "ETag": tag,
        "Cache-Control": _FOR_EVER if "v" in request.query_params else _ASK_AGAIN,
        "Last-Modified": email.utils.formatdate(file.stat().st_mtime, usegmt=True),
    }
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return FileResponse(file, headers=headers, media_type=media_type)
