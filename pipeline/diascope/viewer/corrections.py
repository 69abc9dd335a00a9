"""Corrected label maps: drafts of each reader, and the versions that were saved of them.

Everything lies in cases/<case_id>/corrections, which a run that does the case again
carries over. A version is never written over; the network's own map is never touched.
"""

import hashlib
import json
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diascope.findings import Segmentation
from diascope.io.outfolder import file_digest, write_atomic
from diascope.io.write_nifti import write_mask
from diascope.viewer.answers import Problem
from diascope.viewer.case_page import CaseFiles
from diascope.viewer.draft import Draft
from diascope.viewer.outs import inside
from diascope.viewer.volumes import LabelPart, dense_file, label_parts
from diascope.viewer.voxels import Scratch, read_header
from diascope.volume import Mask

FOLDER = "corrections"

# Open drafts that stay in memory; others are read from their journals when their reader comes back.
MOST_OPEN = 16

_VERSION = re.compile(r"\.v(\d+)\.(?:json|nii\.gz)$")


@dataclass(frozen=True, slots=True)
class Version:
    """A corrected label map.

    Attributes:
        segmentation: Which label map of the present report it corrects, from 0; in its file, which of
            the report that it was made on.
        version: From 1.
        file: Its name in the folder of corrections.
        sha256: Of the file.
        base: What it began with: `ai` or a version.
        base_sha256: Of that file.
        reviewer: Who corrected.
        saved_at: When, ISO 8601 in UTC.
        comment: In words.
        changed_voxels: How many differ from what it began with.
        case_digest: SHA-256 of the case.json it was made on.
        image_id: The image that the label map lies on; empty in files of earlier versions of diascope.
    """

    segmentation: int
    version: int
    file: str
    sha256: str
    base: str
    base_sha256: str
    reviewer: str
    saved_at: str
    comment: str
    changed_voxels: int
    case_digest: str
    image_id: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What is corrected: one part of one label map.

    Attributes:
        case: The case.
        at: Which label map of the report.
        part: Which part of it, from 1.
    """

    case: CaseFiles
    at: int
    part: int

    @property
    def drawn(self) -> Segmentation:
        """The label map as the report has it."""
        return (self.case.report.segmentations or ())[self.at]

    @property
    def name(self) -> str:
        """Its name in addresses."""
        return f"seg-{self.at}-{self.part}"

    def parts(self, file: Path) -> LabelPart:
        """Give the part, of the network's file or of a version."""
        return label_parts(f"seg-{self.at}", file, self.drawn.labels)[self.part - 1]


def versions(case: CaseFiles) -> tuple[Version, ...]:
    """List the versions of the label maps that a case has now, oldest first; what is half-written is none.

    A version belongs to the label map of its file's name, wherever that stands in the report, and
    only while image and map are those that it began with: what was corrected in an earlier result
    says nothing of another one. Its files stay where they are.
    """
    saved: dict[str, list[Version]] = {}
    for file in (case.folder / FOLDER).glob("*.json"):
        if numbered := _VERSION.search(file.name):
            try:
                one = Version(**json.loads(file.read_bytes()))
            except (OSError, ValueError, TypeError):
                continue
            saved.setdefault(file.name[: numbered.start()], []).append(one)
    return tuple(
        replace(one, segmentation=at)
        for at, drawn in enumerate(case.report.segmentations or ())
        for one in _made_on(case, drawn, saved.get(_stem(drawn), ()))
    )


def target_of(case: CaseFiles, name: str, bundle: str, image_id: str, part: int) -> Target:
    """Find what is to be corrected, by its name in addresses or by network and image.

    Raises:
        Problem: The case has no such label map, or several.
    """
    drawn = case.report.segmentations or ()
    head, _, tail = name.rpartition("-")
    if name:
        matching = [at for at in range(len(drawn)) if head == f"seg-{at}"]
        part = int(tail) if tail.isdecimal() else 0
    else:
        matching = [at for at, one in enumerate(drawn) if (one.bundle, one.image_id) == (bundle, image_id)]
    if len(matching) != 1:
        raise Problem("no_such_image", f"{len(matching)} label maps are meant", "name one, such as seg-0-1")
    count = len(label_parts("", Path(), drawn[matching[0]].labels))
    if not 1 <= part <= count:
        raise Problem("no_such_image", f"the label map has {count} parts", "reload the case")
    return Target(case, matching[0], part)


