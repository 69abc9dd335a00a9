"""What a person may say about tracking; no MLflow in here."""

from typing import Annotated, Literal

from pydantic import Field

from diascope.config import Settings


class TrackingSettings(Settings):
    """Where MLflow is, and what may go there."""

    enabled: bool = True
    """Whether a run is tracked at all."""

    uri: str | None = None
    """MLflow's tracking URI; where not set MLFLOW_TRACKING_URI, else a sqlite store in the user's data folder."""

    experiment: str = "diascope"
    """Name of the MLflow experiment."""

    viewer_url: Annotated[str, Field(pattern=r"^(https?://[^\s#?@]+)?$")] = ""
    """Where readers reach `diascope view`, such as https://reading.example/diascope: MLflow's pages of a run then link
    to its cases and findings. Where it is not set they tell the paths."""

    artifacts: Literal["auto", "all", "none"] = "auto"
    """auto: pictures go to a store on this machine only, tables and the report anywhere. all: pictures go to a
    server too. none: no files at all."""
