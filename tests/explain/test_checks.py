from dataclasses import replace

import numpy as np
import pytest
import torch

from diascope.explain.attribution import Attribution, Method, MethodInput
from diascope.explain.checks import check, choose_checked, heatmap_record, verdict
from diascope.explain.faithfulness import faithfulness
from diascope.explain.heatmap import Explained, explain
from diascope.explain.methods import METHODS
from diascope.explain.randomisation import reinitialised
from diascope.explain.reference import Standing, weights_digest
from diascope.explain.request import ExplainRequest, RawMap
from diascope.explain.settings import CheckSettings
from diascope.findings import Check
from tests.explain.networks import CornerClassifier, CornerSegmenter, classify, opened, spotted, textured

FEW = CheckSettings(reinitialisations=4, random_maps=12, centre_blobs=4, cells=12, steps=5, removals=12, noisy_images=2)

# It adds up to the fall from the image to its blur, and it is the blur that deletes.
RIGHT = "integrated_gradients"


def edges(asked: MethodInput) -> Attribution:
    """An edge detector that never looks at the network."""
    image = asked.windows.inputs[:, 0]
    steps = torch.gradient(image, dim=tuple(range(1, image.ndim)))
    return Attribution(torch.stack([step.abs() for step in steps]).sum(0))


def explained(method: str) -> Explained:
    network, image, request = opened(CornerClassifier(2, 1)), spotted(2, 1), classify(method)
    image.data[:, 12:, 16:] += 6  # brighter than the corner, and never read
    methods = {**METHODS, "edges": Method(edges)}
    return Explained(network, image, request, explain(network, image, request, methods), methods)


def locked() -> str:
    return weights_digest(CornerClassifier(2, 1).state_dict())


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {one.name: one for one in checks}


@pytest.fixture(scope="module")
def right() -> Explained:
    return explained(RIGHT)


@pytest.fixture(scope="module")
def right_checks(right: Explained) -> tuple[Check, ...]:
    return check(right, FEW, locked())


def test_a_right_map_of_a_working_network_is_supported(right_checks: tuple[Check, ...]) -> None:
    assert verdict(right_checks) == ("supported", "every question was answered with yes")
    found = by_name(right_checks)
    assert found["depends_on_weights"].value == pytest.approx(0, abs=0.4)
    assert found["deletion_gain_over_random"].value > 0.1
    assert found["insertion_gain_over_centre_blob"].value > 0.1
    assert found["repeatability"].value == 1


def test_an_additive_map_of_a_linear_network_predicts_every_removal(right_checks: tuple[Check, ...]) -> None:
    infidelity = by_name(right_checks)["infidelity"]

    assert infidelity.value == pytest.approx(0, abs=1e-3)
    assert infidelity.passed


def test_an_edge_detector_that_poses_as_a_method_is_unsupported() -> None:
    checks = check(explained("edges"), FEW, locked())

    trust, reason = verdict(checks)
    assert trust == "unsupported"
    assert by_name(checks)["depends_on_weights"].value == pytest.approx(1)
    assert "rank similarity 1.00" in reason


def test_a_network_whose_weights_were_drawn_anew_is_unsupported(right: Explained) -> None:
    fresh = opened(reinitialised(right.opened.network, 11))
    posing = Explained(fresh, right.prepared, right.request, explain(fresh, right.prepared, right.request))

    trust, reason = verdict(check(posing, CheckSettings(enabled=False), locked()))

    assert trust == "unsupported"
    assert reason == "the weights are not the locked ones"


def test_a_map_that_marks_what_the_network_does_not_read_is_not_faithful() -> None:
    found = faithfulness(explained("grad_cam"), FEW)

    assert found is not None
    assert found.gains["deletion_gain_over_random"].low < 0
    assert found.gains["insertion_gain_over_random"].mean < 0


def test_the_opposite_of_a_right_map_loses_to_random_ones(right: Explained) -> None:
    found = faithfulness(replace(right, raw=replace(right.raw, data=-right.raw.data)), FEW)

    assert found is not None
    assert found.gains["deletion_gain_over_random"].mean < 0
    assert found.gains["insertion_gain_over_random"].mean < 0
    assert found.infidelity == 1


def test_a_map_without_a_reference_of_its_network_is_doubtful(
    right: Explained, right_checks: tuple[Check, ...]
) -> None:
    cheap = check(right, CheckSettings(enabled=False))
    dear = tuple(one for one in right_checks if one.name not in by_name(cheap))

    assert verdict((*cheap, *dear)) == ("doubtful", "it could not be shown that the network works")


def test_a_map_that_was_not_asked_the_dear_questions_is_unchecked(right: Explained) -> None:
    checks = check(right, CheckSettings(enabled=False), locked())

    assert verdict(checks)[0] == "unchecked"
    assert by_name(checks)["weights_as_locked"].passed
    assert verdict(())[0] == "unchecked"


