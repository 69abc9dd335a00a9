"""Images synthesised from label maps, so that a network learns anatomy and not one contrast.

After Billot et al., "SynthSeg: Segmentation of brain MRI scans of any contrast
and resolution without retraining", Medical Image Analysis 86 (2023), 102789:
deform the map, give each tissue a random intensity, then spoil the image as
scanners do. Everything is computed at the resolution of the network.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from monai.networks.layers import GaussianFilter
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from diascope.train.label_maps import LabelMap, TissueTable
from diascope.train.settings import ContrastSettings, SynthesisSettings

# Corners of a tetrahedron, in quarters of a voxel: four looks into each voxel imitate partial volume.
LOOKS = ((-1, -1, -1), (-1, 1, 1), (1, -1, 1), (1, 1, -1))

# Distance between the nodes of the random displacement and of the bias field.
ELASTIC_NODE_MM = 32.0
BIAS_NODE_MM = 50.0

# The same for the tissues of a neck: muscles, fat and airways of some centimetres.
NECK_NODE_MM = 15.0
NECK_TISSUES = 5
NECK_BELOW_CENTRE_MM = 45.0


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticImage:
    """An image and its truth on one grid.

    Attributes:
        image: (1, i, j, k) float32 between 0 and 1.
        label: (1, i, j, k) uint8.
    """

    image: Tensor
    label: Tensor


def synthesise(
    source: LabelMap, table: TissueTable, settings: SynthesisSettings, rng: np.random.Generator
) -> SyntheticImage:
    """Make one training image: deformed, of random contrast, spoilt."""
    noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
    points_ijk, step_ijk, is_mirrored = _sampling_points(source, settings, rng, noise)
    is_stripped = rng.random() < settings.stripped_fraction
    keeps_fluid = rng.random() < 0.5
    visible = torch.from_numpy((table.target > 0) | (table.is_fluid & keeps_fluid))
    mean, spread = _intensities(table, settings, rng)

    image: Tensor | float = 0.0
    for look in LOOKS:
        flat, inside = _voxels_at(source, points_ijk + 0.25 * step_ijk * torch.tensor(look).view(3, 1, 1, 1))
        index = _values_at(source, flat, inside)
        seen = _hidden(index, source.near_brain.flatten()[flat], visible) if is_stripped else index
        image = image + mean[seen] / len(LOOKS)
    flat, inside = _voxels_at(source, points_ijk)
    index = _values_at(source, flat, inside)
    seen = _hidden(index, source.near_brain.flatten()[flat], visible) if is_stripped else index
    assert isinstance(image, Tensor)  # noqa: S101 - for the type checker: LOOKS is not empty
    if settings.neck_fraction > 0 and not is_stripped and rng.random() < settings.neck_fraction:
        is_outer = torch.from_numpy(_is_outer(table))[index]
        image = torch.where(
            _is_neck(source, points_ijk, is_outer, rng), _tissues(image.shape, settings, rng, noise), image
        )
    image = image + spread[seen] * torch.randn(image.shape, generator=noise)
    image = _spoilt(image, settings, rng, noise)
    target = table.mirrored_target if is_mirrored else table.target
    return SyntheticImage(image[None], torch.from_numpy(target.astype(np.uint8))[index][None])


def draw_contrast(
    source: LabelMap, table: TissueTable, contrast: ContrastSettings, rng: np.random.Generator
) -> SyntheticImage:
    """Make a test image of a known contrast on the map's own grid, not deformed."""
    noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
    mean, _ = _near_contrast(table, contrast, rng, spread=0.0)
    index = source.index.long()
    image = mean[index] + 0.03 * (index > 0) * torch.randn(index.shape, generator=noise)
    image = image * _smooth_field(index.shape, source.voxel_mm, BIAS_NODE_MM, 0.15, noise).exp()
    image = GaussianFilter(3, sigma=0.6)(image[None, None])[0, 0]
    image = (image + 0.015 * torch.randn(index.shape, generator=noise)).clamp(min=0)
    return SyntheticImage((image / image.max())[None], torch.from_numpy(table.target.astype(np.uint8))[index][None])


def at_image(settings: SynthesisSettings, number: int) -> SynthesisSettings:
    """Find the settings of one image of a training; `number` counts them.

    Early images are whole heads in the middle of the window, of known contrast and
    thin slices; the anatomy is learned first and the variety after it. Phases may
    change settings later on.
    """
    for phase in settings.phases:
        if number >= phase.from_image:
            settings = settings.model_copy(update=phase.model_dump(exclude={"from_image"}, exclude_none=True))
    if number >= settings.ramp_images:
        return settings
    part = number / settings.ramp_images
    return settings.model_copy(
        update={
            "offset_mm": settings.offset_mm * (0.4 + 0.6 * part),
            "far_fraction": settings.far_fraction * part,
            "stripped_fraction": settings.stripped_fraction * part,
            "contrast_fraction": 1 - (1 - settings.contrast_fraction) * part if settings.contrasts else 0.0,
            "outer_brightness": 1.0,
            "thickest_mm": settings.spacing_mm + (settings.thickest_mm - settings.spacing_mm) * part,
        }
    )


