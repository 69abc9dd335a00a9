"""Label maps are checked value by value, and know where the brain is."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from diascope.config import parse_settings
from diascope.errors import ConfigError, InputError
from diascope.train.label_maps import LabelMap, label_frequencies, read_label_map, read_tissue_table
from diascope.train.manifest import read_manifest
from diascope.train.settings import SynthesisSettings, TrainConfig
from diascope.train.sources import class_weights
from tests.train.training_phantoms import head_values, write_heads


def read_first(root: Path) -> LabelMap:
    config = parse_settings(TrainConfig, write_heads(root))
    return read_again(config)


def read_again(config: TrainConfig) -> LabelMap:
    assert isinstance(config.source, SynthesisSettings)
    table = read_tissue_table(config.source, config.bundle.labels, config.data_root)
    return read_label_map(read_manifest(config.manifest, config.data_root)[0], table)


def test_the_brains_middle_is_where_the_phantom_has_it(tmp_path: Path) -> None:
    source = read_first(tmp_path)

    assert source.voxel_mm == (1.0, 1.0, 1.0)
    assert source.centre_ijk == pytest.approx(np.argwhere(np.isin(head_values(0), [2, 3, 41, 42])).mean(0))


def test_near_the_brain_reaches_five_voxels_beyond_it_and_no_further(tmp_path: Path) -> None:
    source = read_first(tmp_path)
    brain = np.isin(head_values(0), [2, 3, 41, 42])
    top = int(np.argwhere(brain).max(0)[2])
    column = source.near_brain[19, 22]

    assert bool(column[min(top + 5, 41)])
    assert not bool(column[top + 6 :].any())


def test_a_value_that_the_table_does_not_hold_is_named_with_the_case(tmp_path: Path) -> None:
    config = parse_settings(TrainConfig, write_heads(tmp_path))
    values = head_values(0)
    values[5, 5, 5] = 77
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "head-0.nii.gz")

    with pytest.raises(InputError, match=r"case head-0: the label map holds \[77\]"):
        read_again(config)


def test_a_map_without_any_structure_is_refused(tmp_path: Path) -> None:
    config = parse_settings(TrainConfig, write_heads(tmp_path))
    nib.save(nib.Nifti1Image(np.full((9, 8, 7), 500, np.int16), np.eye(4)), tmp_path / "head-0.nii.gz")

    with pytest.raises(InputError, match="case head-0: the label map shows none of the structures"):
        read_again(config)


def test_a_label_made_of_an_unknown_value_is_a_mistake_of_the_config(tmp_path: Path) -> None:
    values = write_heads(tmp_path)
    values["bundle"]["labels"][1]["source_values"] = [2, 4711]

    with pytest.raises(ConfigError, match=r"names the values \[4711\]"):
        read_again(parse_settings(TrainConfig, values))


def test_frequencies_are_those_counted_by_hand_and_rare_labels_weigh_more(tmp_path: Path) -> None:
    config = parse_settings(TrainConfig, write_heads(tmp_path))
    assert isinstance(config.source, SynthesisSettings)
    table = read_tissue_table(config.source, config.bundle.labels, tmp_path)
    source = read_again(config)
    near = source.near_brain.numpy()
    core = np.isin(head_values(0), [2, 41])[near].mean()

    found = label_frequencies([source], table)
    weights = class_weights(found, "inverse_sqrt_frequency")

    assert found[2] == pytest.approx(core)
    assert found.sum() == pytest.approx(1.0)
    assert weights is not None
    assert weights[2] / weights[1] == pytest.approx(np.sqrt(found[1] / found[2]))
    assert torch.tensor(weights).mean() == pytest.approx(1.0)
