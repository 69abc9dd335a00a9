"""The record of each output folder, kept in step with the table that the worklist is made of."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from diascope.findings import CaseReport
from diascope.viewer.answers import Problem
from diascope.viewer.case_page import CaseFiles
from diascope.viewer.index import CaseIndex
from diascope.viewer.outs import ServedOut
from diascope.viewer.queue import Place
from diascope.viewer.store.opening import file_url, open_engine, out_key
from diascope.viewer.store.reviews import Claim, Reviews, State
from diascope.viewer.store.verdicts import NewVerdict, Sampling, SavedVerdict, VerdictAsked


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the verdicts of one output folder are.

    Attributes:
        reviews: The database.
        key: Name of the folder in it.
    """

    reviews: Reviews
    key: str


class Record:
    """Saves verdicts and claims, and tells the index."""

    def __init__(self, index: CaseIndex, shelves: Mapping[str, Shelf], *, blinded: bool) -> None:
        """Keep where it is; `follow` tells the index what was said so far.

        Args:
            index: All cases.
            shelves: By out_id.
            blinded: A first read does not settle a case, and hides what others say.
        """
        self.index = index
        self.shelves = shelves
        self.blinded = blinded
        self._seen: dict[str, State] = {}
        self._one_save = threading.Lock()

    def close(self) -> None:
        """Let go of the databases."""
        for shelf in self.shelves.values():
            shelf.reviews.close()

    def follow(self) -> None:
        """Tell the index what was said so far, also by other servers that write to the same database."""
        for out_id, shelf in self.shelves.items():
            before, now = self._seen.get(out_id), shelf.reviews.state(shelf.key)
            if before is None:
                self._load(out_id)
            elif before != now:
                # Of a large record all is read once, at the start; then what is new.
                for case_id in shelf.reviews.changed_since(shelf.key, before):
                    self._tell(out_id, case_id)
                    self._tell_claims(out_id, shelf.reviews.claims(shelf.key, case_id))
            self._seen[out_id] = now

    def save(self, case: CaseFiles, reviewer: str, asked: VerdictAsked) -> SavedVerdict:
        """Save a verdict; when this returns it is on the disk.

        Raises:
            Problem: It is about an earlier result or about things that are not in the case, or it calls
                itself a first read and is none.
        """
        if case.report.status != "done":
            raise Problem("bad_request", "the case has no result to judge", "run it again")
        if asked.digest != case.digest:
            raise Problem(
                "stale", "the case was done again since you opened it", "look at the new result", digest=case.digest
            )
        check_named(case.report, asked)
        sampling, probability = drawn(self.index.place_of(case.out.out_id, case.case_id), case.report)
        shelf = self.shelves[case.out.out_id]
        patients = [image.facts.patient_key for image in case.report.images if image.facts.patient_key]
        with self._one_save:  # of two first reads at the same moment one is the first
            hidden = self._hidden_for(case, reviewer, asked)
            new = NewVerdict(
                out_key=shelf.key,
                case_id=case.case_id,
                patient_key=patients[0] if patients else "",
                reviewer=reviewer,
                asked=asked,
                ai_visible=not hidden,
                sampling=sampling,
                sampling_probability=probability,
                bundles=tuple((stamp.name, stamp.sha256) for stamp in case.report.bundles),
            )
            try:
                saved = shelf.reviews.add(new)
            except IntegrityError:
                if asked.read != "first":
                    raise
                # Another server of the same database was faster.
                raise _not_first(case) from None
        self._tell(case.out.out_id, case.case_id)
        return saved

    def undo(self, out: ServedOut, case_id: str, reviewer: str, request_key: str) -> SavedVerdict | None:
        """Take back a reader's newest verdict of a case: a row that says so."""
        shelf = self.shelves[out.out_id]
        taken = shelf.reviews.revoke(shelf.key, case_id, reviewer, request_key)
        self._tell(out.out_id, case_id)
        return taken

    def shown_to(self, out: ServedOut, case_id: str, reviewer: str) -> tuple[SavedVerdict, ...]:
        """List the verdicts that a reader may see: blinded readers see their own."""
        shelf = self.shelves[out.out_id]
        every = shelf.reviews.standing(shelf.key, case_id)
        return tuple(one for one in every if not self.blinded or one.new.reviewer == reviewer)

    def hides_ai(self, out_id: str, case_id: str, reviewer: str) -> bool:
        """Say whether a reader has to give a first read before seeing what the networks say.

        A first read that was taken back counts: the AI was shown after it, and nobody unsees it.
        """
        if not self.blinded:
            return False
        return not any(one.new.asked.read == "first" for one in self._said_by(out_id, case_id, reviewer))

    def claim(self, out: ServedOut, case_id: str, reviewer: str) -> None:
        """Take a case.

        Raises:
            Problem: Somebody else has it.
        """
        held = self._held_by(out, case_id)
        if held not in {"", reviewer}:
            raise Problem("claimed", "another reader has taken this case", "take the next one", claimed_by=held)
        self.shelves[out.out_id].reviews.note_claim(self.shelves[out.out_id].key, case_id, reviewer, "claim", reviewer)
        self.index.note(out.out_id, case_id, "claimed_by", reviewer)

    def release(self, out: ServedOut, case_id: str, reviewer: str) -> None:
        """Let go of a case, whoever has it: readers fall ill."""
        shelf = self.shelves[out.out_id]
        shelf.reviews.note_claim(shelf.key, case_id, reviewer, "release", "")
        self.index.note(out.out_id, case_id, "claimed_by", "")

    def assign(self, out: ServedOut, case_id: str, by: str, reviewer: str) -> None:
        """Give a case to a reader; an empty name takes it back."""
        shelf = self.shelves[out.out_id]
        shelf.reviews.note_claim(shelf.key, case_id, by, "assign", reviewer)
        self.index.note(out.out_id, case_id, "assigned_to", reviewer)

    def _hidden_for(self, case: CaseFiles, reviewer: str, asked: VerdictAsked) -> bool:
        """Say whether the AI is hidden from a reader who saves, and refuse a read of the wrong kind."""
        hidden = self.hides_ai(case.out.out_id, case.case_id, reviewer)
        if hidden and asked.read == "with_ai":
            raise Problem("hidden", "the first read, without the AI, comes first", "save it; the AI is shown then")
        if asked.read == "first" and not hidden:
            said = self._said_by(case.out.out_id, case.case_id, reviewer)
            # An answer that got lost is asked for again: that row is there, and is given once more.
            if asked.key not in {one.new.asked.key for one in said}:
                raise _not_first(case)
        return hidden

    def _said_by(self, out_id: str, case_id: str, reviewer: str) -> list[SavedVerdict]:
        shelf = self.shelves[out_id]
        return [one for one in shelf.reviews.history(shelf.key, case_id) if one.new.reviewer == reviewer]

    def _held_by(self, out: ServedOut, case_id: str) -> str:
        rows = self.index.query("SELECT claimed_by FROM cases WHERE out_id = ? AND case_id = ?", (out.out_id, case_id))
        return str(rows[0][0]) if rows else ""

    def _load(self, out_id: str) -> None:
        shelf = self.shelves[out_id]
        standing = shelf.reviews.standing(shelf.key)
        self.index.replace_states(out_id, _states(out_id, standing, blinded=self.blinded))
        self.index.set_urgent(out_id, {one.new.case_id for one in standing if one.new.asked.urgent})
        self._tell_claims(out_id, shelf.reviews.claims(shelf.key))

    def _tell_claims(self, out_id: str, claims: Iterable[Claim]) -> None:
        for claim in claims:
            self.index.note(out_id, claim.case_id, "claimed_by", claim.claimed_by)
            self.index.note(out_id, claim.case_id, "assigned_to", claim.assigned_to)

    def _tell(self, out_id: str, case_id: str) -> None:
        shelf = self.shelves[out_id]
        standing = shelf.reviews.standing(shelf.key, case_id)
        self.index.replace_states(out_id, _states(out_id, standing, blinded=self.blinded), case_id)
        self.index.note(out_id, case_id, "urgent", int(any(one.new.asked.urgent for one in standing)))


