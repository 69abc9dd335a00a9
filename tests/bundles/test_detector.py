"""MONAI's RetinaNet without torchvision: shapes, boxes as rows, and a loss that falls."""

import pytest
import torch

from diascope.bundles.detector import BOXES_PER_SLICE, ROWS, SliceDetector

FILTERS = (8, 8, 8, 16)


def detector() -> SliceDetector:
    torch.manual_seed(0)
    return SliceDetector(2, 1, FILTERS, pyramid_channels=8, anchor_shapes=((8, 8),))


def squares(count: int, seed: int) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Noise with one bright square in each image but the last."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn((count, 2, 32, 48), generator=generator) * 0.1
    targets = []
    for image in images[:-1]:
        i, j = torch.randint(2, 20, (2,), generator=generator).tolist()
        image[:, i : i + 8, j : j + 10] += 2
        targets.append({"boxes": torch.tensor([[i, j, i + 8.0, j + 10.0]]), "labels": torch.tensor([0])})
    targets.append({"boxes": torch.zeros((0, 4)), "labels": torch.zeros(0, dtype=torch.int64)})
    return images, targets


def test_boxes_are_rows_of_a_tensor_and_padding_has_score_0() -> None:
    network = detector().eval()
    with torch.inference_mode():
        said = network(torch.zeros((3, 2, 32, 48)))

    assert said.shape == (3, ROWS, BOXES_PER_SLICE)
    assert torch.isfinite(said).all()
    padding = said[:, 0] == 0
    assert (said.movedim(1, -1)[padding] == 0).all()


def test_an_image_that_the_encoder_cannot_halve_keeps_its_own_voxels() -> None:
    with torch.inference_mode():
        assert detector().eval()(torch.zeros((1, 2, 30, 45))).shape == (1, ROWS, BOXES_PER_SLICE)


def test_it_learns_squares_within_a_few_steps_and_finds_them_where_they_are() -> None:
    network = detector()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    network.train()
    losses = []
    for step in range(40):
        images, targets = squares(6, step)
        loss = network.loss(network(images), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    images, targets = squares(9, 1000)
    with torch.inference_mode():
        found = network.eval()(images)

    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    hits = [
        (one[2:, 0] - target["boxes"][0]).abs().max() < 4
        for one, target in zip(found, targets, strict=True)
        if len(target["boxes"])
    ]
    assert sum(bool(hit) for hit in hits) >= 6
    assert (found[:-1, 1, 0] == 1).all()
    assert found[-1, 0, 0] < found[:-1, 0, 0].median()


def test_scores_stay_the_same_in_half_precision_to_its_last_digits() -> None:
    network = detector().eval()
    images, _ = squares(3, 5)
    with torch.inference_mode():
        raw = network.raw(images)
        with torch.autocast("cpu", torch.bfloat16):
            lowered = network.raw(images)

    assert lowered.dtype == torch.float32
    assert lowered == pytest.approx(raw, abs=0.05)
