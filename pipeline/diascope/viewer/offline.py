"""What leaves the viewer without a browser: tables of the record, a manifest to train from, one read-only page."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diascope.errors import ConfigError, OutputError
from diascope.findings import Segmentation
from diascope.io.manifest import ManifestRow, manifest_text, with_digests, with_split
from diascope.io.outfolder import write_atomic
from diascope.io.splits import SplitSettings
from diascope.viewer.answers import Problem
from diascope.viewer.case_files import preview, volume_file
from diascope.viewer.case_page import CaseFiles, case_answer, open_case
from diascope.viewer.case_rows import odd_reason, read_csv
from diascope.viewer.corrections import FOLDER, versions
from diascope.viewer.outs import ServedOut
from diascope.viewer.record import Shelf
from diascope.viewer.review_export import Tables, tables_of
from diascope.viewer.review_table import COLUMNS, JUDGED_COLUMNS, as_csv, as_json
from diascope.viewer.voxels import Scratch

TABLES = ("verdicts.csv", "verdicts.json", "judged.csv", "judged.json")

MEGABYTE = 10**6


@dataclass(frozen=True, slots=True)
class TrainingManifest:
    """What readers stand behind, as data to train from.

    Attributes:
        bundle: Whose label maps they are.
        rows: One per case.
        left_out: How many judged cases are not in it: rejected without a correction, or done again since.
    """

    bundle: str
    rows: tuple[ManifestRow, ...]
    left_out: int


def table_text(name: str, tables: Sequence[Tables]) -> str:
    """Spell the record of all folders as one of `TABLES`."""
    is_judged = name.startswith("judged")
    rows = [row for one in tables for row in (one.judged if is_judged else one.verdicts)]
    columns = JUDGED_COLUMNS if is_judged else COLUMNS
    return as_csv(columns, rows) if name.endswith(".csv") else as_json(rows)


def training_manifests(out: ServedOut, shelf: Shelf) -> tuple[TrainingManifest, ...]:
    """List what a network can be trained from: corrected label maps, and those that were accepted as they are.

    A case with a correction is in it with the newest version, whoever gave the verdict;
    one without only if every reader who judged its present result accepted it.
    """
    tables = tables_of(out, shelf.reviews, shelf.key)
    said: dict[str, set[str]] = {}
    for row in tables.verdicts:
        if not row["is_stale"] and row["verdict"] != "skip":
            said.setdefault(row["case_id"], set()).add(row["verdict"])
    judged = {row["case_id"] for row in tables.verdicts if row["verdict"] != "skip"}
    corrected = {file.parent.parent.name for file in out.folder.cases.glob(f"[!.]*/{FOLDER}/*.v*.json")}
    found: dict[str, list[ManifestRow]] = {}
    for case_id in sorted(judged | corrected):
        try:
            case = open_case(out, case_id)
        except Problem:
            continue
        for good in _rows(case, is_accepted=said.get(case_id) == {"accept"}):
            found.setdefault(good.groups["bundle"], []).append(good)
    split = SplitSettings()
    return tuple(
        TrainingManifest(bundle, with_split(with_digests(rows, out.folder.root), split), len(judged) - len(rows))
        for bundle, rows in sorted(found.items())
    )


def write_manifests(manifests: Sequence[TrainingManifest], file: Path) -> tuple[Path, ...]:
    """Write manifests: one under the name that was asked for, several with the network's name in theirs."""
    written = []
    for one in manifests:
        path = file if len(manifests) == 1 else file.with_name(f"{file.stem}.{one.bundle}{file.suffix}")
        write_atomic(path, manifest_text(one.rows))
        written.append(path)
    return tuple(written)


def gathered(
    outs: Iterable[ServedOut], chosen: Sequence[str], session: Mapping[str, Any], most_megabytes: float
) -> dict[str, Any]:
    """Gather chosen cases with all their files, for a page that needs no server. No verdict and no comment is in it.

    Args:
        outs: The output folders.
        chosen: case_ids; all cases that are done where there are none.
        session: What the page is told of itself.
        most_megabytes: How much it may be, spelt in base64.

    Raises:
        ConfigError: A case is not there, or there is none.
        OutputError: It would be larger than allowed.
    """
    cases = [case for out in outs for case in _chosen(out, chosen)]
    if missing := set(chosen) - {case.case_id for case in cases}:
        raise ConfigError(f"{len(missing)} of {len(chosen)} cases are not there", hint="name case_ids of cases.csv")
    if not cases:
        raise ConfigError("there is no case to export", hint="name cases with --case")
    content: dict[str, Any] = {"session": dict(session), "worklist": {"rows": []}, "cases": {}, "files": {}}
    tables: dict[str, dict[str, dict[str, str]]] = {}
    size = 0
    with Scratch() as scratch:
        for case in cases:
            if case.out.out_id not in tables:
                tables[case.out.out_id] = {row.get("case_id", ""): row for row in read_csv(case.out.folder.cases_csv)}
            listed = tables[case.out.out_id].get(case.case_id, {})
            answer = with_batch(case, case_answer(case, hides_ai=False), listed)
            empty: dict[str, Any] = {"verdicts": [], "corrections": [], "truth": [], "prior": None, "next": None}
            content["cases"][f"{case.out.out_id}/{case.case_id}"] = answer | empty | {"prev": None, "position": None}
            content["worklist"]["rows"].append(with_batch(case, _row(case), listed))
            for url, file in _files(case, answer, scratch):
                text = base64.b64encode(file.read_bytes()).decode()
                content["files"][url] = text
                size += len(text)
                if size > most_megabytes * MEGABYTE:
                    raise OutputError(
                        f"the page would be larger than {most_megabytes:g} MB",
                        hint="export fewer cases with --case, or allow more with --set export_mb=...",
                        code="too_large",
                    )
    return content


