"""Corrections, as the page asks for them."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from diascope.io.write_nifti import write_mask
from diascope.viewer.answers import Problem, json_answer
from diascope.viewer.brush import Stroke
from diascope.viewer.case_files import send_file
from diascope.viewer.case_page import CaseFiles, label_answers, open_case
from diascope.viewer.corrections import Target, Version, target_of, version_file, versions
from diascope.viewer.desk import Desk, named
from diascope.viewer.draft import Done, Draft
from diascope.viewer.handlers import checked, checked_query
from diascope.viewer.outs import inside
from diascope.viewer.slices import displays
from diascope.viewer.volumes import dense_file, label_parts
from diascope.viewer.voxels import stamp_of
from diascope.volume import Mask

Word = Annotated[str, Field(max_length=200)]


class DraftAsked(BaseModel):
    """Which draft is meant; `name` (such as seg-0-1) is exact where a network drew several maps."""

    model_config = ConfigDict(extra="ignore")

    name: Word = ""
    bundle: Word = ""
    image_id: Word = ""
    part: Annotated[int, Field(ge=1, le=1000)] = 1
    base: Word = "ai"
    comment: Annotated[str, Field(max_length=10_000)] = ""


class StrokeAsked(DraftAsked):
    """One stroke of a draft."""

    key: Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[\w-]+$")]
    plane: Word = ""
    normal: int | None = None
    op: Any
    label: Any
    shape: Any
    radius_mm: Any
    points_ijk: Any


def begin(desk: Desk, request: Request, asked: DraftAsked) -> Response:
    """Begin a draft, or go on with it."""
    target, reviewer = _target(desk, request, asked)
    desk.drafts.begin(target, reviewer, asked.base)
    return _answer(desk, target, reviewer, None)


def state(desk: Desk, request: Request) -> Response:
    """Tell how a draft stands."""
    asked = checked_query(DraftAsked, request)
    target, reviewer = _target(desk, request, asked)
    if desk.drafts.base_of(target, reviewer) is None:
        return json_answer({"draft": None, "url": None})
    return _answer(desk, target, reviewer, None)


def stroke(desk: Desk, request: Request, asked: StrokeAsked) -> Response:
    """Paint or erase."""
    target, reviewer = _target(desk, request, asked)
    with desk.drafts.held(target, reviewer) as draft:
        normal = asked.normal if asked.normal is not None else _normal(draft, asked.plane)
        made = checked(Stroke, {**asked.model_dump(), "normal": normal})
        if made.label > len(target.parts(inside(target.case.folder, target.drawn.file)).labels):
            raise Problem("bad_request", "label: the label map has fewer labels", "reload the case")
        done = draft.stroke(made, asked.key)
    return _answer(desk, target, reviewer, done)


def undo(desk: Desk, request: Request, asked: DraftAsked) -> Response:
    """Take the newest stroke back."""
    target, reviewer = _target(desk, request, asked)
    with desk.drafts.held(target, reviewer) as draft:
        done = draft.step("undo")
    return _answer(desk, target, reviewer, done)


def redo(desk: Desk, request: Request, asked: DraftAsked) -> Response:
    """Do again what was taken back."""
    target, reviewer = _target(desk, request, asked)
    with desk.drafts.held(target, reviewer) as draft:
        done = draft.step("redo")
    return _answer(desk, target, reviewer, done)


def save(desk: Desk, request: Request, asked: DraftAsked) -> Response:
    """Save a draft as a new version."""
    target, reviewer = _target(desk, request, asked)
    version = desk.drafts.save(target, reviewer, asked.comment)
    return json_answer({"version": version.version, "sha256": version.sha256, "changed_voxels": version.changed_voxels})


def discard(desk: Desk, request: Request, asked: DraftAsked) -> Response:
    """Throw a draft away."""
    target, reviewer = _target(desk, request, asked)
    desk.drafts.discard(target, reviewer)
    return json_answer({"draft": None})


def draft_volume(desk: Desk, request: Request) -> Response:
    """Send a draft as a label map."""
    target, reviewer = _target(desk, request, DraftAsked(name=request.path_params["name"]))
    with desk.drafts.held(target, reviewer) as draft:
        names = {at: label.name for at, label in enumerate(target.drawn.labels, start=1)}
        file = desk.scratch.file(
            f"draft {target.case.folder} {target.name} {reviewer} {draft.digest}",
            ".nii.gz",
            lambda path: write_mask(path, Mask(draft.data, draft.space, names)),
        )
    answer = send_file(request, file)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def correction_answers(case: CaseFiles, reviewer: str, *, only_mine: bool) -> list[dict[str, Any]]:
    """List the versions of a case for the page."""
    drawn = case.report.segmentations or ()
    known = (one for one in versions(case) if one.segmentation < len(drawn))
    shown = [one for one in known if one.reviewer == reviewer or not only_mine]
    return [answer for one in shown for answer in _version_answers(case, one)]


def correction_volume(desk: Desk, case: CaseFiles, name: str, request: Request) -> Response:
    """Send a version: `fix-<label map>-<version>-<part>`, or without the part the whole map to keep.

    Raises:
        Problem: There is none of that name.
    """
    numbers = name.split("-")[1:]
    if not 2 <= len(numbers) <= 3 or not all(number.isdecimal() for number in numbers):
        raise Problem("no_such_image", "the case has no file of this name", "reload the case")
    one, file = version_file(case, int(numbers[0]), int(numbers[1]))
    drawn = (case.report.segmentations or ())[one.segmentation]
    if len(numbers) == 3:
        parts = label_parts(f"fix-{one.segmentation}-{one.version}", file, drawn.labels)
        part = next((part for part in parts if part.name == name), None)
        if part is None:
            raise Problem("no_such_image", "the case has no file of this name", "reload the case")
        return send_file(request, dense_file(part, desk.scratch))
    answer = send_file(request, file)
    answer.headers["Content-Disposition"] = f'attachment; filename="{one.file}"'
    return answer


def _version_answers(case: CaseFiles, one: Version) -> Iterator[dict[str, Any]]:
    drawn = (case.report.segmentations or ())[one.segmentation]
    try:
        stamp = stamp_of(version_file(case, one.segmentation, one.version)[1])
    except Problem:
        return
    for part in label_parts(f"fix-{one.segmentation}-{one.version}", case.folder, drawn.labels):
        yield {
            **asdict(one),
            "bundle": drawn.bundle,
            "image_id": drawn.image_id,
            "name": part.name,
            "part": part.part,
            "parts": part.parts,
            "url": f"{case.address}/volume/{part.name}.nii.gz?v={stamp}",
            "who": one.reviewer,
            "when": one.saved_at,
            "labels": label_answers(case, drawn, part.labels),
        }


def _target(desk: Desk, request: Request, asked: DraftAsked) -> tuple[Target, str]:
    reviewer = named(request).reviewer
    case = open_case(desk.out(request), request.path_params["case_id"])
    if desk.record.hides_ai(case.out.out_id, case.case_id, reviewer):
        raise Problem("hidden", "the first read, without the AI, comes first", "save it; the AI is shown then")
    return target_of(case, asked.name, asked.bundle, asked.image_id, asked.part), reviewer


def _normal(draft: Draft, plane: str) -> int:
    for display in displays(draft.space):
        if display.plane.name == plane:
            return display.plane.through_axis
    return 2


def _answer(desk: Desk, target: Target, reviewer: str, done: Done | None) -> Response:
    begun = desk.drafts.base_of(target, reviewer) or {}
    with desk.drafts.held(target, reviewer) as draft:
        part = target.parts(target.case.folder / target.drawn.file)
        url = f"{target.case.address}/draft/{target.name}.nii.gz?n={draft.steps}"
        told = {
            "bundle": target.drawn.bundle,
            "image_id": target.drawn.image_id,
            "name": target.name,
            "base": begun.get("base", "ai"),
            "is_stale": begun.get("case_digest") != target.case.digest,
            "steps": draft.steps,
            "undo": draft.undo_left,
            "redo": draft.redo_left,
            "labels": label_answers(target.case, target.drawn, part.labels),
            "url": url,
        }
        return json_answer(
            {
                "draft": told,
                "url": url,
                "draft_version": draft.steps,
                "base_version": told["base"],
                "undo_left": draft.undo_left,
                "redo_left": draft.redo_left,
                "digest": draft.digest,
                "changed_voxels": done.changed_voxels if done else 0,
                "bounds_ijk": done.bounds_ijk if done else None,
            }
        )
