"""A real MLflow store, made once: its first use takes some ten seconds of migrations."""

import shutil
import warnings
from pathlib import Path

import pytest

from diascope.run.tracking.sender import ENVIRONMENT


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sqlite store without experiments of ours."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        # MLflow and what it imports warn of each other's future; that is not ours to mend.
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient

        file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
        MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the empty store, and MLflow's environment as the sender has it."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    file = tmp_path / "store" / "mlflow.db"
    file.parent.mkdir()
    shutil.copy(empty_store, file)
    return file
