from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diascope.bundles.find import BundleInfo, DiascopeBlock
from diascope.errors import BundleError, ConfigError
from diascope.explain.settings import ExplainSettings
from diascope.explain.targets import check_targets, is_explained, largest_component, requests_for


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
    several = bundle("classify", activation="sigmoid")
    top = requests_for(ExplainSettings(), several, np.array([0.1, 3.0], dtype=np.float32))

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


def test_a_segmentation_is_explained_without_being_asked_only_where_its_bundle_names_a_label() -> None:
    anatomy, lesion = bundle("segment"), bundle("segment", explain={"targets": ["tumour"]})

    assert not is_explained(ExplainSettings(), anatomy)
    assert requests_for(ExplainSettings(), anatomy, logits()) == ()
    assert is_explained(ExplainSettings(), lesion)
    assert [one.target_name for one in requests_for(ExplainSettings(), lesion, logits())] == ["tumour"]


def test_labels_of_the_config_win_over_those_of_the_bundle_that_has_them() -> None:
    lesion = bundle("segment", explain={"targets": ["tumour"]})
    drawn = logits()
    drawn[1, 4, 6, 8:] = 5

    of_config = requests_for(ExplainSettings(targets=("oedema",)), lesion, drawn)
    of_another_network = requests_for(ExplainSettings(targets=("ventricles",)), lesion, drawn)

    assert [one.target_name for one in of_config] == ["oedema"]
    assert [one.target_name for one in of_another_network] == ["tumour"]


def test_a_layer_of_the_bundle_goes_with_the_method_of_the_bundle() -> None:
    own = bundle("segment", explain={"method": "hires_cam", "layer": "upsamples.1", "targets": ["tumour"]})

    (same,) = requests_for(ExplainSettings(method="hires_cam"), own, logits())
    (other,) = requests_for(ExplainSettings(method="grad_cam"), own, logits())

    assert same.layer == "upsamples.1"
    assert other.layer is None


def test_a_bundle_that_wishes_for_what_there_is_not_is_refused_before_anything_runs() -> None:
    with pytest.raises(BundleError, match="wants tumor explained") as label:
        check_targets(ExplainSettings(), [bundle("segment", explain={"targets": ["tumor"]})])
    with pytest.raises(BundleError, match="attribution method gradcam") as method:
        check_targets(ExplainSettings(), [bundle("segment", explain={"method": "gradcam"})])

    assert "tumour" in label.value.hint
    assert "grad_cam" in method.value.hint


def test_the_largest_piece_of_a_label_is_explained_where_that_is_asked_for() -> None:
    drawn = logits()
    drawn[2, 4, :2, 9] = 3
    settings = ExplainSettings(targets=("tumour",), part="largest")

    (whole,) = requests_for(ExplainSettings(targets=("tumour",)), bundle("segment"), drawn)
    (largest,) = requests_for(settings, bundle("segment"), drawn)

    assert whole.region is not None
    assert largest.region is not None
    assert (whole.region.sum(), largest.region.sum()) == (10, 8)


def test_the_slice_is_the_one_that_gives_the_image_its_score_and_not_the_one_with_the_highest_logit() -> None:
    # In slice 1 the other class is nearly as strong; slice 2 says less, and of tumour only.
    said = of_slices([0, 0, 0], [0, 4.9, 0], [0, 5, 3])

    (top,) = requests_for(ExplainSettings(), bundle("classify"), said)

    assert (top.target_name, top.slice_at) == ("tumour", 2)


def of_slices(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)[:, None, None, :]


def test_a_classifier_of_slices_is_explained_in_the_slice_that_shows_its_top_class_most() -> None:
    # Background, oedema, tumour in four slices.
    said = of_slices([1, 1, 1, 1], [0, 2, 0, 0], [0, 0, 4, 3])

    (top,) = requests_for(ExplainSettings(), bundle("classify"), said)
    (named,) = requests_for(ExplainSettings(targets=("oedema",)), bundle("classify"), said)

    assert (top.target, top.target_name, top.slice_at) == (2, "tumour", 2)
    assert (named.target, named.target_name, named.slice_at) == (1, "oedema", 1)


@pytest.mark.parametrize(
    ("activation", "said"),
    [("softmax", of_slices([2, 2], [0, 1], [1, 0])), ("sigmoid", of_slices([-1, -2], [-3, -1]))],
)
def test_a_class_that_the_network_does_not_see_is_explained_only_where_it_is_named(
    activation: str, said: np.ndarray
) -> None:
    normal = bundle("classify", activation=activation)

    assert requests_for(ExplainSettings(), normal, said) == ()
    (named,) = requests_for(ExplainSettings(targets=("tumour",)), normal, said)
    assert named.target_name == "tumour"


def test_at_most_five_findings_are_explained_each_in_the_slice_of_its_highest_box() -> None:
    said = np.zeros((6, 4, 1, 20), dtype=np.float32)
    for n in range(7):
        said[:, 0, 0, 2 * n + n // 7] = (0.6 + 0.05 * n, 1 + n % 2, 2, 3, 9, 11)
    said[:, 1, 0, 13] = (0.99, 2, 20, 30, 26, 40)
    said[:, 1, 0, 14] = (0.7, 2, 20, 30, 26, 40)

    found = requests_for(ExplainSettings(), bundle("detect"), said)
    two = requests_for(ExplainSettings(findings=2), bundle("detect"), said)

    assert [one.finding_id for one in found] == [f"glioma-{n}" for n in range(1, 6)]
    assert (found[0].box, found[0].slice_at, found[0].target) == (((20, 30), (26, 40)), 13, 1)
    assert [one.method for one in found] == ["hires_cam"] * 5
    assert len(two) == 2


def test_one_lesion_is_the_largest_piece() -> None:
    drawn = np.zeros((5, 7, 11), dtype=bool)
    drawn[0, :3, 0] = True
    drawn[3:5, 3:6, 8] = True

    assert np.array_equal(np.argwhere(largest_component(drawn)).min(0), [3, 3, 8])
    assert largest_component(drawn).sum() == 6
