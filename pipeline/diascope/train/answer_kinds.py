"""What a trained network answers with, in the words of a bundle: its task, how stock MONAI saves it."""

from typing import Any, Literal

from diascope.bundles.detector import ROWS
from diascope.train.settings import TrainConfig
from diascope.train.source_settings import BoxSettings, ClassSettings

Task = Literal["segment", "classify", "detect"]


def task_of(config: TrainConfig) -> Task:
    """Say which question the network answers: the kind of its training images tells."""
    if isinstance(config.source, ClassSettings):
        return "classify"
    return "detect" if isinstance(config.source, BoxSettings) else "segment"


def postprocessing(config: TrainConfig, before_saving: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write the steps with which stock MONAI turns the network's numbers into files.

    A label map lies on the source's voxels. Scores of slices, (classes, 1, 1, k), and boxes,
    (6, boxes, 1, k) on the grid of the network's input, are saved as they are, as float32.

    Args:
        config: The training.
        before_saving: Steps of a label map on its way back to the source's voxels.
    """
    task = task_of(config)
    if task == "segment":
        return [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "image",
                "nearest_interp": False,
                "to_tensor": True,
            },
            *before_saving,
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            _save("seg", "uint8"),
        ]
    if task == "classify":
        return [{"_target_": "Activationsd", "keys": "pred", "softmax": True}, _save("classes", "float32")]
    return [_save("boxes", "float32")]


def output_description(config: TrainConfig, channels: dict[str, str]) -> dict[str, Any]:
    """Describe the network's output as metadata.json does.

    Args:
        config: The training.
        channels: Name of each class by its number, background first.
    """
    task = task_of(config)
    if task == "detect":
        rows = ("score", "label", "i0", "j0", "i1", "j1")
        return {
            "type": "tensor",
            "format": "boxes",
            "num_channels": ROWS,
            "channel_def": {str(at): name for at, name in enumerate(rows)},
        }
    return {
        "type": "image" if task == "segment" else "probabilities",
        "format": "segmentation" if task == "segment" else "classes",
        "num_channels": len(channels),
        "channel_def": channels,
    }


def _save(postfix: str, dtype: str) -> dict[str, Any]:
    return {
        "_target_": "SaveImaged",
        "keys": "pred",
        "output_dir": "@output_dir",
        "output_ext": "@output_ext",
        "output_dtype": f"$'{dtype}'",
        "output_postfix": postfix,
        "resample": False,
        "print_log": False,
    }
