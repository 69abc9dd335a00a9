"""What an audit found out stands on the registered version of the bundle, in a real store."""

from pathlib import Path
from typing import Any

import pytest

from diascope.run.tracking.sender import send_pending
from diascope.run.tracking.spool import Spool
from diascope.run.tracking.target import Target

RUN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def registry(store: Path) -> Any:
    """Three versions of a network: another digest, the digest, and an old one that carries none."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    client.create_registered_model("net")
    for tags in ({"version": "1.0.0", "sha256": "aa"}, {"version": "1.0.0", "sha256": "bb"}, {"version": "0.9.0"}):
        client.create_model_version("net", "file:///nowhere", tags=tags)
    return client


def tags_after(root: Path, store: Path, registry: Any, **model: str) -> dict[str, dict[str, str]]:
    spool = Spool(root / "tracking.jsonl", clock=lambda: 1_700_000_000.0)
    spool.add("run", RUN, {"name": "brain_mri", "same_as": "x", "params": {}, "tags": {}})
    spool.add("model_tags", RUN, {**model, "tags": {"audit.verdict": "fail"}})
    result = send_pending(root, Target(f"sqlite:///{store}", "diascope", "auto"))
    assert (result.left, result.problem) == (0, "")
    found = {str(one.version): dict(one.tags) for one in registry.search_model_versions("name = 'net'")}
    tagged = {version for version, tags in found.items() if "audit.verdict" in tags}
    assert all(found[version]["audit.run"] == result.run_id for version in tagged)
    return {version: found[version] for version in tagged}


@pytest.mark.parametrize(
    ("model", "tagged"),
    [
        ({"name": "net", "sha256": "bb", "version": "1.0.0"}, {"2"}),
        ({"name": "net", "sha256": "cc", "version": "0.9.0"}, {"3"}),  # registered before digests were kept
        ({"name": "net", "sha256": "cc", "version": "1.0.0"}, set()),  # the same version, but other files
        ({"name": "another", "sha256": "bb", "version": "1.0.0"}, set()),
    ],
)
def test_the_version_of_these_very_files_is_tagged_and_no_other(
    tmp_path: Path, store: Path, registry: Any, model: dict[str, str], tagged: set[str]
) -> None:
    found = tags_after(tmp_path, store, registry, **model)

    assert set(found) == tagged
    assert {tags["audit.verdict"] for tags in found.values()} <= {"fail"}
