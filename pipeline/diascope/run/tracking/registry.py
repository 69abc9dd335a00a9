"""A bundle in MLflow: its files with the run that made it, and a version in the model registry.

Called by `sender.py` only, in its process.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Where a bundle's files lie among a run's artifacts.
BUNDLE_FOLDER = "bundle"

CUT = "\n\n... The whole card is docs/README.md of the bundle."


def register_bundle(client: Any, run_id: str, folder: Path, model: Mapping[str, Any], longest: int) -> None:
    """Log a bundle's files and make them a version of its registered model; the card is the description.

    A run has one version, however often it is sent; it tells of the bundle as it was sent last.

    Args:
        client: MLflow's.
        run_id: The run that made it.
        folder: The bundle.
        model: Its name, its tags, and the text of its card.
        longest: Characters that MLflow takes as a description.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - three seconds, and only where it is needed

    client.log_artifacts(run_id, str(folder), BUNDLE_FOLDER)
    name, card = model["name"], model["card"]
    note = card if len(card) <= longest else f"{card[: longest - len(CUT)]}{CUT}"
    try:
        client.create_registered_model(name, description=note)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        client.update_registered_model(name, description=note)
    mine = [version for version in client.search_model_versions(f"name = '{name}'") if version.run_id == run_id]
    if not mine:
        source = f"runs:/{run_id}/{BUNDLE_FOLDER}"
        client.create_model_version(name, source, run_id, tags=dict(model["tags"]), description=note)
    for version in mine:
        # The same training made its bundle anew: other words on the card, and so another digest.
        client.update_model_version(name, version.version, description=note)
        for key, value in model["tags"].items():
            client.set_model_version_tag(name, version.version, key, value)


def tag_version(client: Any, run_id: str, model: Mapping[str, Any], longest: int) -> None:
    """Tag the version of a registered model that is this bundle: by its digest, else by its version.

    Args:
        client: MLflow's.
        run_id: The run that found it out; the version says so.
        model: Its name, digest, version, and the tags.
        longest: Characters that MLflow takes as a value.
    """
    every = client.search_model_versions(f"name = '{model['name']}'")
    same = [one for one in every if one.tags.get("sha256") == model["sha256"]]
    # Versions that were registered before the digest was kept.
    alike = [one for one in every if "sha256" not in one.tags and one.tags.get("version") == model["version"]]
    for one in same or alike:
        for key, value in {**model["tags"], "audit.run": run_id}.items():
            client.set_model_version_tag(model["name"], one.version, key, value[:longest])
