import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from diascope.bundles.find import BundleInfo, read_bundle
from diascope.bundles.network import NetworkInput, OpenNetwork
from diascope.errors import ConfigError
from diascope.imaging.resample import GridOfLogits, labels_on_grid
from diascope.tasks.uncertainty import (
    Averaged,
    ask,
    classification_confidence,
    detection_confidence,
    favour,
    lesion_probabilities,
    probabilities,
    segmentation_confidence,
)
from diascope.tasks.uncertainty_map import unsure_voxels
from diascope.tasks.uncertainty_settings import UncertaintySettings, check_answers
from tests.tiny_bundle import write_tiny_bundle

AFFINE = np.diag([0.7, 0.8, 2.5, 1.0])


class Bright(nn.Module):
    """Class 1 where the image is above a level; a fixed layer of dropout on demand."""

    def __init__(self, level: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.level = level
        self.drop = nn.Dropout(dropout)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        score = self.drop(image - self.level) if self.drop.p else image - self.level
        return torch.cat([torch.zeros_like(score), score], 1)


class Leftmost(nn.Module):
    """Class 1 in the first plane along the first axis, whatever the image shows: what mirroring uncovers."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        score = torch.full_like(image, -8.0)
        score[:, :, 0] = 8.0
        return torch.cat([torch.zeros_like(score), score], 1)


def opened(network: nn.Module) -> OpenNetwork:
    return OpenNetwork(network.eval(), lambda image, run: run(image), torch.device("cpu"))


def image_of(data: NDArray[np.float32]) -> NetworkInput:
    return NetworkInput(data[None].astype(np.float32), AFFINE)


def test_one_plain_answer_is_the_network_s_own() -> None:
    image = image_of(np.random.default_rng(0).normal(size=(5, 7, 11)))

    found = ask([opened(Bright(0.5))], image, UncertaintySettings())

    np.testing.assert_array_equal(found.logits[1], image.data[0] - 0.5)
    assert found.members == 1
    assert found.agreement == {}


def test_features_are_those_of_the_first_plain_answer() -> None:
    data = np.random.default_rng(0).normal(size=(5, 7, 11))
    asked = UncertaintySettings(mirrors=("i",), dropout_draws=2)

    alone = ask([opened(Bright(0.5))], image_of(data), UncertaintySettings())
    together = ask([opened(Bright(0.5, dropout=0.5)), opened(Bright(9.0, dropout=0.5))], image_of(data), asked)

    assert alone.features is not None
    np.testing.assert_allclose(alone.features, [0, data.mean() - 0.5], atol=1e-5)
    assert (alone.layer, together.members) == ("output", 8)
    np.testing.assert_array_equal(together.features, alone.features)


def test_an_ensemble_averages_probabilities_not_logits() -> None:
    image = image_of(np.zeros((2, 3, 4)))

    found = ask([opened(Bright(-4.0)), opened(Bright(1.0))], image, UncertaintySettings())

    expected = (1 / (1 + np.exp(-4.0)) + 1 / (1 + np.exp(1.0))) / 2
    np.testing.assert_allclose(probabilities(found.logits)[1], expected, rtol=1e-5)
    assert found.members == 2


def test_scores_that_do_not_exclude_each_other_are_averaged_one_by_one() -> None:
    image = image_of(np.zeros((1, 1, 1)))

    found = ask([opened(Bright(-4.0)), opened(Bright(1.0))], image, UncertaintySettings(), activation="sigmoid")

    expected = (1 / (1 + np.exp(-4.0)) + 1 / (1 + np.exp(1.0))) / 2
    np.testing.assert_allclose(probabilities(found.logits, "sigmoid").ravel(), [0.5, expected], rtol=1e-5)


def test_members_that_disagree_have_a_low_agreement() -> None:
    data = np.zeros((4, 5, 6))
    data[:2], data[2] = 3.0, 1.0  # two planes all see, one only the bold one does
    image = image_of(data)

    alike = ask([opened(Bright(0.5)), opened(Bright(0.6))], image, UncertaintySettings()).agreement
    apart = ask([opened(Bright(0.5)), opened(Bright(2.0))], image, UncertaintySettings()).agreement

    assert alike == {1: 1.0}
    # Averaged, the plane in dispute is not drawn: Dice of 3 and 2 planes is 4/5, of 2 and 2 it is 1.
    assert apart == {1: pytest.approx((0.8 + 1.0) / 2)}


def test_a_mirrored_answer_is_mirrored_back() -> None:
    data = np.random.default_rng(0).normal(size=(5, 7, 11))
    plain = ask([opened(Bright(0.5))], image_of(data), UncertaintySettings())
    mirrored = ask([opened(Bright(0.5))], image_of(data), UncertaintySettings(mirrors=("i", "j", "k")))

    # A network that looks at each voxel alone gives the same answer however the image is turned.
    np.testing.assert_allclose(probabilities(mirrored.logits), probabilities(plain.logits), atol=1e-6)
    assert mirrored.members == 4


@pytest.mark.parametrize(("axis", "planes"), [("i", [0, -1]), ("j", [0])])
def test_mirroring_uncovers_a_network_that_looks_at_the_place(axis: str, planes: list[int]) -> None:
    image = image_of(np.zeros((5, 7, 11)))

    found = probabilities(ask([opened(Leftmost())], image, UncertaintySettings(mirrors=(axis,))).logits)[1]

    expected = np.zeros((5, 7, 11))
    expected[planes] = 1 / len(planes)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_dropout_varies_between_draws_and_is_the_same_for_the_same_seed() -> None:
    image = image_of(np.ones((6, 7, 8)))
    network = opened(Bright(-3.0, dropout=0.5))

    def drawn(seed: int) -> Averaged:
        return ask([network], image, UncertaintySettings(dropout_draws=8, seed=seed))

    first, again, other = drawn(0), drawn(0), drawn(1)

    np.testing.assert_array_equal(first.logits, again.logits)
    assert not np.array_equal(first.logits, other.logits)
    assert probabilities(first.logits)[1].std() > 0.02
    assert first.members == 9
    assert not network.network.training
    assert not any(layer.training for layer in network.network.modules())


def test_dropout_leaves_the_random_numbers_of_others_alone() -> None:
    image, network = image_of(np.ones((2, 2, 2))), opened(Bright(-3.0, dropout=0.5))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        ask([network], image, UncertaintySettings(dropout_draws=2))

        assert torch.equal(torch.rand(3), expected)


def test_dropout_of_a_network_without_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="no dropout layer"):
        ask([opened(Bright(0.5))], image_of(np.zeros((2, 2, 2))), UncertaintySettings(dropout_draws=3))


def test_labels_with_a_side_are_never_mirrored(tmp_path: Path) -> None:
    bundle = sided(tmp_path, "left_kidney")

    with pytest.raises(ConfigError, match=r"tells sides apart \(left_kidney\)"):
        check_answers(bundle, UncertaintySettings(mirrors=("k",)))
    check_answers(bundle, UncertaintySettings(dropout_draws=3))
    check_answers(sided(tmp_path / "other", "cleft_palate"), UncertaintySettings(mirrors=("i",)))


def sided(models: Path, label: str) -> BundleInfo:
    folder = write_tiny_bundle(models)
    file = folder / "configs" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["diascope"]["labels"] = {"1": label}
    file.write_text(json.dumps(metadata))
    return read_bundle(folder)


def test_the_expected_dice_of_a_sure_network_is_1_and_falls_with_doubt() -> None:
    sure = np.zeros((2, 6, 7, 8), dtype=np.float32)
    sure[1] = -20.0
    sure[1, 2:4, 2:5, 2:6] = 20.0
    doubtful = sure / 10

    assert segmentation_confidence(sure) == pytest.approx(1.0)
    # 24 voxels at p = sigmoid(2), 312 at sigmoid(-2): 2 * 24 p / (24 + 24 p + 312 (1 - p)).
    p = 1 / (1 + np.exp(-2.0))
    assert segmentation_confidence(doubtful) == pytest.approx(2 * 24 * p / (24 + 24 * p + 312 * (1 - p)), rel=1e-5)


def test_the_expected_dice_is_what_dice_comes_to_if_the_probabilities_are_true() -> None:
    # Truths are drawn from the network's own probabilities: the mean Dice is what it expected.
    rng = np.random.default_rng(3)
    logits = np.stack([np.zeros((12, 13, 14)), rng.normal(-2, 3, size=(12, 13, 14))]).astype(np.float32)
    p = probabilities(logits)[1]
    drawn = p > 0.5

    truths = (rng.random(p.shape) < p for _ in range(200))
    dice = [2 * (drawn & truth).sum() / (drawn.sum() + truth.sum()) for truth in truths]

    assert segmentation_confidence(logits) == pytest.approx(np.mean(dice), abs=0.005)


def test_a_label_that_is_confused_with_another_lowers_the_confidence() -> None:
    logits = np.full((3, 4, 5, 6), -9.0, dtype=np.float32)
    logits[0] = 0.0
    logits[1, :2], logits[2, 2:] = 9.0, 9.0
    sure = segmentation_confidence(logits)
    logits[2, :2] = 8.8  # foreground is as certain as before, which label it is is not

    assert segmentation_confidence(logits) < sure - 0.2


def test_an_empty_answer_is_as_sure_as_its_likeliest_voxel_is_background() -> None:
    logits = np.zeros((2, 3, 4, 5), dtype=np.float32)
    logits[1] = -10.0
    logits[1, 1, 2, 3] = -1.0

    assert segmentation_confidence(logits) == pytest.approx(1 - 1 / (1 + np.exp(1.0)), rel=1e-5)


def test_the_confidence_of_classes_is_that_of_the_least_sure_call() -> None:
    assert classification_confidence([0.7, 0.2, 0.1], exclusive=True) == 0.7
    assert classification_confidence([0.99, 0.3, 0.05], exclusive=False) == 0.7
    assert classification_confidence([], exclusive=True) is None
    assert detection_confidence([0.9, 0.45]) == pytest.approx(0.55)
    assert detection_confidence([]) is None


@pytest.mark.parametrize("threshold", [0.02, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("classes", [2, 4])
def test_a_favoured_label_is_drawn_exactly_where_its_probability_reaches_the_threshold(
    threshold: float, classes: int
) -> None:
    rng = np.random.default_rng(0)
    seen = GridOfLogits(rng.normal(0, 3, size=(classes, 5, 7, 11)).astype(np.float32), AFFINE)

    moved = favour(seen, 1, threshold)

    drawn = moved.logits.argmax(axis=0) == 1
    np.testing.assert_array_equal(drawn, probabilities(seen.logits)[1] >= threshold)


def test_what_a_favoured_label_misses_is_what_the_probabilities_of_the_lesion_said() -> None:
    # Calibration reads probabilities between the network's voxels; the run draws there: both must agree.
    rng = np.random.default_rng(1)
    seen = GridOfLogits(rng.normal(0, 2, size=(2, 6, 7, 8)).astype(np.float32), np.diag([2.0, 2.0, 3.0, 1.0]))
    shape, affine = (9, 11, 10), np.array([[1.1, 0, 0, 0.4], [0, 0, 1.3, 0.6], [0, -2.0, 0, 20.5], [0, 0, 0, 1]])
    lesion = rng.random(shape) < 0.3

    p = lesion_probabilities(seen, 1, lesion, affine)
    for threshold in (0.1, 0.35):
        drawn = labels_on_grid(favour(seen, 1, threshold), shape, affine) == 1
        missed = 1 - (drawn & lesion).sum() / lesion.sum()
        assert missed == pytest.approx((p < threshold).mean(), abs=2 / lesion.sum())


def test_the_entropy_of_each_answer_is_kept_only_where_disagreement_is_asked_for() -> None:
    data = np.random.default_rng(0).normal(size=(5, 7, 11))
    networks = [opened(Bright(-9.0)), opened(Bright(9.0))]

    plain = ask(networks, image_of(data), UncertaintySettings(map="entropy"))
    compared = ask(networks, image_of(data), UncertaintySettings(map="disagreement"))

    assert plain.entropy_of_each is None
    assert compared.entropy_of_each is not None
    # Both are sure, and contradict each other: hardly any doubt of their own, a bit of it together.
    assert compared.entropy_of_each.max() < 0.05
    assert unsure_voxels(compared.logits, "entropy").min() > 0.95


def test_one_answer_cannot_disagree_with_itself(tmp_path: Path) -> None:
    bundle = read_bundle(write_tiny_bundle(tmp_path))

    with pytest.raises(ConfigError, match="cannot disagree"):
        check_answers(bundle, UncertaintySettings(map="disagreement"))
    check_answers(bundle, UncertaintySettings(map="disagreement", mirrors=("i",)))
    check_answers(bundle, UncertaintySettings(map="entropy"))
