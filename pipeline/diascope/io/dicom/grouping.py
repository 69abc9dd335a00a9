"""From the headers of many files to series, refusals and a fate for each file."""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from diascope.errors import InputError, UnsupportedInput
from diascope.findings import Failure
from diascope.io.dicom.building import image_of
from diascope.io.dicom.duplicates import without_copies
from diascope.io.dicom.headers import Common, Header
from diascope.io.dicom.kinds import is_projection
from diascope.io.dicom.shelf import HeaderShelf
from diascope.io.dicom.splitting import Slice, Stack, crosses_itself, split
from diascope.io.reader import Context, FoundFile, Grouped, failure_of
from diascope.io.series import CaseIdentity, FileFate, FileRecord, RefusedImage, Series

# Scouts are few slices; a volume that happens to be called one is not.
LARGEST_SCOUT = 30
LARGEST_PLANE = 15

_SCOUT_NAMES = re.compile(
    r"\b(scout|locali[sz]er|loc|survey|surview|topogram|scanogram|3[- ]?(plane|pl))\b", re.IGNORECASE
)


def group_headers(shelf: HeaderShelf, context: Context) -> Grouped:
    """Make series of headers, one after the other; every header's file gets one record."""
    grouping = _Grouping(context)
    by_series: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("I"))
    mixed = _mixed_studies(shelf.commons)
    for number, (file, common) in enumerate(zip(shelf.files, shelf.commons, strict=True)):
        case = _case_source(file, common, mixed=common.study_uid in mixed)
        by_series[case, _series_source(file, common)].append(number)
    for (case, series), members in by_series.items():
        grouping.add(case, series, shelf.take(members))
    return grouping.result()