def version_file(case: CaseFiles, at: int, version: int) -> tuple[Version, Path]:
    """Find a version.

    Raises:
        Problem: There is none.
    """
    for one in versions(case):
        if (one.segmentation, one.version) == (at, version):
            return one, inside(case.folder / FOLDER, one.file)
    raise Problem("no_such_image", "there is no such version", "reload the case")


class Drafts:
    """The drafts of all readers; each is open once, whoever asks."""

    def __init__(self, scratch: Scratch) -> None:
        """Start without open drafts."""
        self._scratch = scratch
        self._guard = threading.Lock()
        self._open: OrderedDict[Path, tuple[threading.Lock, list[Draft]]] = OrderedDict()

    def begin(self, target: Target, reviewer: str, base: str) -> None:
        """Begin a draft, unless the reader has one of this label map: that one goes on.

        Raises:
            Problem: What it is to begin with is not there.
        """
        folder = _folder(target, reviewer)
        if (folder / "draft.json").is_file():
            return
        file, sha256 = _base_file(target, base)
        dense_one = dense_file(target.parts(file), self._scratch)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # A copy: a run that does the case again replaces what the network drew.
        shutil.copyfile(dense_one, folder / "base.nii.gz")
        shutil.copyfile(file, folder / "whole.nii.gz")
        kept = {"reviewer": reviewer, "base": base, "base_sha256": sha256, "case_digest": target.case.digest}
        write_atomic(folder / "draft.json", json.dumps(kept))

    def base_of(self, target: Target, reviewer: str) -> dict[str, str] | None:
        """Tell what a reader's draft began with; None where there is no draft."""
        file = _folder(target, reviewer) / "draft.json"
        return dict(json.loads(file.read_bytes())) if file.is_file() else None

    @contextmanager
    def held(self, target: Target, reviewer: str) -> Iterator[Draft]:
        """Give a reader's draft, to one thread at a time.

        Raises:
            Problem: There is none.
        """
        folder = _folder(target, reviewer)
        with self._guard:
            lock, opened = self._open.setdefault(folder, (threading.Lock(), []))
            self._open.move_to_end(folder)
            for old in list(self._open)[:-MOST_OPEN]:
                if not self._open[old][0].locked():
                    del self._open[old]
        with lock:
            if not (folder / "draft.json").is_file():
                opened.clear()
                raise Problem("no_draft", "you have no draft of this label map", "begin one")
            if not opened:
                base = self._scratch.voxels(folder / "base.nii.gz").astype(np.uint8)
                opened.append(Draft(base, read_header(folder / "base.nii.gz").space, folder / "journal.jsonl"))
            yield opened[0]

    def save(self, target: Target, reviewer: str, comment: str) -> Version:
        """Save a draft as a new version, and end it.

        Raises:
            Problem: There is no draft, or the case was done again since it was begun.
        """
        with self.held(target, reviewer) as draft:
            folder = _folder(target, reviewer)
            if (self.base_of(target, reviewer) or {}).get("case_digest") != target.case.digest:
                reason = "the case was done again since you began this draft"
                cure = "discard the draft and begin one of the new result"
                raise Problem("stale", reason, cure, digest=target.case.digest)
            whole = self._scratch.voxels(folder / "whole.nii.gz")
            corrected = merged(
                whole, draft.data, [label.value for label in target.parts(folder / "whole.nii.gz").labels]
            )
            version = self._write(target, corrected, draft, (reviewer, comment))
            self._drop(folder)
        return version

    def discard(self, target: Target, reviewer: str) -> None:
        """Throw a draft away.

        Raises:
            Problem: There is none.
        """
        with self.held(target, reviewer):
            self._drop(_folder(target, reviewer))

    def _write(
        self, target: Target, corrected: NDArray[np.unsignedinteger], draft: Draft, said: tuple[str, str]
    ) -> Version:
        reviewer, comment = said
        begun = self.base_of(target, reviewer) or {}
        folder = target.case.folder / FOLDER
        stem = _stem(target.drawn)
        with self._guard:  # two readers who save at the same moment get two numbers
            taken = (_VERSION.search(one.name) for one in folder.glob(f"{stem}.v*"))
            number = 1 + max((int(one[1]) for one in taken if one), default=0)
            file = folder / f"{stem}.v{number}.nii.gz"
            file.touch(exist_ok=False)
        part = file.with_name(f".{file.name}.part")
        base = self._scratch.voxels(_folder(target, reviewer) / "base.nii.gz")
        write_mask(part, Mask(corrected, draft.space, _names(target, corrected)))
        part.replace(file)
        version = Version(
            segmentation=target.at,
            version=number,
            file=file.name,
            sha256=file_digest(file),
            base=begun.get("base", "ai"),
            base_sha256=begun.get("base_sha256", ""),
            reviewer=reviewer,
            saved_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            comment=comment,
            changed_voxels=int(np.count_nonzero(base != draft.data)),
            case_digest=begun.get("case_digest", ""),
            image_id=target.drawn.image_id,
        )
        # Last: a version is there when this file is.
        write_atomic(folder / f"{stem}.v{number}.json", json.dumps(asdict(version), indent=1) + "\n")
        return version

    def _drop(self, folder: Path) -> None:
        shutil.rmtree(folder)
        with self._guard:
            self._open.pop(folder, None)


