"""A bundle's own inference config: written once, and used by the training itself.

Training, the bundle under stock MONAI and the bundle in our pipeline run the
very same preprocessing, because there is one description of it.
"""

from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigParser
from monai.transforms import Compose

from diascope.train.answer_kinds import postprocessing
from diascope.train.components import bundle_inferer, bundle_network, bundle_preprocessing
from diascope.train.settings import TrainConfig


def inference_config(config: TrainConfig) -> dict[str, Any]:
    """Write configs/inference.json: stock MONAI components only."""
    steps = bundle_preprocessing(config.preprocessing)
    return {
        # The submodule must be loaded and the package have a name; one import does only one of the two here.
        "imports": [
            "$import glob",
            "$import os",
            "$import torch",
            "$import safetensors",
            "$import safetensors.torch",
        ],
        "bundle_root": ".",
        "input_dir": "$@bundle_root + '/input'",
        "output_dir": "$@bundle_root + '/eval'",
        "output_ext": ".nii.gz",
        "datalist": "$[{'image': path} for path in sorted(glob.glob(os.path.join(@input_dir, '*.nii*')))]",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": bundle_network(config.network),
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "image_only": True},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                *([] if config.bundle.needs == "grid" else [_placed("image", "torch.eye(4, dtype=torch.float64)")]),
                *steps,
                {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": bundle_inferer(config.inferer),
        "postprocessing": {
            "_target_": "Compose",
            "transforms": postprocessing(
                config, [] if config.bundle.needs == "grid" else [_placed("pred", "x.meta['original_affine']")]
            ),
        },
        "checkpointloader": "$safetensors.torch.load_file(@bundle_root + '/models/model.safetensors')",
        # Weights may be stored as float16; load_state_dict casts them to the network's float32.
        "initialize": ["$@network.load_state_dict(@checkpointloader)"],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }


def _placed(key: str, affine: str) -> dict[str, Any]:
    """Write a step that gives an image of a file without geometry another affine.

    Where sform_code and qform_code are 0 nibabel makes an affine up that mirrors the first axis
    (https://nipy.org/nibabel/nifti_images.html#the-fall-back-header-affine), and Orientationd believes
    it. Such voxels lie nowhere: stock MONAI then keeps their own order, as a run of ours does. What is
    saved has the file's affine again.
    """
    is_nowhere = "not (x.meta.get('sform_code', 1) or x.meta.get('qform_code', 1))"
    meta = f"{{**x.meta, 'affine': {affine}}}"
    made = f"monai.data.MetaTensor(x.as_tensor(), meta={meta}, applied_operations=x.applied_operations)"
    return {"_target_": "Lambdad", "keys": key, "func": f"$lambda x: {made} if {is_nowhere} else x"}


def preprocessing_after_reading(written: Mapping[str, Any]) -> Compose:
    """Build a bundle's preprocessing without its reader, for images that are read already."""
    steps = written["preprocessing"]["transforms"][2:]
    parser = ConfigParser({**written, "preprocessing": {"_target_": "Compose", "transforms": steps}})
    built: Compose = parser.get_parsed_content("preprocessing")
    return built


def built_inferer(written: Mapping[str, Any]) -> Any:
    """Build a bundle's inferer."""
    return ConfigParser(dict(written)).get_parsed_content("inferer")