def open_shelves(outs: Iterable[ServedOut], url: str) -> dict[str, Shelf]:
    """Open the databases of output folders.

    Args:
        outs: The folders.
        url: Of one database for all; by default each folder has its own file.

    Raises:
        ConfigError: The address cannot be used.
        OutputError: A database cannot be opened.
    """
    shared = Reviews(open_engine(url)) if url else None
    return {
        out.out_id: Shelf(shared or Reviews(open_engine(file_url(out.folder))), out_key(out.folder)) for out in outs
    }


def drawn(place: Place | None, report: CaseReport) -> tuple[Sampling, float | None]:
    """Say how a case came before its reader, and with which probability.

    Its place decides: what is doubtful only beside the other cases of its batch does not stand in its report.
    """
    if report.review_first:
        return "review_first", 1.0
    if place is not None and place.is_sample:
        return "random", place.probability
    if place is not None and place.probability == 1.0:
        return "review_first", 1.0
    return "chosen", None


def _not_first(case: CaseFiles) -> Problem:
    reason = "a first read cannot be given any more: the AI was shown for this case"
    return Problem("stale", reason, "reload the case and judge it with the AI", digest=case.digest)


def check_named(report: CaseReport, asked: VerdictAsked) -> None:
    """Refuse a verdict about things that are not in the case.

    Raises:
        Problem: It names an unknown finding, label or image.
    """
    findings = {finding.finding_id for finding in report.findings or ()}
    labels = {(drawn.bundle, label.name) for drawn in report.segmentations or () for label in drawn.labels}
    images = {image.image_id for image in report.images}
    unknown: Sequence[str] = [
        *("finding" for one in asked.findings if one.finding_id not in findings),
        *("label" for one in asked.labels if (one.bundle, one.label) not in labels),
        *("image" for one in asked.missed if one.image_id not in images),
    ]
    if unknown:
        raise Problem("bad_request", f"the verdict names a {unknown[0]} that the case has not", "reload the case")


def _states(out_id: str, standing: Sequence[SavedVerdict], *, blinded: bool) -> list[tuple[str, str, str, str, str]]:
    newest: dict[tuple[str, str], SavedVerdict] = {}
    for one in standing:
        if not (blinded and one.new.asked.read == "first"):
            newest[one.new.case_id, one.new.reviewer] = one
    return [
        (out_id, case_id, reviewer, one.new.asked.verdict, one.new.asked.digest)
        for (case_id, reviewer), one in newest.items()
    ]
