from dataclasses import replace

import numpy as np
import pytest
import torch

from diascope.explain.attribution import Attribution, Method, MethodInput
from diascope.explain.checks import check, choose_checked, verdict
from diascope.explain.heatmap import Explained, explain
from diascope.explain.methods import METHODS
from diascope.explain.randomisation import reinitialised
from diascope.explain.reference import FeatureReference, NetworkReference, confidence_of, features_of, weights_digest
from diascope.explain.request import ExplainRequest, RawMap
from diascope.explain.settings import CheckSettings
from diascope.findings import Check
from tests.explain.networks import CornerClassifier, CornerSegmenter, classify, opened, textured

FEW = CheckSettings(reinitialisations=4, random_maps=12, centre_blobs=4, cells=8, steps=5, removals=12, noisy_images=2)


def edges(asked: MethodInput) -> Attribution:
    """An edge detector that never looks at the network."""
    image = asked.windows.inputs[:, 0]
    steps = torch.gradient(image, dim=tuple(range(1, image.ndim)))
    return Attribution(torch.stack([step.abs() for step in steps]).sum(0))


def explained(method: str, dims: int = 2, **more: object) -> Explained:
    network, image, request = opened(CornerClassifier(dims, 1)), textured(dims, 1), classify(method)
    methods = {**METHODS, "edges": Method(edges)}
    return Explained(network, image, request, explain(network, image, request, methods), methods)


def reference() -> NetworkReference:
    return NetworkReference(weights_digest(CornerClassifier(2, 1).state_dict()))


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {one.name: one for one in checks}


def test_a_right_map_of_a_working_network_is_supported() -> None:
    checks = check(explained("hires_cam"), FEW, reference())

    assert verdict(checks) == ("supported", "every question was answered with yes")
    found = by_name(checks)
    assert found["depends_on_weights"].value == pytest.approx(0, abs=0.4)
    for name in ("deletion", "insertion"):
        assert found[f"{name}_gain_over_random"].value > 0.1
        assert found[f"{name}_gain_over_centre_blob"].value > 0.1
    assert found["repeatability"].value == 1


def test_an_edge_detector_that_poses_as_a_method_is_unsupported() -> None:
    checks = check(explained("edges"), FEW, reference())

    trust, reason = verdict(checks)
    assert trust == "unsupported"
    assert by_name(checks)["depends_on_weights"].value == 1
    assert "rank similarity 1.00" in reason


def test_a_network_whose_weights_were_drawn_anew_is_unsupported() -> None:
    right = explained("hires_cam")
    fresh = opened(reinitialised(right.opened.network, 11))
    posing = Explained(fresh, right.prepared, right.request, explain(fresh, right.prepared, right.request))

    trust, reason = verdict(check(posing, FEW, reference()))

    assert trust == "unsupported"
    assert "the weights are not the locked ones" in reason


def test_a_map_that_marks_what_the_network_does_not_read_is_unsupported() -> None:
    checks = check(explained("grad_cam"), FEW, reference())

    assert verdict(checks)[0] == "unsupported"
    assert by_name(checks)["deletion_gain_over_random"].passed is False


def test_the_opposite_of_a_right_map_loses_to_random_ones() -> None:
    right = explained("hires_cam")
    wrong = replace(right, raw=replace(right.raw, data=-right.raw.data))

    found = by_name(check(wrong, FEW, reference()))

    assert found["deletion_gain_over_random"].value < 0
    assert found["deletion_gain_over_random"].passed is False
    assert found["infidelity"].value == 1


def test_an_additive_map_of_a_linear_network_predicts_every_removal() -> None:
    found = by_name(check(explained("integrated_gradients"), FEW, reference()))

    assert found["infidelity"].value == pytest.approx(0, abs=0.02)
    assert found["infidelity"].passed


def test_a_map_without_a_reference_of_its_network_is_doubtful() -> None:
    trust, reason = verdict(check(explained("hires_cam"), FEW))

    assert trust == "doubtful"
    assert reason == "it could not be shown that the network works"


def test_a_map_that_was_not_asked_the_dear_questions_is_unchecked() -> None:
    checks = check(explained("hires_cam"), CheckSettings(enabled=False), reference())

    assert verdict(checks)[0] == "unchecked"
    assert by_name(checks)["weights_as_locked"].passed
    assert verdict(())[0] == "unchecked"


