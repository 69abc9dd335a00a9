"""Does a heatmap deserve trust? Three questions, and the alarms beside them.

1. Does it depend on what the network has learnt?   (`randomisation.py`)
2. Is it faithful to the network's answer?          (`faithfulness.py`)
3. Is the network one that works?                   (`reference.py`)

A no to any of them is `unsupported`. Alarms (energy outside the body or at the border of
the image, a map that does not repeat or that noise overturns, no positive evidence) and
questions without an answer make it `doubtful`. A map of which the first two questions
were not asked is `unchecked`.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from diascope.bundles.network import NetworkInput
from diascope.explain.baseline import body_of
from diascope.explain.faithfulness import faithfulness
from diascope.explain.heatmap import Explained, windows_of
from diascope.explain.randomisation import mean_interval, picture_similarity, rank_similarity, reinitialised
from diascope.explain.reference import Standing, standing_checks, weights_check
from diascope.explain.request import RawMap
from diascope.explain.settings import CheckSettings
from diascope.explain.windows import covered
from diascope.findings import Check, HeatmapRecord, Trust
from diascope.geometry import Shape
from diascope.imaging.upsampling import map_on_grid

QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "it depends on what the network has learnt": ("depends_on_weights",),
    "it is faithful to the answer": (
        "deletion_gain_over_random",
        "insertion_gain_over_random",
        "deletion_gain_over_centre_blob",
        "insertion_gain_over_centre_blob",
    ),
    "the network works": ("weights_as_locked", "confidence_in_reference", "features_in_reference"),
}
DEAR = ("depends_on_weights", "deletion_gain_over_random")

# A map that keeps half of its order under other weights, or half of it turned round, shows
# the image more than the network.
LARGEST_SIMILARITY = 0.5

# The same map made twice should be the same; methods that draw are allowed some noise.
LEAST_REPEATABILITY = 0.9

# Noise of 2 % of the image's spread should not move a map by half of its own size.
LARGEST_SENSITIVITY = 0.5
NOISE_SHARE = 0.02

# A coarse map leaks over the skin; more than this lies in the air.
LARGEST_OUTSIDE = 0.3

# The outer 5 % at each side hold a fifth of a plane, so an even map has a fifth there.
BORDER_SHARE = 0.05
LARGEST_AT_BORDER = 0.5


def check(
    explained: Explained,
    settings: CheckSettings,
    locked: str | Sequence[str] | None = None,
    standing: Standing | None = None,
) -> tuple[Check, ...]:
    """Ask a heatmap whether it deserves trust.

    Args:
        explained: The map, and what it was made from.
        settings: How much is tried; `enabled: false` asks only what costs nearly nothing.
        locked: Digest of the network's locked weights, see `reference.weights_digest`; of an ensemble one each.
        standing: How the image stands to those that the network is known to do well on.
    """
    found = [_as_locked(explained, locked), *standing_checks(standing or Standing())]
    found += _energy(explained)
    if settings.enabled:
        where = _compared(explained)
        found += _weights(explained, settings, where)
        found += _faithful(explained, settings)
        found += _steady(explained, settings, where)
    return tuple(found)


def verdict(checks: Sequence[Check]) -> tuple[Trust, str]:
    """Sum the checks up in one word and its reason."""
    answers = {one.name: one for one in checks}
    asked = [name for names in QUESTIONS.values() for name in names]
    if refuted := [one.reason for one in checks if one.name in asked and one.passed is False]:
        return "unsupported", "; ".join(refuted)
    if not any(name in answers for name in DEAR):
        return "unchecked", "this map was not asked whether it depends on the weights and is faithful"
    doubts = [one.reason for one in checks if one.passed is False]
    for question, names in QUESTIONS.items():
        given = [answers[name].passed for name in names if name in answers]
        if not given or None in given:
            doubts.append(f"it could not be shown that {question}")
    return ("doubtful", "; ".join(doubts)) if doubts else ("supported", "every question was answered with yes")


def heatmap_record(raw: RawMap, checks: Sequence[Check], *, bundle: str, image_id: str, file: str) -> HeatmapRecord:
    """Write down for case.json what a map is and whether to trust it."""
    trust, reason = verdict(checks)
    return HeatmapRecord(
        bundle=bundle,
        image_id=image_id,
        target=raw.target,
        finding_id=raw.finding_id,
        method=raw.method,
        file=file,
        raw_range=raw.raw_range,
        has_positive_evidence=raw.has_positive_evidence,
        trust=trust,
        trust_reason="; ".join([reason, *raw.notes]),
        checks=tuple(checks),
    )


def choose_checked(case_ids: Sequence[str], settings: CheckSettings) -> frozenset[str]:
    """Draw the cases of a batch that are asked the dear questions; the same ones in whatever order they come.

    Cases that the settings name are asked besides.
    """

    def ticket(case_id: str) -> str:
        return hashlib.sha256(f"{settings.seed}/{case_id}".encode()).hexdigest()

    if not settings.enabled:
        return frozenset()
    every = sorted(set(case_ids), key=ticket)
    count = min(settings.sample, math.ceil(settings.share * len(every)))
    return frozenset((*every[:count], *set(settings.cases).intersection(every)))


def _as_locked(explained: Explained, locked: str | Sequence[str] | None) -> Check:
    digests: Sequence[str | None] = (locked,) if isinstance(locked, str) else locked or (None,) * len(explained.members)
    each = [weights_check(one.network, digest) for one, digest in zip(explained.members, digests, strict=True)]
    return min(each, key=lambda one: (one.passed is not False, one.passed is not None))


def _energy(explained: Explained) -> Iterator[Check]:
    raw, prepared = explained.raw, explained.prepared
    low, high = raw.raw_range
    reason = f"the map lies between {low:.3g} and {high:.3g}"
    yield Check("has_positive_evidence", raw.has_positive_evidence, high, reason)
    if not raw.has_positive_evidence:
        return
    shape = _three(prepared)
    positive = np.clip(map_on_grid(raw.data, raw.affine, shape, prepared.affine), 0, None)
    energy = max(float(positive.sum(dtype=np.float64)), 1e-30)
    body = body_of(prepared.data)
    if body is None:
        yield Check("energy_outside_body", None, None, "the image has no even background to tell the body from")
    else:
        outside = float(positive[~body].sum(dtype=np.float64)) / energy
        reason = f"{outside:.0%} of the map lies outside the body"
        yield Check("energy_outside_body", outside <= LARGEST_OUTSIDE, outside, reason)
    rim = 1 - float(positive[_inner(shape)].sum(dtype=np.float64)) / energy
    yield Check("energy_at_border", rim <= LARGEST_AT_BORDER, rim, f"{rim:.0%} of the map lies at the image's border")


def _weights(explained: Explained, settings: CheckSettings, where: NDArray[np.bool_]) -> Iterator[Check]:
    ranks, pictures = [], []
    for seed in range(settings.reinitialisations):
        other = explained.again(changed=partial(reinitialised, seed=settings.seed + seed))
        ranks.append(abs(rank_similarity(explained.raw.data, other, where)))
        pictures.append(picture_similarity(explained.raw.data, other))
    mean, low, high = mean_interval(ranks)
    seen = [one for one in pictures if one is not None]
    ssim = f", SSIM {np.mean(seen):.2f}" if seen else ""
    reason = (
        f"rank similarity {mean:.2f} ({low:.2f} to {high:.2f}){ssim} to the maps of "
        f"{settings.reinitialisations} networks with fresh weights"
    )
    depends = True if high < LARGEST_SIMILARITY else False if low >= LARGEST_SIMILARITY else None
    yield Check("depends_on_weights", depends, mean, reason)


def _faithful(explained: Explained, settings: CheckSettings) -> Iterator[Check]:
    found = faithfulness(explained, settings)
    if found is None:
        for name in QUESTIONS["it is faithful to the answer"]:
            yield Check(name, None, None, "the score stays the same when the whole image is blurred")
        return
    for name, gain in found.gains.items():
        words = name.replace("_", " ")
        without = "" if gain.low > 0 else ", which does not exclude 0"
        reason = f"{words} {gain.mean:.2f} ({gain.low:.2f} to {gain.high:.2f}){without}"
        yield Check(name, gain.low > 0, gain.mean, reason)
    better = found.infidelity < found.infidelity_of_even
    reason = (
        f"infidelity {found.infidelity:.2f}"
        if better
        else f"an even map tells better by how much the score falls when pieces are taken out "
        f"(infidelity {found.infidelity:.2f}, of the even map {found.infidelity_of_even:.2f})"
    )
    yield Check("infidelity", better, found.infidelity, reason)


def _steady(explained: Explained, settings: CheckSettings, where: NDArray[np.bool_]) -> Iterator[Check]:
    raw, data = explained.raw, explained.prepared.data
    twice = explained.again(seed=explained.request.seed + 1000)
    alike = 1.0 if np.array_equal(twice, raw.data) else rank_similarity(raw.data, twice, where)
    reason = f"rank similarity {alike:.2f} to itself made again"
    yield Check("repeatability", alike >= LEAST_REPEATABILITY, alike, reason)
    rng = np.random.default_rng(settings.seed)
    radius = NOISE_SHARE * float(data.std())
    size = max(float(np.linalg.norm(raw.data)), 1e-30)
    worst = 0.0
    for _ in range(settings.noisy_images):
        noise = rng.uniform(-radius, radius, data.shape).astype(np.float32)
        worst = max(worst, float(np.linalg.norm(explained.again(data=data + noise) - raw.data)) / size)
    reason = f"noise of {NOISE_SHARE:.0%} moves the map by up to {worst:.0%} of its size"
    yield Check("max_sensitivity", worst <= LARGEST_SENSITIVITY, worst, reason)


def _compared(explained: Explained) -> NDArray[np.bool_]:
    """Find the map's voxels that were explained and lie in the body: air looks alike in every map."""
    raw, prepared = explained.raw, explained.prepared
    to_image = np.linalg.inv(prepared.affine) @ raw.affine
    i, j, k = raw.data.shape
    where = covered(windows_of(explained.opened, prepared, explained.request), (i, j, k), to_image)
    body = body_of(prepared.data)
    if body is not None:
        share = map_on_grid(body.astype(np.float32), prepared.affine, (i, j, k), raw.affine)
        inside = where & (share > 0.5)
        where = inside if inside.sum() >= 8 else where
    return where


def _inner(shape: Shape) -> tuple[slice, ...]:
    margins = [round(BORDER_SHARE * n) for n in shape]
    # Slices at the ends of a stack are no border that a tag or a collimator would lie at.
    return tuple(
        slice(margin, n - margin) if axis < 2 else slice(None)
        for axis, (n, margin) in enumerate(zip(shape, margins, strict=True))
    )


def _three(prepared: NetworkInput) -> Shape:
    i, j, k = prepared.data.shape[1:] if prepared.data.ndim == 4 else (*prepared.data.shape[1:], 1)
    return i, j, k
