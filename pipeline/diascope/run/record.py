"""The tables of a run: run.json, cases.csv and measurements.csv."""

import csv
import io
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from diascope.config import Settings, without_password
from diascope.errors import ConfigError, InputError
from diascope.findings import BundleStamp, CaseReport, CaseStatus, ConfidenceKind, Measurement, Prediction
from diascope.identity import IdentityKey
from diascope.io.outfolder import OutFolder, write_atomic

# What a result can depend on.
_PACKAGES = ("torch", "monai", "numpy", "scipy", "scikit-image", "nibabel", "pydicom", "mlflow")

# Settings that hold paths or addresses of a person's machine, or say who released a file.
_PRIVATE_SETTINGS = {"key_file", "dir", "uri", "viewer_url", "release"}
_UNTOLD = "not told: it is compared with names of files"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What run.json holds: how the results of this folder came about.

    Attributes:
        format: Version of the output contract.
        diascope: Version of the package.
        command: Name of the command.
        inputs: How many files and folders were given; their paths are private.
        config_name: Name of the yaml, without its folder.
        config: The settings, without paths.
        config_sha256: Of the settings that results depend on.
        bundles: The networks.
        device: Where they ran.
        versions: Of Python, the system and the packages that results depend on.
        key_fingerprint: Which key named the cases.
        tracking_run: Id of the MLflow run; empty where there is none.
        started: When, ISO 8601 in UTC.
        finished: When it ended; empty while it runs.
    """

    format: int
    diascope: str
    command: str
    inputs: int
    config_name: str
    config: dict[str, Any]
    config_sha256: str
    bundles: tuple[BundleStamp, ...]
    device: str
    versions: dict[str, str]
    key_fingerprint: str
    tracking_run: str = ""
    started: str = ""
    finished: str = ""


SHOWN_DIGITS = 12
"""Of a digest, so many are enough to find it again in case.json or run.json."""


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A row of cases.csv.

    Attributes:
        case_id: The case.
        status: How it ended.
        seconds: That it took.
        confidence: Of the least certain network.
        confidence_kind: A raw one promises nothing.
        review_first: Whether somebody should look at it early.
        code: Of the failure.
        images: Images of the study.
        findings: Lesions found; None where no network looks for any.
        reason: Of the failure, or why there was nothing to do.
        out_of_distribution: How unusual the case is, above 1 for one in twenty; None if unknown.
        compared_with: What is usual: the `reference` of its network, or the other cases of the `batch`.
        predictions: The classes of its images with their scores, in words; empty where no network names any.
        settings: First digits of the SHA-256 of the settings that made it: a folder may hold cases of several.
    """

    case_id: str
    status: CaseStatus
    seconds: float
    confidence: float | None
    confidence_kind: ConfidenceKind
    review_first: bool
    code: str
    images: int
    findings: int | None
    reason: str
    out_of_distribution: float | None = None
    compared_with: Literal["reference", "batch", ""] = ""
    predictions: str = ""
    settings: str = ""


def told_settings(settings: Settings) -> dict[str, Any]:
    """Give what run.json may tell of settings: no path, no address, no password, no pattern of a file's name."""
    said: dict[str, Any] = _told(settings.model_dump(mode="python"))
    for use in said.get("bundles", ()):  # a bundle may be named by the path of its folder
        use["name"] = PurePath(use["name"]).name
        use["ensemble"] = [PurePath(name).name for name in use["ensemble"]]
    return said


