"""Does the network's answer hang on the places that a map marks?

The hottest pieces of the image are blurred away first (deletion), or put first into the
blurred image (insertion; Petsiuk et al. 2018), and the mean score on the way is compared
with that of other orders: of smooth maps drawn at random, and of blobs around the body's
centre, because lesions and organs tend to be there. Only the order of a map counts here.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from diascope.bundles.network import NetworkInput
from diascope.explain.baseline import blurred, body_of
from diascope.explain.heatmap import Explained, windows_at_once, windows_of
from diascope.explain.perturbation import patch_edges
from diascope.explain.request import RawMap
from diascope.explain.settings import CheckSettings
from diascope.explain.subject import Subject
from diascope.explain.windows import Windows
from diascope.imaging.upsampling import map_on_grid

# A blob's standard deviation, and how far its centre may stray, in extents of the image.
BLOB_SIGMA = 1 / 6
BLOB_STRAY = 0.08

# How many cells a random removal takes.
REMOVED_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better a map's order is than its rivals', in shares of the score's fall from image to blur.

    Attributes:
        mean: Over the rivals.
        low: 2.5th percentile.
        high: 97.5th percentile.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """What deletion, insertion and removals say of a map.

    Attributes:
        gains: By name of the check: deletion and insertion, over random maps and blobs.
        infidelity: Part of the score's falls under random removals that the map does
            not predict, 0 to 1 (Yeh et al. 2019, scaled as they propose).
        infidelity_of_even: The same of a map that is even over the body.
    """

    gains: dict[str, Gain]
    infidelity: float
    infidelity_of_even: float


def faithfulness(explained: Explained, settings: CheckSettings) -> Faithfulness | None:
    """Delete and insert by a map's order.

    Args:
        explained: The map, and what it was made from.
        settings: How much is tried.

    Returns:
        None where blurring the whole image does not change the score: there is nothing to lose.
    """
    rng = np.random.default_rng(settings.seed)
    bench = _Bench.of(explained, settings)
    scale = bench.fall()
    if scale < 1e-6:
        return None
    ours = bench.values_of(explained.raw, explained.prepared)
    rivals = {
        "random": [bench.noise(rng) for _ in range(settings.random_maps)],
        "centre_blob": [bench.blob(rng) for _ in range(settings.centre_blobs)],
    }
    gains = {}
    own = {kind: bench.mean_score(ours, kind, rng) for kind in ("deletion", "insertion")}
    for name, maps in rivals.items():
        for kind, sign in (("deletion", 1.0), ("insertion", -1.0)):
            each = [sign * (bench.mean_score(one, kind, rng) - own[kind]) / scale for one in maps]
            low, high = np.percentile(each, [2.5, 97.5]).tolist()
            gains[f"{kind}_gain_over_{name}"] = Gain(float(np.mean(each)), low, high)
    infidelity, of_even = bench.infidelities(ours, rng, settings.removals)
    return Faithfulness(gains, infidelity, of_even)


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """Windows cut into cells that can be taken out and put in."""

    subject: Subject
    windows: Windows
    soft: Windows
    edges: list[NDArray[np.int64]]
    centres: NDArray[np.float64]
    usable: NDArray[np.bool_]
    body_centre: NDArray[np.float64]
    steps: int
    at_once: int

    @classmethod
    def of(cls, explained: Explained, settings: CheckSettings) -> "_Bench":
        opened, prepared, request = explained.opened, explained.prepared, explained.request
        every = windows_of(opened, prepared, request)
        share = every.weights.flatten(1).sum(1) if every.weights.ndim > 1 else every.weights
        most = torch.argsort(share, descending=True, stable=True)[: settings.windows].sort().values
        windows = every.part(most.numpy()).on(opened.device)
        soft = blurred(windows)
        edges = patch_edges(tuple(windows.inputs.shape[2:]), settings.cells)
        centres = _cell_centres(windows, edges)
        body = body_of(prepared.data)
        usable, body_centre = _body_cells(body, centres, windows, edges)
        return cls(
            explained.subject(),
            windows,
            soft,
            edges,
            centres,
            usable,
            body_centre,
            settings.steps,
            windows_at_once(windows, request.budget.windows_at_once),
        )

    def fall(self) -> float:
        """Say by how much the score changes when the whole body is blurred."""
        whole, nothing = np.zeros_like(self.usable), self.usable
        return abs(self.score(whole, is_inserted=False) - self.score(nothing, is_inserted=False))

    def values_of(self, raw: RawMap, prepared: NetworkInput) -> NDArray[np.float64]:
        """Average a map over the cells of each window."""
        values = []
        for start in self.windows.starts:
            shift = np.eye(4)
            shift[:3, 3] = start
            fine = map_on_grid(raw.data, raw.affine, self.windows.size, prepared.affine @ shift)
            if self.windows.flat_axis is not None:
                fine = fine.squeeze(self.windows.flat_axis)
            values.append(_cell_means(fine, self.edges))
        return np.stack(values)

    def noise(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw a smooth random map: single random cells would be a straw man, they tear the image to shreds."""
        dims = len(self.edges)
        sigma = [0.0, *[1.5] * dims]
        drawn: NDArray[np.float64] = ndimage.gaussian_filter(rng.standard_normal(self.usable.shape), sigma)
        return drawn

    def blob(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw a Gaussian blob near the centre of the body."""
        extent = np.array(self.windows.image_shape, dtype=np.float64)
        centre = self.body_centre + rng.uniform(-BLOB_STRAY, BLOB_STRAY, 3) * extent
        off = (self.centres - centre) / np.maximum(BLOB_SIGMA * extent, 0.5)
        if self.windows.flat_axis is not None:
            off[..., self.windows.flat_axis] = 0
        values: NDArray[np.float64] = -(off**2).sum(-1).reshape(self.usable.shape)
        return values

    def mean_score(self, values: NDArray[np.float64], kind: str, rng: np.random.Generator) -> float:
        """Average the score over a curve; most of its points take little, as a lesion is a few percent of a body."""
        flat, usable = values.ravel(), np.flatnonzero(self.usable.ravel())
        order = usable[np.lexsort((rng.permutation(usable.size), -flat[usable]))]
        total = 0.0
        for step in range(1, self.steps):
            chosen = np.zeros(flat.size, dtype=bool)
            chosen[order[: max(1, round((step / self.steps) ** 3 * order.size))]] = True
            total += self.score(chosen.reshape(self.usable.shape), is_inserted=kind == "insertion")
        return total / (self.steps - 1)

    def infidelities(self, values: NDArray[np.float64], rng: np.random.Generator, removals: int) -> tuple[float, float]:
        """Compare what the map says of random removals with what they do; and what an even map says."""
        whole = self.score(np.zeros(self.usable.shape, dtype=bool), is_inserted=False)
        usable = np.flatnonzero(self.usable.ravel())
        sums = (values * functools.reduce(np.multiply.outer, [np.diff(edge) for edge in self.edges])).ravel()
        said, done = [], []
        for _ in range(removals):
            chosen = np.zeros(self.usable.size, dtype=bool)
            chosen[rng.choice(usable, max(1, round(REMOVED_SHARE * usable.size)), replace=False)] = True
            said.append(float(sums[chosen].sum()))
            done.append(whole - self.score(chosen.reshape(self.usable.shape), is_inserted=False))
        fell = np.array(done)
        return _unexplained(np.array(said), fell), _unexplained(np.ones(removals), fell)

    def score(self, chosen: NDArray[np.bool_], *, is_inserted: bool) -> float:
        """Score the windows with the chosen cells blurred, or with everything else blurred."""
        taken = chosen if not is_inserted else ~chosen & self.usable
        total = 0.0
        with torch.inference_mode():
            for start in range(0, len(self.windows), self.at_once):
                part = slice(start, start + self.at_once)
                masks = torch.from_numpy(np.stack(list(self._voxels(taken[part])))).to(self.windows.inputs.device)
                image = torch.where(masks[:, None], self.soft.inputs[part], self.windows.inputs[part])
                total += float(self.subject(image, self.windows.weights[part]).sum())
        return total

    def _voxels(self, cells: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
        for one in cells:
            voxels = one
            for axis, edge in enumerate(self.edges):
                voxels = np.repeat(voxels, np.diff(edge), axis=axis)
            yield voxels


def _cell_centres(windows: Windows, edges: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Give the (n, cells, 3) centres of all cells in voxels of the image."""
    middles = [(edge[:-1] + edge[1:] - 1) / 2 for edge in edges]
    if windows.flat_axis is not None:
        middles.insert(windows.flat_axis, np.zeros(1))
    one = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 3)
    return windows.starts[:, None, :] + one[None]


