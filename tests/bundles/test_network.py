"""A bundle made ready to run gives what MONAI's own steps give."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd, Spacingd

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.bundles.lock import write_lock
from diascope.bundles.network import open_network, prepare_input
from diascope.errors import BundleError
from diascope.findings import ImageFacts
from diascope.geometry import Grid, IndexGrid
from diascope.io.write_nifti import write_volume
from diascope.tasks.inference import run_network
from diascope.volume import Volume
from tests.phantom_volumes import asymmetric_head
from tests.tiny_bundle import THRESHOLD, write_tiny_bundle


def relocked(folder: Path, change: dict[str, object]) -> BundleInfo:
    file = folder / "configs" / "inference.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    write_lock(folder.parent / "bundles.lock", folder)
    return find_bundle(folder.name, folder.parent)


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
def test_the_input_is_the_one_that_stock_monai_makes_from_the_file(tmp_path: Path) -> None:
    volume = asymmetric_head().volume
    file = tmp_path / "head.nii.gz"
    write_volume(file, volume)
    bundle = find_bundle(write_tiny_bundle(tmp_path / "models", spacing_mm=(5.0, 5.0, 5.0)).name, tmp_path / "models")

    # A NIfTI file holds its affine in single precision, and MONAI's Spacing starts at
    # another corner when the last digits differ: both must get the same numbers.
    as_stored = Grid(volume.space.shape, np.asarray(nib.load(file).affine, np.float64))
    prepared = prepare_input(bundle, replace(volume, space=as_stored))

    stock = Compose(
        [
            LoadImaged("image", reader="NibabelReader"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", pixdim=(5.0, 5.0, 5.0), mode="bilinear"),
        ]
    )({"image": str(file)})["image"]
    assert prepared.data.shape == tuple(stock.shape)
    assert prepared.affine == pytest.approx(stock.affine.numpy(), abs=1e-9)
    assert (prepared.data == stock.numpy()).all()


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
def test_channels_are_those_that_stock_monai_makes_of_a_list_of_files(tmp_path: Path) -> None:
    first = asymmetric_head().volume
    other = replace(first, data=(first.data[::-1] * 2).copy())
    files = [tmp_path / "t1.nii.gz", tmp_path / "flair.nii.gz"]
    for file, volume in zip(files, (first, other), strict=True):
        write_volume(file, volume)
    bundle = find_bundle(write_tiny_bundle(tmp_path / "models", spacing_mm=(5.0, 5.0, 5.0)).name, tmp_path / "models")
    as_stored = Grid(first.space.shape, np.asarray(nib.load(files[0]).affine, np.float64))

    prepared = prepare_input(bundle, replace(first, space=as_stored), replace(other, space=as_stored))

    stock = Compose(
        [
            LoadImaged("image", reader="NibabelReader"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", pixdim=(5.0, 5.0, 5.0), mode="bilinear"),
        ]
    )({"image": [str(file) for file in files]})["image"]
    assert prepared.data.shape == tuple(stock.shape)
    assert prepared.data.shape[0] == 2
    assert prepared.affine == pytest.approx(stock.affine.numpy(), abs=1e-9)
    assert (prepared.data == stock.numpy()).all()


def test_an_image_without_a_frame_keeps_its_voxel_order_and_gets_no_millimetres(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path, needs="index")
    data = np.arange(5 * 7 * 11, dtype=np.int16).reshape(5, 7, 11)
    volume = Volume(data, IndexGrid((5, 7, 11)), ImageFacts(), "img-000000000000001")

    prepared = prepare_input(find_bundle(folder.name, tmp_path), volume)

    assert (prepared.data[0] == data).all()
    assert (prepared.affine == np.eye(4)).all()


def test_the_network_draws_what_is_brighter_than_its_threshold(tmp_path: Path) -> None:
    bundle = find_bundle(write_tiny_bundle(tmp_path).name, tmp_path)
    head = asymmetric_head()
    prepared = prepare_input(bundle, head.volume)

    logits = run_network(open_network(bundle.folder, bundle.sha256, "cpu"), prepared)

    assert (logits.argmax(axis=0) == (prepared.data[0] > THRESHOLD)).all()
    assert (logits.argmax(axis=0) == 1).sum() == head.marker.sum()


def test_half_precision_gives_nearly_the_same(tmp_path: Path) -> None:
    bundle = find_bundle(write_tiny_bundle(tmp_path).name, tmp_path)
    prepared = prepare_input(bundle, asymmetric_head().volume)
    opened = open_network(bundle.folder, bundle.sha256, "cpu")

    full, half = run_network(opened, prepared, "float32"), run_network(opened, prepared, "bfloat16")

    assert 0 < np.abs(full - half).max() < 0.2


def test_a_bundle_is_loaded_once_for_many_cases(tmp_path: Path) -> None:
    bundle = find_bundle(write_tiny_bundle(tmp_path).name, tmp_path)

    first = open_network(bundle.folder, bundle.sha256, "cpu")

    assert open_network(bundle.folder, bundle.sha256, "cpu") is first
    assert not any(weight.requires_grad for weight in first.network.parameters())
    assert not first.network.training


def test_a_bundle_that_changes_while_a_run_is_on_is_not_opened(tmp_path: Path) -> None:
    bundle = find_bundle(write_tiny_bundle(tmp_path).name, tmp_path)
    card = tmp_path / "tiny_bright" / "configs" / "inference.json"
    card.write_text(card.read_text().replace("0.25", "0.5"))

    with pytest.raises(BundleError, match="tiny_bright: a file was changed while the run was on"):
        open_network(bundle.folder, bundle.sha256, "cpu")
    with pytest.raises(BundleError, match="a file was changed"):
        prepare_input(bundle, asymmetric_head().volume)


def test_weights_that_do_not_fit_the_network_are_an_error_of_the_bundle(tmp_path: Path) -> None:
    wider = {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 3, "kernel_size": 1}
    bundle = relocked(write_tiny_bundle(tmp_path), {"network_def": wider})

    with pytest.raises(BundleError, match="tiny_bright cannot be built: RuntimeError"):
        open_network(bundle.folder, bundle.sha256, "cpu")


def test_a_step_that_fails_names_the_bundle_and_the_shape(tmp_path: Path) -> None:
    steps = {"_target_": "Compose", "transforms": [{"_target_": "Flipd", "keys": "no_such_key", "spatial_axis": 0}]}
    bundle = relocked(write_tiny_bundle(tmp_path), {"preprocessing": steps})

    with pytest.raises(BundleError, match=r"preprocessing failed on an image of shape \(44, 52, 20\)"):
        prepare_input(bundle, asymmetric_head().volume)


def test_no_gradient_and_no_hook_is_left_on_the_network(tmp_path: Path) -> None:
    bundle = find_bundle(write_tiny_bundle(tmp_path).name, tmp_path)
    opened = open_network(bundle.folder, bundle.sha256, "cpu")

    run_network(opened, prepare_input(bundle, asymmetric_head().volume))

    assert all(parameter.grad is None for parameter in opened.network.parameters())
    assert not any(module._forward_hooks for module in opened.network.modules())
    torch.save(opened.network, tmp_path / "network.pt")


def test_the_written_volume_is_what_nibabel_reads_and_the_network_gets(tmp_path: Path) -> None:
    volume = asymmetric_head().volume
    write_volume(tmp_path / "head.nii.gz", volume)

    assert (nib.load(tmp_path / "head.nii.gz").get_fdata(dtype=np.float32) == volume.data).all()