def with_batch(case: CaseFiles, answer: dict[str, Any], listed: Mapping[str, str]) -> dict[str, Any]:
    """Add why a case was flagged beside its batch, unless it was done again since the table of cases was written.

    Args:
        case: The case.
        answer: What is told of it.
        listed: Its row of cases.csv.
    """
    table = case.out.folder.cases_csv
    try:
        is_present = (case.folder / "case.json").stat().st_mtime_ns <= table.stat().st_mtime_ns
    except OSError:
        return answer
    reason = odd_reason(listed) if is_present else ""
    return answer | {"review_first": True, "review_reasons": [*answer["review_reasons"], reason]} if reason else answer


def _rows(case: CaseFiles, *, is_accepted: bool) -> Iterable[ManifestRow]:
    newest = {one.segmentation: one for one in versions(case)}
    drawn = case.report.segmentations or ()
    facts = {image.image_id: image.facts for image in case.report.images}
    stored = {image.image_id: image.stored for image in case.report.images}
    for at, one in enumerate(drawn):
        image = stored.get(one.image_id)
        # Maps that overlap are several files of one network: a manifest holds one label map per case.
        if image is None or _is_one_of_several(drawn, one):
            continue
        if (version := newest.get(at)) is not None:
            label, source = f"{FOLDER}/{version.file}", "corrected"
        elif is_accepted:
            label, source = one.file, "accepted"
        else:
            continue
        fact = facts[one.image_id]
        yield ManifestRow(
            case=case.case_id,
            patient=fact.patient_key or case.case_id,
            image=f"cases/{case.case_id}/{image}",
            label=f"cases/{case.case_id}/{label}",
            groups={
                "bundle": one.bundle,
                "label_source": source,
                "sex": fact.sex or "",
                "age_years": fact.age_years or "",
                "manufacturer": fact.manufacturer or "",
            },
        )


def _is_one_of_several(drawn: Sequence[Segmentation], one: Segmentation) -> bool:
    return sum(other.bundle == one.bundle for other in drawn) > 1


def _chosen(out: ServedOut, chosen: Sequence[str]) -> Iterable[CaseFiles]:
    for folder in sorted(out.folder.cases.glob("[!.]*")):
        if not chosen or folder.name in chosen:
            try:
                case = open_case(out, folder.name)
            except Problem:
                continue
            if case.report.status == "done" or chosen:
                yield case


def _row(case: CaseFiles) -> dict[str, Any]:
    report = case.report
    facts = report.images[0].facts if report.images else None
    return {
        "out": case.out.out_id,
        "case_id": case.case_id,
        "status": report.status,
        "confidence": report.confidence,
        "confidence_kind": report.confidence_kind,
        "review_first": bool(report.review_first),
        "review_reasons": list(report.review_reasons),
        "n_findings": None if report.findings is None else len(report.findings),
        "labels": list(dict.fromkeys(finding.label for finding in report.findings or ())),
        "modality": facts.modality if facts else None,
        "sex": facts.sex if facts else None,
        "age_years": facts.age_years if facts else None,
        "error_code": report.failure.code if report.failure else "",
        "urgent": False,
        "is_sample": False,
        "verdict": None,
        "stale": False,
        "verdicts": 0,
    }


def _files(case: CaseFiles, answer: Mapping[str, Any], scratch: Scratch) -> Iterable[tuple[str, Path]]:
    for kind in ("images", "segmentations", "heatmaps", "uncertainty"):
        for one in answer[kind]:
            if one["url"] is not None:
                name = one["url"].partition("?")[0].rpartition("/")[2].removesuffix(".nii.gz")
                yield one["url"].partition("?")[0], volume_file(case, name, scratch)
            if one.get("preview_url"):
                yield one["preview_url"].partition("?")[0], preview(case, one["image_id"], scratch)
    if answer["preview_png"]:
        yield answer["preview_png"], case.folder / "preview.png"
