"""Training images are plain tensors, the same ones that MONAI's transforms make with their notes."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from monai.data import MetaTensor, get_track_meta
from monai.transforms import Compose

from diascope.config import find_config
from diascope.train.components import build_augmentation
from diascope.train.settings import load_train_config
from diascope.train.sources import altered

GIVEN = {
    "image": torch.rand(3, 40, 44, generator=torch.Generator().manual_seed(1)),
    "label": torch.ones(1, 40, 44, dtype=torch.uint8).tril(),
}


def test_an_altered_slice_is_what_monai_makes_without_its_notes() -> None:
    augmentation = build_augmentation(load_train_config(find_config("train_flair_glioma_segmentation")).augmentation)

    for seed in (1, 2, 3, 4):
        ours = altered(augmentation, GIVEN, seed)
        augmentation.set_random_state(seed=seed)
        stock: Any = augmentation(dict(GIVEN))

        assert {type(one) for one in ours.values()} == {torch.Tensor}
        assert isinstance(stock["image"], MetaTensor)
        assert all(torch.equal(ours[key], stock[key].as_tensor()) for key in GIVEN)


def test_notes_are_taken_again_afterwards_also_where_a_transform_fails() -> None:
    taken: list[bool] = []

    def fail(_given: Mapping[str, Any]) -> None:
        taken.append(get_track_meta())
        raise ValueError("whatever it was")

    with pytest.raises(RuntimeError, match="applying transform"):
        altered(Compose([fail]), GIVEN, 1)

    assert taken == [False]
    assert get_track_meta()
