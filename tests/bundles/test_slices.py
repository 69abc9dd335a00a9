"""Volumes slice by slice, and an encoder that fits a segmentation network's weights."""

import pytest
import torch
from monai.data import MetaTensor
from monai.networks.nets import DynUNet

from diascope.bundles.slices import EachSlice, SliceClassifier, UNetEncoder

FILTERS = (4, 8, 8, 16)


def test_a_classifier_of_slices_gives_one_voxel_per_slice_in_order() -> None:
    volume = torch.arange(5.0).expand(1, 2, 3, 4, 5)

    said = EachSlice(batch_size=2)(volume, lambda slices: slices[:, :, 0, 0] * torch.tensor([1.0, 10.0]))

    assert said.shape == (1, 2, 1, 1, 5)
    assert said[0, :, 0, 0].tolist() == [[0, 1, 2, 3, 4], [0, 10, 20, 30, 40]]


def test_a_detector_of_slices_gives_its_rows_per_slice() -> None:
    volume = torch.arange(5.0).expand(1, 2, 3, 4, 5)

    said = EachSlice(batch_size=3)(volume, lambda slices: slices[:, :1, 0, :1].expand(-1, 6, 8))

    assert said.shape == (1, 6, 8, 1, 5)
    assert said[0, 3, 7, 0].tolist() == [0, 1, 2, 3, 4]


def test_stock_monai_keeps_the_name_of_the_file() -> None:
    volume = MetaTensor(torch.zeros((1, 1, 4, 4, 3)), meta={"filename_or_obj": "scan.nii.gz"})

    said = EachSlice()(volume, lambda slices: slices.mean((2, 3)))

    assert isinstance(said, MetaTensor)
    assert said.meta["filename_or_obj"] == "scan.nii.gz"


def test_the_encoder_has_the_names_and_the_features_of_a_segmentation_network() -> None:
    args = {"kernel_size": [3] * 4, "strides": [1, 2, 2, 2], "upsample_kernel_size": [2] * 3, "filters": list(FILTERS)}
    act = ("leakyrelu", {"inplace": True, "negative_slope": 0.01})
    whole = DynUNet(2, 3, 2, **args, norm_name="batch", act_name=act).eval()
    encoder = UNetEncoder(2, 3, FILTERS).eval()
    stored = {name: value for name, value in whole.state_dict().items() if name in encoder.state_dict()}

    encoder.load_state_dict(stored, strict=True)

    image = torch.randn((2, 3, 32, 48))
    with torch.inference_mode():
        levels = encoder(image)
        first = whole.input_block(image)
    assert [tuple(level.shape) for level in levels] == [
        (2, 4, 32, 48),
        (2, 8, 16, 24),
        (2, 8, 8, 12),
        (2, 16, 4, 6),
    ]
    assert levels[0] == pytest.approx(first)


def test_a_classifier_gives_a_number_per_class_whatever_the_size_of_the_slice() -> None:
    network = SliceClassifier(1, 3, FILTERS).eval()

    with torch.inference_mode():
        assert network(torch.zeros((2, 1, 32, 48))).shape == (2, 3)
        assert network(torch.zeros((2, 1, 64, 40))).shape == (2, 3)
