"""A network that looks only where another one found something: its image is prepared when that one has spoken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from diascope.bundles.find import BundleInfo
from diascope.bundles.network import NetworkInput, prepare_input
from diascope.errors import ConfigError, UnsupportedInput
from diascope.imaging.places import WHOLE, Part, Place, box_of_part, cut_out
from diascope.imaging.resample import GridOfLogits
from diascope.run.settings import BundleUse
from diascope.tasks.segment import segment
from diascope.volume import Volume


@dataclass(frozen=True, slots=True, eq=False)
class Awaited:
    """An input that can be made only when another network has spoken.

    Attributes:
        bundle: The network that waits.
        volume: The whole image, at right angles and without holes.
        place: Where it is to look.
        part: Which part of it.
    """

    bundle: BundleInfo
    volume: Volume
    place: Place
    part: Part


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """What an earlier network said of an image."""

    bundle: BundleInfo
    seen: GridOfLogits


def places_of(uses: Sequence[BundleUse], bundles: Sequence[BundleInfo]) -> dict[str, Place]:
    """List where networks are to look, by the name of the network; those that look everywhere are left out.

    Raises:
        ConfigError: A place is named by a label that the other network does not draw.
    """
    found = {}
    for use, bundle in zip(uses, bundles, strict=True):
        if use.within is None:
            continue
        name = PurePath(use.within.bundle).name
        labels = [label.name for one in bundles if one.name == name for label in one.labels]
        parts = tuple(
            Part(part, one.left_right, one.back_front, one.foot_head, one.label)
            for part, one in use.within.parts.items()
        ) or (WHOLE,)
        place = Place(name, use.within.label, use.within.margin_mm, parts)
        for wanted in map(place.label_of, parts):
            if wanted not in labels:
                raise ConfigError(
                    f"{bundle.name} is to look within {wanted}, which {name} does not draw",
                    hint=f"it draws {', '.join(labels)}",
                )
        found[bundle.name] = place
    return found


def settle(awaited: Awaited, spoken: Mapping[tuple[str, str], Spoken]) -> NetworkInput:
    """Cut out the place that another network found, and prepare it.

    Args:
        awaited: Who waits for what.
        spoken: What was said so far, by network and image.

    Raises:
        UnsupportedInput: The other network was not given this image, or did not find the place, or
            the place is not what the network was made for.
    """
    place, name, image_id = awaited.place, awaited.bundle.name, awaited.volume.image_id
    wanted = place.label_of(awaited.part)
    other = spoken.get((place.bundle, image_id))
    if other is None:
        raise UnsupportedInput(
            f"{name} is to look within {wanted} of {place.bundle}, which was not given {image_id}",
            hint="let both networks select the same images",
            code="nothing_within",
        )
    value = next(label.value for label in other.bundle.labels if label.name == wanted)
    box = box_of_part(segment(other.seen, awaited.volume.space, other.bundle), value, place, awaited.part)
    if box is None:
        raise UnsupportedInput(
            f"{place.bundle} found no {wanted} in {image_id}, so {name} does not know where to look",
            hint="look whether the image shows it; leave this network out for this case",
            code="nothing_within",
        )
    inner = cut_out(awaited.volume, box)
    if reason := awaited.bundle.block.field_of_view.misfit(inner.space):
        raise UnsupportedInput(
            f"{awaited.part.name} of {wanted} in {image_id} is not what {name} was made for: {reason}",
            hint="set another within.margin_mm, or look at what the other network drew",
            code="field_of_view",
        )
    return prepare_input(awaited.bundle, inner)
