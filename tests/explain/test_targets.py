from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diascope.bundles.find import BundleInfo, DiascopeBlock
from diascope.errors import ConfigError
from diascope.explain.settings import ExplainSettings
from diascope.explain.targets import check_targets, largest_component, requests_for


def bundle(task: str, **more: Any) -> BundleInfo:
    block = DiascopeBlock.model_validate(
        {"task": task, "needs": "index", "labels": {1: "oedema", 2: "tumour"}, "licence": "CC0-1.0", **more}
    )
    return BundleInfo("glioma", Path("glioma"), "1.0", "", block)


def logits() -> np.ndarray:
    scores = np.zeros((3, 5, 7, 11), dtype=np.float32)
    scores[0] = 1
    scores[2, 1:3, 2:6, 4] = 3
    return scores


def test_a_segmentation_is_explained_only_where_a_label_is_named_and_drawn() -> None:
    asked = requests_for(ExplainSettings(targets=("tumour", "oedema")), bundle("segment"), logits())

    assert [(one.target, one.target_name) for one in asked] == [(2, "tumour")]
    assert asked[0].region is not None
    assert np.argwhere(asked[0].region).min(0).tolist() == [1, 2, 4]
    assert asked[0].region.sum() == 8
    assert requests_for(ExplainSettings(), bundle("segment"), logits()) == ()


def test_a_classifier_is_explained_by_the_class_it_chose_or_those_named() -> None:
    scores = np.array([0.1, 3.0, -1.0], dtype=np.float32)

    top = requests_for(ExplainSettings(), bundle("classify"), scores)
    named = requests_for(ExplainSettings(targets=("tumour",)), bundle("classify"), scores)

    assert [(one.target, one.target_name) for one in top] == [(1, "oedema")]
    assert [(one.target, one.target_name) for one in named] == [(2, "tumour")]


def test_a_classifier_without_a_background_channel_counts_its_classes_from_0() -> None:
    top = requests_for(ExplainSettings(), bundle("classify"), np.array([0.1, 3.0], dtype=np.float32))

    assert [(one.target, one.target_name) for one in top] == [(1, "tumour")]


def test_a_bundle_names_its_own_method_and_layer_and_the_config_wins() -> None:
    own = bundle("segment", explain={"method": "hires_cam", "layer": "upsamples.1"})

    (by_bundle,) = requests_for(ExplainSettings(targets=("tumour",)), own, logits())
    (by_config,) = requests_for(ExplainSettings(targets=("tumour",), method="occlusion", layer="top"), own, logits())

    assert (by_bundle.method, by_bundle.layer) == ("hires_cam", "upsamples.1")
    assert (by_config.method, by_config.layer) == ("occlusion", "top")


def test_a_target_that_no_network_has_names_the_near_ones() -> None:
    check_targets(ExplainSettings(targets=("tumour",)), [bundle("segment")])

    with pytest.raises(ConfigError, match="no network of this run has a target tumor") as caught:
        check_targets(ExplainSettings(targets=("tumor",)), [bundle("segment")])
    assert "tumour" in caught.value.hint


def test_one_lesion_is_the_largest_piece() -> None:
    drawn = np.zeros((5, 7, 11), dtype=bool)
    drawn[0, :3, 0] = True
    drawn[3:5, 3:6, 8] = True

    assert np.array_equal(np.argwhere(largest_component(drawn)).min(0), [3, 3, 8])
    assert largest_component(drawn).sum() == 6
