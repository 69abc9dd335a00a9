"""Put the slices of a stack in order along their normal, and find its volumes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diascope.errors import IncompleteSeries
from diascope.io.dicom.headers import Orientation
from diascope.io.dicom.splitting import Slice

# Two slices nearer than a tenth of their thickness are at the same place: positions of
# the volumes of one series may differ in their last digits. No slices overlap so far.
SAME_PLACE_PART = 0.1
SAME_PLACE_MM = (0.01, 0.1)

Rank = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Ordered:
    """A stack in order.

    Attributes:
        volumes: Each with its slices along the normal.
        axis: What tells the volumes apart; None for one volume.
        values: Where each volume lies on that axis; empty where that is not known.
    """

    volumes: tuple[tuple[Slice, ...], ...]
    axis: str | None = None
    values: tuple[float, ...] = ()


def normal_of(orientation: Orientation) -> NDArray[np.float64]:
    """Find the direction of k: at right angles to rows and columns, so that i, j, k are right-handed in LPS.

    Returns:
        (3,) unit vector in LPS.
    """
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    normal: NDArray[np.float64] = np.cross(along_row, along_column)
    normal /= np.linalg.norm(normal)
    return normal


def order(slices: Sequence[Slice]) -> Ordered:
    """Find the order of the slices along their normal, and the volumes among them.

    File names and InstanceNumber do not order slices: neither is tied to the position
    of a slice (DICOM PS3.3, C.7.6.2.1.1 is). All slices have a position and an orientation.

    Raises:
        IncompleteSeries: A position is doubled, or missing in some of the volumes.
    """
    places = _places(slices)
    counts = {len(place) for place in places}
    if counts == {1}:
        return Ordered((tuple(place[0] for place in places),))
    if len(counts) > 1:
        raise _uneven_counts(places)
    return _volumes(places)


def _places(slices: Sequence[Slice]) -> list[list[Slice]]:
    normal = normal_of(slices[0].place.orientation)
    along_mm = np.array([one.place.position_lps_mm for one in slices]) @ normal
    least_mm, most_mm = SAME_PLACE_MM
    thickness_mm = min(one.frame.thickness_mm or 0.0 for one in slices)
    same_mm = min(max(SAME_PLACE_PART * thickness_mm, least_mm), most_mm)
    places: list[list[Slice]] = []
    last_mm = -np.inf
    for at in np.argsort(along_mm, kind="stable"):
        if along_mm[at] - last_mm > same_mm:
            places.append([])
            last_mm = along_mm[at]
        places[-1].append(slices[at])
    return places


def _uneven_counts(places: Sequence[Sequence[Slice]]) -> IncompleteSeries:
    counts = [len(place) for place in places]
    usual = int(np.median(counts))
    odd = [k for k, count in enumerate(counts) if count != usual]
    k = odd[0]
    if usual == 1:
        return IncompleteSeries(
            f"slice {k} of {len(places)} is there {counts[k]} times with different content ({len(odd)} doubled in all)",
            hint="send the series again, each slice once",
            code="duplicate_slices",
        )
    return IncompleteSeries(
        f"slice {k} of {len(places)} is there {counts[k]} times, the others {usual} times"
        f" ({len(odd)} differ in all): a volume is incomplete",
        hint="send the series again, all volumes of it complete",
        code="incomplete_volume",
    )


def _volumes(places: Sequence[Sequence[Slice]]) -> Ordered:
    """Tell the volumes of a 4-D series apart by the first rank that does so at every place."""
    for rank, must_agree in _RANKS:
        ranked = _ranked(places, rank, must_agree=must_agree)
        if ranked is not None:
            return _named(ranked)
    raise IncompleteSeries(
        f"each of {len(places)} slices is there {len(places[0])} times,"
        " and neither time, b-value nor acquisition tells them apart",
        hint="send the series again, each slice once",
        code="duplicate_slices",
    )


def _ranked(
    places: Sequence[Sequence[Slice]], rank: Callable[[Slice], Rank | None], *, must_agree: bool
) -> list[list[Slice]] | None:
    volumes: list[list[Slice]] = [[] for _ in places[0]]
    first: list[Rank] | None = None
    low: list[Rank] = []
    high: list[Rank] = []
    for place in places:
        ranks = [rank(one) for one in place]
        known = [found for found in ranks if found is not None]
        if len(known) < len(ranks) or len(set(known)) < len(known):
            return None
        by_rank = sorted(zip(known, place, strict=True), key=lambda pair: pair[0])
        in_order = [found for found, _ in by_rank]
        if first is None:
            first, low, high = in_order, list(in_order), list(in_order)
        if must_agree and in_order != first:
            return None
        low = [min(pair) for pair in zip(low, in_order, strict=True)]
        high = [max(pair) for pair in zip(high, in_order, strict=True)]
        for volume, (_, one) in zip(volumes, by_rank, strict=True):
            volume.append(one)
    # Volumes that follow each other in time do not overlap in it.
    if any(end >= start for end, start in zip(high[:-1], low[1:], strict=True)):
        return None
    return volumes


def _temporal(one: Slice) -> Rank | None:
    return None if one.frame.temporal is None else (one.frame.temporal,)


def _weighting(one: Slice) -> Rank | None:
    if one.frame.b_value is None:
        return None
    return (one.frame.b_value, *(one.frame.direction or ()))


def _dimensions(one: Slice) -> Rank | None:
    return tuple(float(part) for part in one.frame.dimensions) or None


def _trigger(one: Slice) -> Rank | None:
    return None if one.frame.trigger_ms is None else (one.frame.trigger_ms,)


def _acquisition(one: Slice) -> Rank | None:
    return None if one.header.acquisition is None else (float(one.header.acquisition),)


def _time(one: Slice) -> Rank | None:
    return None if one.header.time_s is None else (one.header.time_s,)


def _instance(one: Slice) -> Rank | None:
    return None if one.header.instance is None else (float(one.header.instance), float(one.frame.number))


# In this order: an index made for the purpose, then the weighting, then clocks. The
# second value says whether every place must have the very same values.
_RANKS: tuple[tuple[Callable[[Slice], Rank | None], bool], ...] = (
    (_temporal, True),
    (_weighting, True),
    (_dimensions, True),
    (_acquisition, True),
    (_trigger, False),
    (_time, False),
    (_instance, False),
)


def _named(volumes: Sequence[Sequence[Slice]]) -> Ordered:
    weightings = [{one.frame.b_value for one in volume} for volume in volumes]
    one_each = [next(iter(found)) for found in weightings if len(found) == 1]
    known = [value for value in one_each if value is not None]
    fixed = tuple(tuple(volume) for volume in volumes)
    if len(known) == len(volumes) and len(set(known)) > 1:
        return Ordered(fixed, "b_value", tuple(known))
    times = [one.time_s for one in (volume[0].header for volume in volumes)]
    since = tuple(time - times[0] for time in times if time is not None and times[0] is not None)
    return Ordered(fixed, "time", since if len(since) == len(volumes) else ())
