"""A plan that is written down before the truth is read, and what became of it."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from diascope.config import settings_hash
from diascope.errors import InputError
from diascope.evaluation.audit.audit import UNREGISTERED
from diascope.evaluation.audit.result import Registration
from diascope.evaluation.audit.settings import AuditSettings
from diascope.io.outfolder import output_errors, write_atomic

FILE = "plan.json"


def register(settings: AuditSettings, folder: Path, now: datetime) -> Registration:
    """Write the plan, its hash and the time into the audit's folder.

    Args:
        settings: The plan.
        folder: Of the audit; made if need be.
        now: In UTC.

    Raises:
        InputError: Another plan is registered there already.
    """
    known = read_registration(settings, folder)
    if known.registered and known.changes:
        raise InputError(
            f"another plan was registered here at {known.registered}: {len(known.changes)} settings differ",
            hint="choose another output folder: a registered plan is not overwritten",
            code="registered",
        )
    if known.registered:
        return known
    plan = {
        "registered": now.isoformat(timespec="seconds"),
        "sha256": settings_hash(settings),
        "plan": settings.model_dump(mode="json"),
    }
    with output_errors("the audit's plan"):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / FILE, json.dumps(plan, indent=1) + "\n")
    return Registration(str(plan["registered"]), str(plan["sha256"]), ())


def read_registration(settings: AuditSettings, folder: Path) -> Registration:
    """Say whether a plan was registered, and which settings are no longer what it says.

    Raises:
        InputError: The file is not a plan.
    """
    if not (folder / FILE).is_file():
        return UNREGISTERED
    try:
        plan = json.loads((folder / FILE).read_text(encoding="utf-8"))
        registered, sha256, was = str(plan["registered"]), str(plan["sha256"]), dict(plan["plan"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the registered plan cannot be read: {type(error).__name__}", code="bad_plan") from None
    before, after = _flat(was), _flat(settings.model_dump(mode="json"))
    changes = tuple(
        f"{key}: {before.get(key, 'not set')} became {after.get(key, 'not set')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    )
    if not changes and settings_hash(settings) != sha256:
        changes = ("the file of the plan was edited: its hash does not fit",)
    return Registration(registered, sha256, changes)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found.update(_flat(value, f"{prefix}{key}."))
        else:
            found[prefix + key] = value
    return found