class _Grouping:
    """Collects what becomes of the files of one scan."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._series: list[Series] = []
        self._refused: list[RefusedImage] = []
        self._records: dict[str, FileRecord] = {}
        self._identities: dict[str, CaseIdentity] = {}

    def result(self) -> Grouped:
        """Give what was collected."""
        return Grouped(
            tuple(self._series), tuple(self._refused), tuple(self._records.values()), tuple(self._identities.values())
        )

    def add(self, case: str, series: str, headers: Sequence[Header]) -> None:
        """Make images of the files of one series."""
        case_id = self._context.key.case_id(case)
        self._identities.setdefault(case_id, _identity(headers[0], case, case_id))
        headers, released = self._past_quarantine(case_id, f"{case}\0{series}", headers)
        headers = self._without_refused(case_id, f"{case}\0{series}", headers)
        if not headers:
            return
        try:
            headers, copies, notes = without_copies(headers)
        except InputError as error:
            self._refuse(case_id, f"{case}\0{series}", headers, error)
            return
        stacks = _stacks(headers)
        scouts = _scouts(stacks)
        if len(stacks) > 1:
            notes = (*notes, f"one of {len(stacks)} images that the files of its series make")
        for stack in stacks:
            self._add_stack(
                case_id, f"{case}\0{series}\0{stack.key}", stack, (*notes, *released), is_scout=stack.key in scouts
            )
        for copy in copies:
            failure = Failure("duplicate_file", "the same instance with the same pixels is there already", "")
            self._record(copy.file, case_id, "", "skipped", failure)

    def _past_quarantine(
        self, case_id: str, name: str, headers: Sequence[Header]
    ) -> tuple[Sequence[Header], tuple[str, ...]]:
        suspected = [header for header in headers if header.quarantine]
        if not suspected:
            return headers, ()
        rules = {header.file: self._context.released(header.file) for header in suspected}
        held = [header for header in suspected if rules[header.file] is None]
        if held:
            error = UnsupportedInput(
                f"text may be burned into the pixels: {held[0].quarantine}",
                hint="look at it, then release it by name and reason (release: in the config)",
                code="burned_in_suspected",
            )
            self._refuse(case_id, f"{name}\0quarantine", held, error)
        held_files = {header.file for header in held}
        # Who released it and why is free text: it stands in private/inputs.csv.
        notes = ("released from quarantine by name",) if len(held) < len(suspected) else ()
        return [header for header in headers if header.file not in held_files], notes

    def _without_refused(self, case_id: str, name: str, headers: Sequence[Header]) -> Sequence[Header]:
        for header in headers:
            if header.refusal is not None:
                refusal = header.refusal
                error = UnsupportedInput(refusal.reason, hint=refusal.cure, code=refusal.code)
                self._refuse(case_id, f"{name}\0{header.sop_uid}", [header], error)
        return [header for header in headers if header.refusal is None]

    def _add_stack(self, case_id: str, name: str, stack: Stack, notes: Sequence[str], *, is_scout: bool) -> None:
        image_id = self._context.key.image_id(name)
        headers = {one.header.file: one.header for one in stack.slices}
        try:
            series = image_of(stack, case_id, image_id, self._context.settings, is_scout=is_scout)
        except InputError as error:
            if is_scout:
                failure = Failure("localizer", f"a localizer that is no volume: {error.message}", "")
                for file in headers:
                    self._record(file, case_id, image_id, "skipped", failure)
            else:
                self._refuse(case_id, name, list(headers.values()), error)
            return
        self._series.append(_noted(series, notes))
        for file, header in headers.items():
            told = header.broken or self._release_of(header)
            self._record(file, case_id, image_id, "failed" if header.broken else "used", told)

    def _release_of(self, header: Header) -> Failure | None:
        rule = self._context.released(header.file) if header.quarantine else None
        return Failure("released", rule.reason, "") if rule is not None else None

    def _refuse(self, case_id: str, name: str, headers: Sequence[Header], error: InputError) -> None:
        image_id, failure = self._context.key.image_id(name), failure_of(error)
        self._refused.append(RefusedImage(case_id, image_id, len(headers), failure))
        for header in headers:
            # The broken slice has failed; its neighbours are refused because of it.
            fate: FileFate = "failed" if header.broken else "refused"
            self._record(header.file, case_id, image_id, fate, header.broken or failure)

    def _record(
        self, file: FoundFile, case_id: str, image_id: str, fate: FileFate, failure: Failure | None = None
    ) -> None:
        # A file of many frames may be in several stacks; that it was used says most.
        before = self._records.get(file.shown)
        if before is not None and (before.fate == "used" or fate != "used"):
            return
        self._records[file.shown] = replace(
            self._context.record(file, fate, failure), case_id=case_id, image_id=image_id
        )


def _mixed_studies(commons: Iterable[Common]) -> set[str]:
    """Name the studies that hold two patients: they are kept apart, whatever their UID says."""
    patients: dict[str, set[str]] = defaultdict(set)
    for common in commons:
        patients[common.study_uid].add(common.patient_id)
    return {study for study, found in patients.items() if len(found) > 1}


def _case_source(file: FoundFile, common: Common, *, mixed: bool) -> str:
    if file.origin is not None:
        return file.origin.case
    study = common.study_uid or common.series_uid or file.shown.rpartition("/")[0]
    return f"{study}\0{common.patient_id}" if mixed else study


def _series_source(file: FoundFile, common: Common) -> str:
    if common.series_uid:
        return common.series_uid
    return f"{file.shown.rpartition('/')[0]}\0{dict(common.selection).get('series_number')}"


def _identity(header: Header, case: str, case_id: str) -> CaseIdentity:
    common = header.common
    return CaseIdentity(
        case_id=case_id,
        patient_key=common.facts.patient_key or "",
        patient_id=common.patient_id,
        patient_name=common.patient_name,
        study_uid=common.study_uid or case,
        accession_number=common.accession_number,
        study_date=common.study_date,
        birth_date=common.birth_date,
    )


def _stacks(headers: Sequence[Header]) -> list[Stack]:
    """Split a series; a radiograph is an image of its own."""
    stacks = []
    volumetric = []
    for header in headers:
        if is_projection(header.sop_class, header.common.facts.modality or "") or not _is_stackable(header):
            name = header.sop_uid or header.file.shown
            stacks.append(Stack(tuple(Slice(header, frame) for frame in header.frames), name))
        else:
            volumetric.append(header)
    return stacks + split(volumetric)


def _is_stackable(header: Header) -> bool:
    """Say whether a file can be one slice among others: secondary captures without a place are pictures."""
    has_place = all(frame.position_lps_mm is not None for frame in header.frames)
    return has_place or (header.common.facts.modality in {"CT", "MR", "PT", "NM"} and len(header.frames) == 1)


def _scouts(stacks: Sequence[Stack]) -> set[str]:
    """Name the stacks of a series that are a localizer, by their key."""
    counts = [len(stack.slices) for stack in stacks]
    # As many slices one way as the other: a scan with a scout in its series is no scout.
    in_planes = max(counts) <= LARGEST_PLANE and max(counts) <= 3 * min(counts) and crosses_itself(stacks)
    return {stack.key for stack in stacks if in_planes or _is_called_scout(stack)}


def _is_called_scout(stack: Stack) -> bool:
    if len(stack.slices) > LARGEST_SCOUT:
        return False
    header = stack.slices[0].header
    description = dict(header.common.selection).get("series_description", "")
    return "LOCALIZER" in header.image_type or _SCOUT_NAMES.search(description) is not None


def _noted(series: Series, notes: Sequence[str]) -> Series:
    return replace(series, notes=(*series.notes, *notes)) if notes else series