def _told(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {key: one for key, one in value.items() if key not in _PRIVATE_SETTINGS}
        return {key: _UNTOLD if key == "file_name" and _says(one) else _told(one) for key, one in kept.items()}
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    return without_password(value) if isinstance(value, str) else value


def _says(patterns: Any) -> bool:
    return any(patterns.values()) if isinstance(patterns, Mapping) else bool(patterns)


def versions() -> dict[str, str]:
    """Give the versions of Python, the system and the packages that results depend on."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def time_stamp() -> str:
    """Give the time now, as run.json holds it: ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_record(out: OutFolder, record: RunRecord) -> None:
    """Write run.json."""
    write_atomic(out.run_json, _RECORD.dump_json(record, indent=1) + b"\n")


def read_record(out: OutFolder) -> RunRecord | None:
    """Read run.json; None where there is none.

    Raises:
        InputError: The file is not a run record of this format.
    """
    if not out.run_json.is_file():
        return None
    try:
        record: RunRecord = _RECORD.validate_json(out.run_json.read_bytes())
    except ValidationError:
        raise InputError(
            "run.json of the output folder is not one that this version writes",
            hint="choose another output folder with -o",
        ) from None
    return record


def check_same_key(earlier: RunRecord | None, key: IdentityKey) -> None:
    """Refuse to mix two keys in one output folder: the same patient would have two names.

    Raises:
        ConfigError: The folder was made with another key.
    """
    if earlier is not None and earlier.key_fingerprint != key.fingerprint:
        raise ConfigError(
            f"this output folder was made with the key {earlier.key_fingerprint}, this run has {key.fingerprint}",
            hint="give the same identity.key_file, or another -o",
        )


def check_same_networks(earlier: RunRecord | None, bundles: Iterable[BundleStamp]) -> None:
    """Refuse a run whose results would take the place of those of other networks.

    Raises:
        ConfigError: The folder holds results of a network that this run does not have.
    """
    lost = {one.name for one in earlier.bundles} - {one.name for one in bundles} if earlier is not None else set()
    if lost:
        raise ConfigError(
            f"this output folder holds results of {', '.join(sorted(lost))}, which this run would replace by its own",
            hint="choose another folder with -o, or put all networks into one config",
        )


def row_of(report: CaseReport, seconds: float) -> CaseRow:
    """Sum a report up in one row."""
    reasons = (
        [reason for image in report.images for reason in image.not_chosen] if report.status == "nothing_to_do" else []
    )
    return CaseRow(
        case_id=report.case_id,
        status=report.status,
        seconds=round(seconds, 2),
        confidence=None if report.confidence is None else round(report.confidence, 4),
        confidence_kind=report.confidence_kind,
        review_first=bool(report.review_first),
        code=report.failure.code if report.failure else "",
        images=len(report.images),
        findings=None if report.findings is None else len(report.findings),
        reason=report.failure.reason if report.failure else "; ".join(dict.fromkeys(reasons)),
        out_of_distribution=report.out_of_distribution,
        compared_with="" if report.out_of_distribution is None else "reference",
        predictions=in_words(report.predictions or ()),
        settings=report.config_sha256[:SHOWN_DIGITS],
    )


def in_words(predictions: Sequence[Prediction]) -> str:
    """Say the classes of images in a few words: `tumour, score 0.98`. A score is no per cent."""
    return "; ".join(
        f"{one.target.replace('_', ' ')}{f' ({one.part})' if one.part else ''}, score {one.score:.2f}"
        for one in predictions
        if one.slice_k is None
    )


def write_cases(out: OutFolder, rows: Iterable[CaseRow]) -> None:
    """Write cases.csv, by case_id."""
    names = [field.name for field in fields(CaseRow)]
    ordered = sorted(rows, key=lambda row: row.case_id)
    write_atomic(out.cases_csv, _table(names, (list(asdict(row).values()) for row in ordered)))


def write_measurements(out: OutFolder, numbers: Iterable[tuple[str, Measurement]]) -> None:
    """Write measurements.csv.

    Args:
        out: The output folder.
        numbers: case_id and measurement, in the order of the rows.
    """
    names = ["case_id", *(field.name for field in fields(Measurement))]
    write_atomic(
        out.measurements_csv, _table(names, ([case_id, *asdict(number).values()] for case_id, number in numbers))
    )


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(
            ["" if value is None else json.dumps(value) if isinstance(value, bool) else value for value in row]
        )
    return stream.getvalue()


_RECORD: TypeAdapter[Any] = TypeAdapter(RunRecord)
