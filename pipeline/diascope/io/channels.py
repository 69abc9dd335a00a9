"""Several images of a study as the channels of one network: which, in which order, and whether they fit together.

Channels are voxels that lie on each other. Images of one scanning session share a frame
of reference (DICOM PS3.3, C.7.4.1); images of different ones must be registered first,
which is nothing that a reader may do silently, so they are never combined. Where no
frame is stated (NIfTI), the affines are taken at their word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diascope.errors import GridMismatch
from diascope.geometry import FieldOfView, Grid, Need, check_same_space
from diascope.io.select_rule import SelectRule
from diascope.io.selection import ANY_FIELD, Choice, choose
from diascope.io.series import FRAME, Series

# A channel of which less lies within the first one's field is another region, not the same one seen twice.
LEAST_COVERED = 0.5

# Positions of two series of one session differ by rounding; a hundredth of a voxel changes nothing.
SAME_GRID_MM = 0.05


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Who may be a channel.

    Attributes:
        ranked: Images that fit its rule, best first.
        reasons: Why each other one does not, by image_id.
    """

    ranked: tuple[Series, ...]
    reasons: Mapping[str, str]


def choose_channels(
    bundle: str,
    need: Need,
    rules: Mapping[str, SelectRule],
    series: Sequence[Series],
    *,
    field_of_view: FieldOfView = ANY_FIELD,
) -> Choice:
    """Choose an image for each channel of a network, or none at all.

    Images of the first channel are tried in the order of its preferences; the first
    one beside which every other channel has an image in the same space is taken.

    Args:
        bundle: Name of the network.
        need: The geometry that it asks for.
        rules: Which image each channel wants, in the order of the channels.
        series: All images of the study.
        field_of_view: What an image must show for it.
    """
    candidates = {
        name: _candidates(choose(bundle, need, _every(rule), series, field_of_view=field_of_view))
        for name, rule in rules.items()
    }
    first, *_ = candidates.values()
    picked: tuple[Series, ...] = ()
    for start in first.ranked:
        picked = _beside(start, candidates)
        if picked:
            break
    taken = {one.image_id for one in picked}
    why_not = tuple((one.image_id, _why_not(one, candidates, picked)) for one in series if one.image_id not in taken)
    return Choice(bundle, picked, why_not, field_of_view, channels=tuple(rules) if picked else ())


def lies_on(series: Series, first: Series) -> bool:
    """Say whether the voxels of two images lie on each other, as far as headers tell."""
    if series.space is None or first.space is None:
        return False
    try:
        check_same_space(series.space, first.space, tolerance_mm=SAME_GRID_MM)
    except GridMismatch:
        return False
    return True


def _every(rule: SelectRule) -> SelectRule:
    return rule.model_copy(update={"select": "all"})


def _candidates(choice: Choice) -> _Candidates:
    return _Candidates(choice.chosen, dict(choice.why_not))


def _beside(start: Series, candidates: Mapping[str, _Candidates]) -> tuple[Series, ...]:
    """Fill the other channels beside the first one's image; nothing if one cannot be filled."""
    _, *others = candidates.values()
    picked = [start]
    for channel in others:
        fitting = (one for one in channel.ranked if one not in picked and not _apart(one, start))
        found = next(fitting, None)
        if found is None:
            return ()
        picked.append(found)
    return tuple(picked)


def _apart(series: Series, first: Series) -> str:
    """Say why two images cannot be channels of one network; empty where they can."""
    frames = series.selection.get(FRAME), first.selection.get(FRAME)
    if all(frames) and frames[0] != frames[1]:
        return "it lies in another frame of reference and would have to be registered first"
    one, other = series.space, first.space
    if one is None or other is None:
        return ""
    if isinstance(one, Grid) and isinstance(other, Grid):
        covered = _covered(one, other)
        return f"it covers only {covered:.0%} of the field of the first channel" if covered < LEAST_COVERED else ""
    try:
        check_same_space(one, other)
    except GridMismatch as error:
        return f"{error.message}, and no place in the patient brings them together"
    return ""


def _covered(grid: Grid, first: Grid) -> float:
    """Tell how much of the first image's field another one shows, by a lattice of points in it."""
    steps = [np.linspace(0, n - 1, 9) for n in first.shape]
    points_ijk = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    seen_ijk = grid.to_ijk(first.to_ras_mm(points_ijk))
    inside = (seen_ijk >= -0.5) & (seen_ijk <= np.array(grid.shape) - 0.5)
    return float(inside.all(axis=1).mean())


def _why_not(series: Series, candidates: Mapping[str, _Candidates], picked: Sequence[Series]) -> str:
    parts = []
    for at, (name, channel) in enumerate(candidates.items()):
        if reason := channel.reasons.get(series.image_id):
            parts.append(f"{name}: {reason}")
        elif not picked:
            parts.append(f"{name}: it fits, but the channels cannot all be filled{_lack(candidates)}")
        elif apart := _apart(series, picked[0]):
            parts.append(f"{name}: {apart}")
        else:
            parts.append(f"{name}: {picked[at].image_id} is preferred")
    return "; ".join(parts)


def _lack(candidates: Mapping[str, _Candidates]) -> str:
    empty = [name for name, channel in candidates.items() if not channel.ranked]
    if empty:
        return f": no image is {' or '.join(empty)}"
    return " in one space: frames of reference or fields differ"