def test_a_score_that_a_blur_does_not_change_cannot_be_tested_for_faithfulness(right: Explained) -> None:
    blind = CornerClassifier(2, 1)
    with torch.no_grad():
        blind.head.weight.zero_()

    assert faithfulness(replace(right, opened=opened(blind)), FEW) is None


def test_segmentations_are_deleted_slice_by_slice_in_three_dimensions() -> None:
    network, image = opened(CornerSegmenter(3, 1)), textured(3, 1)
    region = np.zeros(image.data.shape[1:], dtype=bool)
    region[-4:, -5:] = True
    request = ExplainRequest("segment", 1, "corner", "hires_cam", region=region, layer="active")
    own = weights_digest(network.network.state_dict())

    found = by_name(check(Explained(network, image, request, explain(network, image, request)), FEW, own))

    for name in ("deletion", "insertion"):
        assert found[f"{name}_gain_over_random"].passed
        assert found[f"{name}_gain_over_centre_blob"].passed
    # This network cannot look elsewhere, whatever its weights: the map shows how it is built.
    assert found["depends_on_weights"].passed is not True


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


def test_confidence_and_features_are_compared_with_the_card(right: Explained) -> None:
    cheap = CheckSettings(enabled=False)

    usual = check(right, cheap, locked(), Standing(0.8, 0.7, 0.9))
    odd = check(right, cheap, locked(), Standing(out_of_distribution=1.4))
    foreign = check(right, cheap, locked(), Standing(out_of_distribution=2.6))
    unsure = check(right, cheap, locked(), Standing(0.6, 0.7))

    assert by_name(usual)["confidence_in_reference"].passed
    assert by_name(usual)["features_in_reference"].passed
    assert by_name(odd)["features_in_reference"].passed is None
    assert verdict(foreign)[0] == "unsupported"
    assert verdict(unsure) == ("unsupported", "confidence 0.60, on the card's images 0.70 and more")


def test_an_image_that_is_unusual_for_its_network_makes_a_good_map_doubtful(right_checks: tuple[Check, ...]) -> None:
    unusual = Check("features_in_reference", None, 1.4, "features 1.40 from the card's images")

    assert verdict((*right_checks, unusual)) == ("doubtful", "it could not be shown that the network works")


def test_drawing_weights_anew_leaves_the_network_as_it_was() -> None:
    network = CornerClassifier(2, 1)
    before = weights_digest(network.state_dict())

    one, same, other = (weights_digest(reinitialised(network, seed).state_dict()) for seed in (1, 1, 2))

    assert weights_digest(network.state_dict()) == before
    assert one == same
    assert len({before, one, other}) == 3


def test_a_small_batch_asks_a_tenth_of_its_cases_and_a_large_one_no_more_than_its_sample() -> None:
    cases = [f"case-{n:03d}" for n in range(400)]

    assert [len(choose_checked(cases[:n], CheckSettings())) for n in (0, 1, 10, 11, 60, 400)] == [0, 1, 1, 2, 6, 10]
    assert len(choose_checked(cases, CheckSettings(share=0))) == 0


def test_cases_that_are_named_are_asked_besides_the_sample() -> None:
    cases = [f"case-{n:03d}" for n in range(40)]
    sample = choose_checked(cases, CheckSettings())
    other = next(case for case in cases if case not in sample)

    assert choose_checked(cases, CheckSettings(cases=(other, "case-of-another-batch"))) == sample | {other}


def test_the_sample_of_a_batch_does_not_hang_on_the_order_of_the_cases() -> None:
    cases = [f"case-{n:03d}" for n in range(40)]
    settings = CheckSettings(sample=10, share=1, seed=4)

    drawn = choose_checked(cases, settings)

    assert len(drawn) == 10
    assert choose_checked(cases[::-1], settings) == drawn
    assert choose_checked(cases, CheckSettings(sample=10, share=1, seed=5)) != drawn
    assert choose_checked(cases, CheckSettings(enabled=False)) == frozenset()


def test_the_record_of_a_map_says_how_far_it_can_be_trusted_and_why() -> None:
    raw = RawMap(-np.ones((2, 3, 1), dtype=np.float32), np.eye(4), "tumour", "grad_cam", None, 1, notes=("no place",))
    checks = (Check("depends_on_weights", False, 0.9, "rank similarity 0.90"),)

    record = heatmap_record(raw, checks, bundle="glioma", image_id="img-1", file="glioma.heatmap.tumour.nii.gz")

    assert record.trust == "unsupported"
    assert record.trust_reason == "rank similarity 0.90; no place"
    assert record.raw_range == (-1.0, -1.0)
    assert not record.has_positive_evidence
    assert record.checks == checks
