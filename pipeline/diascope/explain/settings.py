"""What a run may be told about heatmaps; no torch in here, because every run reads its settings."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from diascope.config import Settings

MethodName = Literal[
    "deep_lift",
    "grad_cam",
    "guided_backprop",
    "guided_grad_cam",
    "hires_cam",
    "integrated_gradients",
    "kernel_shap",
    "lrp",
    "occlusion",
    "smooth_grad",
]


class MethodBudget(Settings):
    """How much an attribution method may compute. More is finer and slower."""

    steps: PositiveInt = 32
    """Integrated gradients: points on the way from the baseline to the image."""

    draws: PositiveInt = 16
    """SmoothGrad: noisy copies of the image."""

    noise: Annotated[float, Field(gt=0, le=1)] = 0.15
    """SmoothGrad: standard deviation of the noise as a share of the image's range."""

    cells: Annotated[int, Field(ge=2)] = 16
    """Occlusion: patches along the longest axis of a window."""

    supervoxels: Annotated[int, Field(ge=2)] = 40
    """KernelSHAP: pieces that a window is cut into."""

    samples: PositiveInt = 400
    """KernelSHAP: sets of pieces that are tried; at least twice as many as pieces."""

    windows_at_once: PositiveInt = 8
    """Windows in one pass. More is not faster on a CPU: they leave its cache."""


class CheckSettings(Settings):
    """How a heatmap is questioned."""

    enabled: bool = True
    """Ask the dear questions (weights, faithfulness) at all."""

    sample: Annotated[int, Field(ge=0)] = 10
    """Cases of a batch that are asked them at most; the others are `unchecked`."""

    share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Part of a batch that is asked them, rounded up: small batches do not spend most of their time on it."""

    cases: tuple[str, ...] = ()
    """Cases by their case_id that are asked them besides: the rest of a finished batch stays as it is."""

    seed: int = 0
    """Of the sample and of everything random in the questions."""

    reinitialisations: Annotated[int, Field(ge=2)] = 5
    """Networks with fresh weights whose maps are compared."""

    random_maps: Annotated[int, Field(ge=2)] = 19
    """Maps drawn at random that the heatmap must beat: it is better than all of 19 by chance once in 20."""

    centre_blobs: Annotated[int, Field(ge=2)] = 6
    """Blobs around the body's centre that it must beat."""

    cells: Annotated[int, Field(ge=2)] = 16
    """Pieces along the longest axis of a window that are deleted and inserted."""

    steps: Annotated[int, Field(ge=2)] = 5
    """Points of a deletion curve."""

    windows: PositiveInt = 2
    """Windows that are deleted and inserted, those with the most to explain first."""

    removals: Annotated[int, Field(ge=4)] = 16
    """Random removals for the infidelity."""

    noisy_images: PositiveInt = 2
    """Slightly noisy images for the max-sensitivity."""


class ExplainSettings(Settings):
    """Which heatmaps are made, and how they are checked."""

    method: MethodName | None = None
    """How; None: as the bundle prefers, else grad_cam, and hires_cam for a finding."""

    targets: tuple[str, ...] = ()
    """Labels or classes. None of a network's named: what its bundle names, else the class that a classifier chose,
    the findings of a detector, and nothing of a segmentation."""

    draw_unsupported: bool = False
    """Previews show maps that failed a question too, marked as such."""

    findings: PositiveInt = 5
    """Of a detector: how many are explained at most, the highest scores first."""

    part: Literal["label", "largest"] = "label"
    """Of a segmentation: everything that was drawn of a label, or its largest connected piece, as one lesion."""

    layer: str | None = None
    """Of the network, for the methods that look at one; None chooses it by the grid it yields."""

    budget: MethodBudget = MethodBudget()
    """How much the method may compute."""

    checks: CheckSettings = CheckSettings()
    """How the map is questioned."""