def test_a_score_that_a_blur_does_not_change_cannot_be_tested_for_faithfulness() -> None:
    right = explained("hires_cam")
    blind = CornerClassifier(2, 1)
    with torch.no_grad():
        blind.head.weight.zero_()

    found = by_name(check(replace(right, opened=opened(blind)), FEW, reference()))

    assert found["deletion_gain_over_random"].passed is None


def test_segmentations_are_deleted_slice_by_slice_in_three_dimensions() -> None:
    network, image = opened(CornerSegmenter(3, 1)), textured(3, 1)
    region = np.zeros(image.data.shape[1:], dtype=bool)
    region[-4:, -5:] = True
    request = ExplainRequest("segment", 1, "corner", "hires_cam", region=region, layer="active")
    own = NetworkReference(weights_digest(network.network.state_dict()))

    found = by_name(check(Explained(network, image, request, explain(network, image, request)), FEW, own))

    for name in ("deletion", "insertion"):
        assert found[f"{name}_gain_over_random"].passed
        assert found[f"{name}_gain_over_centre_blob"].passed
    # This network cannot look elsewhere, whatever its weights: the map shows how it is built.
    assert found["depends_on_weights"].passed is False


def test_energy_in_the_air_and_at_the_border_raises_an_alarm() -> None:
    image = textured(3, 1, shape=(20, 22, 6))
    image.data[:, :4] = image.data[:, -4:] = image.data[:, :, :4] = image.data[:, :, -4:] = 0
    heat = np.zeros((20, 22, 6), dtype=np.float32)
    heat[0, :5, 2] = 1  # 5 of 8 units in the air, at the border
    heat[9, 9:12, 2] = 1
    raw = RawMap(heat, image.affine, "tag", "hires_cam", None, 1)

    found = by_name(
        check(Explained(opened(CornerClassifier(3, 1)), image, classify(), raw), CheckSettings(enabled=False))
    )

    assert found["energy_outside_body"].value == pytest.approx(5 / 8)
    assert found["energy_outside_body"].passed is False
    assert found["energy_at_border"].value == pytest.approx(5 / 8)
    assert found["energy_at_border"].passed is False
    assert found["has_positive_evidence"].passed


def test_alarms_make_a_map_doubtful() -> None:
    yes = tuple(
        Check(name, True, 1.0, "yes")
        for name in (
            "depends_on_weights", "deletion_gain_over_random", "insertion_gain_over_random",
            "deletion_gain_over_centre_blob", "insertion_gain_over_centre_blob", "weights_as_locked",
        )
    )  # fmt: skip

    assert verdict(yes)[0] == "supported"
    assert verdict((*yes, Check("energy_at_border", False, 0.9, "90% at the border"))) == (
        "doubtful",
        "90% at the border",
    )


def test_confidence_and_features_are_compared_with_the_card() -> None:
    right = explained("hires_cam")
    sure = confidence_of(right.opened, right.prepared, right.request)
    features = features_of(right.opened, right.prepared, right.request, "features")
    card = FeatureReference("features", features, np.full(3, 0.1), 2.0)
    off = replace(card, mean=features + 1)
    digest = reference().weights_sha256

    same = by_name(check(right, CheckSettings(enabled=False), NetworkReference(digest, (sure - 0.01, 1.0), card)))
    other = by_name(check(right, CheckSettings(enabled=False), NetworkReference(digest, (0.0, sure - 0.01), off)))

    assert same["confidence_in_reference"].passed
    assert same["features_in_reference"].value == pytest.approx(0, abs=1e-6)
    assert other["confidence_in_reference"].passed is False
    assert other["features_in_reference"].value == pytest.approx(10, abs=1e-3)
    assert verdict(tuple(other.values()))[0] == "unsupported"


def test_drawing_weights_anew_leaves_the_network_as_it_was() -> None:
    network = CornerClassifier(2, 1)
    before = weights_digest(network.state_dict())

    one, same, other = (weights_digest(reinitialised(network, seed).state_dict()) for seed in (1, 1, 2))

    assert weights_digest(network.state_dict()) == before
    assert one == same
    assert len({before, one, other}) == 3


def test_the_sample_of_a_batch_does_not_hang_on_the_order_of_the_cases() -> None:
    cases = [f"case-{n:03d}" for n in range(40)]
    settings = CheckSettings(sample=10, seed=4)

    drawn = choose_checked(cases, settings)

    assert len(drawn) == 10
    assert choose_checked(cases[::-1], settings) == drawn
    assert choose_checked(cases, CheckSettings(sample=10, seed=5)) != drawn
    assert choose_checked(cases, CheckSettings(enabled=False)) == frozenset()