def _sampling_points(
    source: LabelMap, settings: SynthesisSettings, rng: np.random.Generator, noise: torch.Generator
) -> tuple[Tensor, Tensor, bool]:
    voxel_mm = np.array(source.voxel_mm)
    axes = [torch.arange(size, dtype=torch.float32) - (size - 1) / 2 for size in settings.window_voxels]
    grid_mm = torch.stack(torch.meshgrid(*axes, indexing="ij")) * settings.spacing_mm
    if settings.elastic_mm > 0:
        std_mm = float(rng.uniform(0, settings.elastic_mm))
        spacing_mm = (settings.spacing_mm,) * 3
        grid_mm = grid_mm + torch.stack(
            [_smooth_field(settings.window_voxels, spacing_mm, ELASTIC_NODE_MM, std_mm, noise) for _ in range(3)]
        )
    is_far = rng.random() < settings.far_fraction
    reach_mm = settings.far_offset_mm if is_far else settings.offset_mm
    centre_ijk = source.centre_ijk + rng.uniform(-reach_mm, reach_mm, 3) / voxel_mm
    affine = _random_affine(settings, rng)
    to_ijk = torch.from_numpy(affine / voxel_mm[:, None]).float()
    points_ijk = torch.einsum("ab,bijk->aijk", to_ijk, grid_mm) + torch.from_numpy(centre_ijk).float().view(3, 1, 1, 1)
    step_ijk = torch.from_numpy(settings.spacing_mm / voxel_mm).float().view(3, 1, 1, 1)
    return points_ijk, step_ijk, bool(np.linalg.det(affine) < 0)