def merged(whole: NDArray[Any], part: NDArray[np.uint8], values: list[int]) -> NDArray[np.unsignedinteger]:
    """Put a corrected part back into its label map; labels of other parts stay.

    Args:
        whole: (i, j, k) values of the map that the correction began with.
        part: (i, j, k) dense values of the corrected part.
        values: Value in the map of each dense value, from 1.
    """
    stored = np.asarray(whole)
    if stored.dtype not in (np.uint8, np.uint16):
        stored = stored.astype(np.uint16)
    largest = max([*values, int(stored.max(initial=0))])
    dtype = np.uint8 if largest < 256 else np.uint16
    others = np.arange(largest + 1, dtype=dtype)
    others[values] = 0
    table = np.array([0, *values], dtype=dtype)
    corrected: NDArray[Any] = table[part]
    return np.where(corrected != 0, corrected, others[stored])


def _stem(drawn: Segmentation) -> str:
    return drawn.file.removesuffix(".nii.gz")


def _made_on(case: CaseFiles, drawn: Segmentation, saved: Iterable[Version]) -> Iterator[Version]:
    """Keep what was made on the network's present map, or on a version of it."""
    bases: set[str] = set()
    for one in sorted(saved, key=lambda version: version.version):
        try:
            bases = bases or {file_digest(inside(case.folder, drawn.file))}
        except Problem:  # the network's map is missing: nobody can say what belongs to it
            return
        # Without an image in its file, it is of this image for certain only if the case was not done again.
        is_same_image = one.image_id == drawn.image_id if one.image_id else one.case_digest == case.digest
        if is_same_image and one.base_sha256 in bases:
            bases.add(one.sha256)
            yield one


def _names(target: Target, corrected: NDArray[np.unsignedinteger]) -> dict[int, str]:
    names = {label.value: label.name for label in target.drawn.labels}
    # A value that the network's map holds and its report does not name is kept as it was.
    present = np.zeros(np.iinfo(corrected.dtype).max + 1, np.bool_)
    present[corrected] = True
    unnamed = set(np.flatnonzero(present).tolist()) - {0} - set(names)
    return names | {value: f"value_{value}" for value in unnamed}


def _base_file(target: Target, base: str) -> tuple[Path, str]:
    if base == "ai":
        file = inside(target.case.folder, target.drawn.file)
        return file, file_digest(file)
    if not base.isdecimal():
        raise Problem("bad_request", "base: expected ai or the number of a version", "reload the case")
    version, file = version_file(target.case, target.at, int(base))
    return file, version.sha256


def _folder(target: Target, reviewer: str) -> Path:
    who = hashlib.sha256(reviewer.encode()).hexdigest()[:12]
    # By the label map's file and not by its place in the report: that may be another one when the case is done again.
    return target.case.folder / FOLDER / "drafts" / f"{_stem(target.drawn)}-{target.part}-{who}"