def _cell_means(fine: NDArray[np.float32], edges: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    means = fine.astype(np.float64)
    for axis, edge in enumerate(edges):
        widths = np.diff(edge).reshape([-1 if a == axis else 1 for a in range(fine.ndim)])
        means = np.add.reduceat(means, edge[:-1], axis=axis) / widths
    return means


def _body_cells(
    body: NDArray[np.bool_] | None, centres: NDArray[np.float64], windows: Windows, edges: list[NDArray[np.int64]]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Find the cells whose centre is in the body: taking air out shows nothing."""
    cells = np.ones(centres.shape[:2], dtype=bool)
    middle = (np.array(windows.image_shape, dtype=np.float64) - 1) / 2
    if body is not None:
        at = np.round(centres).astype(int)
        is_inside = ((at >= 0) & (at < body.shape)).all(-1)
        i, j, k = np.clip(at, 0, np.array(body.shape) - 1).transpose(2, 0, 1)
        in_body = body[i, j, k] & is_inside
        if in_body.sum() >= 4:
            cells = in_body
        middle = np.array(ndimage.center_of_mass(body), dtype=np.float64)
    return cells.reshape(len(windows), *(len(edge) - 1 for edge in edges)), middle


def _unexplained(said: NDArray[np.float64], done: NDArray[np.float64]) -> float:
    power = float((done**2).sum())
    if power == 0:
        return 1.0
    fitted = max(0.0, float(said @ done)) / max(float(said @ said), 1e-30)
    return float(((fitted * said - done) ** 2).sum()) / power