def _random_affine(settings: SynthesisSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    matrix = np.eye(3)
    for axis in range(3):
        angle = np.deg2rad(rng.uniform(-settings.rotation_deg, settings.rotation_deg))
        turn = np.eye(3)
        first, second = (other for other in range(3) if other != axis)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    shear = np.eye(3) + (1 - np.eye(3)) * rng.uniform(-settings.shearing, settings.shearing, (3, 3))
    scale = np.diag(rng.uniform(1 - settings.scaling, 1 + settings.scaling, 3))
    # The first axis is left to right: the maps are RAS+.
    mirror = np.diag([-1.0 if rng.random() < settings.flip_fraction else 1.0, 1.0, 1.0])
    return np.asarray(matrix @ shear @ scale @ mirror)


def _voxels_at(source: LabelMap, points_ijk: Tensor) -> tuple[Tensor, Tensor]:
    # In 32 bits and in place: a window has a million points and is looked into five times, which was two thirds
    # of the time an image takes.
    flat = torch.zeros(points_ijk.shape[1:], dtype=torch.int32)
    inside = torch.ones(points_ijk.shape[1:], dtype=torch.bool)
    for axis, size in enumerate(source.index.shape):
        at = points_ijk[axis].round().int()
        held = at.clamp(0, size - 1)
        inside &= held == at
        flat.mul_(size).add_(held)
    return flat, inside


def _values_at(source: LabelMap, flat: Tensor, inside: Tensor) -> Tensor:
    return source.index.flatten()[flat].int() * inside


def _is_neck(source: LabelMap, points_ijk: Tensor, is_outer: Tensor, rng: np.random.Generator) -> Tensor:
    # The maps end at the nose, and what they show there is a few large regions. Without more variety,
    # a network takes jaws and necks of scans for brain.
    width = float(rng.uniform(0.5, 1.0))
    centre_ij = torch.from_numpy(source.centre_ijk[:2]).float().view(2, 1, 1, 1)
    level = torch.full_like(points_ijk[:1], source.lowest_k)
    lowest = _values_at(
        source, *_voxels_at(source, torch.cat([centre_ij + (points_ijk[:2] - centre_ij) / width, level]))
    )
    is_below = (points_ijk[2] < source.lowest_k) & (lowest > 0)
    highest_k = float(source.centre_ijk[2]) - NECK_BELOW_CENTRE_MM / source.voxel_mm[2]
    return is_below | (is_outer & (points_ijk[2] < highest_k))


def _tissues(
    shape: torch.Size, settings: SynthesisSettings, rng: np.random.Generator, noise: torch.Generator
) -> Tensor:
    mean = torch.from_numpy(rng.uniform(0.0, 1.0, NECK_TISSUES)).float()
    mean[0] *= float(rng.uniform(1.0, settings.outer_brightness))
    field = _smooth_field(shape, (settings.spacing_mm,) * 3, NECK_NODE_MM, 1.0, noise)
    return mean[torch.bucketize(field, torch.tensor([-0.6, -0.15, 0.15, 0.6]))]


def _hidden(index: Tensor, near: Tensor, visible: Tensor) -> Tensor:
    # Brainstem and fluid run down the neck; stripping cuts them near the brain.
    return index * (visible[index] & near)


def _intensities(table: TissueTable, settings: SynthesisSettings, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    if settings.contrasts and rng.random() < settings.contrast_fraction:
        contrast = settings.contrasts[int(rng.integers(len(settings.contrasts)))]
        mean, spread = _near_contrast(table, contrast, rng, settings.contrast_spread)
    else:
        mean, spread = _by_class(table, rng, lambda: rng.uniform(0.05, 1.0))
    if rng.random() < 0.5:
        mean[0], spread[0] = 0.0, 0.0
    if settings.outer_brightness > 1:
        mean[torch.from_numpy(_is_outer(table))] *= float(rng.uniform(1.0, settings.outer_brightness))
    return mean, spread


def _is_outer(table: TissueTable) -> NDArray[np.bool_]:
    return np.asarray((table.target == 0) & (table.values != 0) & ~table.is_fluid)


def _near_contrast(
    table: TissueTable, contrast: ContrastSettings, rng: np.random.Generator, spread: float
) -> tuple[Tensor, Tensor]:
    mean, noise = _by_class(table, rng, lambda: rng.uniform(0.05, 0.9))
    known = contrast.mean_of_value
    twin_of_class = {
        int(table.tissue[at]): known[int(value)] for at, value in enumerate(table.values) if value in known
    }
    shift = {tissue: rng.normal(0, spread) if spread else 0.0 for tissue in twin_of_class}
    for at, tissue in enumerate(table.tissue.tolist()):
        if tissue in twin_of_class:
            mean[at] = max(0.0, twin_of_class[tissue] + shift[tissue])
    return mean, noise * 0.6


def _by_class(table: TissueTable, rng: np.random.Generator, draw: Callable[[], float]) -> tuple[Tensor, Tensor]:
    classes = sorted(set(table.tissue.tolist()))
    mean_of: Mapping[int, float] = {tissue: draw() for tissue in classes}
    spread_of: Mapping[int, float] = {tissue: rng.uniform(0.01, 0.1) for tissue in classes}
    return (
        torch.tensor([mean_of[tissue] for tissue in table.tissue.tolist()], dtype=torch.float32),
        torch.tensor([spread_of[tissue] for tissue in table.tissue.tolist()], dtype=torch.float32),
    )


def _spoilt(image: Tensor, settings: SynthesisSettings, rng: np.random.Generator, noise: torch.Generator) -> Tensor:
    spacing_mm = (settings.spacing_mm,) * 3
    bias = float(rng.uniform(0, settings.bias))
    image = image * _smooth_field(image.shape, spacing_mm, BIAS_NODE_MM, bias, noise).exp()
    thickness_mm = _thickness(settings, rng)
    # A slice profile whose full width at half maximum is the slice thickness beyond our own voxel.
    beyond_mm = np.sqrt(np.maximum(thickness_mm**2 - settings.spacing_mm**2, 0.0))
    sigma = np.maximum(beyond_mm / 2.355 / settings.spacing_mm, 0.0) + rng.uniform(0.0, 0.5)
    image = GaussianFilter(3, sigma=[float(value) for value in sigma], truncated=3.0)(image[None, None])
    full = image.shape[2:]
    coarse = [max(2, round(size * settings.spacing_mm / mm)) for size, mm in zip(full, thickness_mm, strict=True)]
    image = functional.interpolate(image, size=coarse, mode="trilinear", align_corners=False)
    image = image + float(rng.uniform(0, 0.06)) * torch.randn(image.shape, generator=noise)
    image = functional.interpolate(image, size=full, mode="trilinear", align_corners=False)[0, 0]
    low, high = torch.quantile(image.flatten()[::7], torch.tensor([0.005, 0.995]))
    image = ((image - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    return image ** float(np.exp(rng.normal(0, settings.gamma)))


def _thickness(settings: SynthesisSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    thickness_mm = np.full(3, settings.spacing_mm)
    chance = rng.random()
    if chance < 0.4:
        thickness_mm[int(rng.integers(3))] = rng.uniform(settings.spacing_mm, settings.thickest_mm)
    elif chance < 0.6:
        thickness_mm[:] = rng.uniform(settings.spacing_mm, min(2 * settings.spacing_mm, settings.thickest_mm))
    return thickness_mm


def _smooth_field(
    shape: tuple[int, ...] | torch.Size,
    spacing_mm: tuple[float, float, float],
    node_mm: float,
    std: float,
    noise: torch.Generator,
) -> Tensor:
    nodes = [max(2, round(size * mm / node_mm) + 1) for size, mm in zip(shape, spacing_mm, strict=True)]
    coarse = std * torch.randn([1, 1, *nodes], generator=noise)
    return functional.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)[0, 0]
