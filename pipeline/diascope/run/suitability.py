"""Whether an image may be given to a network: its geometry, and what it shows."""

from collections.abc import Container, Iterable

from diascope.bundles.find import BundleInfo
from diascope.errors import UnsupportedInput
from diascope.geometry import FieldOfView, satisfies
from diascope.io.selection import Choice
from diascope.volume import Volume


def check_suits(bundle: BundleInfo, field_of_view: FieldOfView, volume: Volume) -> None:
    """Refuse an image that its network cannot take, or was not made for.

    Most are turned away from their headers alone (`io/selection.py`); here are those
    whose geometry is known only when they have been read.

    Args:
        bundle: The network.
        field_of_view: What an image must show for it in this run.
        volume: The image.

    Raises:
        UnsupportedInput: With what was seen and what is needed.
    """
    if not satisfies(volume.space, bundle.block.needs):
        raise UnsupportedInput(
            f"{volume.image_id} has a {type(volume.space).__name__}, {bundle.name} needs {bundle.block.needs}",
            hint="give an image whose header says where its voxels lie",
            code="no_geometry",
        )
    if reason := field_of_view.misfit(volume.space):
        raise UnsupportedInput(
            f"{volume.image_id} is not what {bundle.name} was made for: {reason}",
            hint="give a whole scan, not a part; any_field_of_view: true beside the network's name lets it pass",
            code="field_of_view",
        )


def outside_limits(pairs: Iterable[tuple[BundleInfo, Volume]], places: Container[str] = ()) -> tuple[str, ...]:
    """Say of each image that a network was given in spite of its limits why the result is doubtful.

    Args:
        pairs: Each network with its image.
        places: Networks that look at a part only: what the whole image shows is not asked of them.
    """
    reasons = []
    for bundle, volume in pairs:
        if bundle.name not in places and (reason := bundle.block.field_of_view.misfit(volume.space)):
            reasons.append(f"{bundle.name} was not made for this image: {reason}")
        if reason := bundle.block.ages.misfit(volume.facts):
            reasons.append(f"{bundle.name} was not made for this patient: {reason}")
    # A network that looks at several parts of an image says it once.
    return tuple(dict.fromkeys(reasons))


def not_shown_to_suit(choices: Iterable[Choice]) -> tuple[str, ...]:
    """Say of each image that a network was given although nothing tells that it is what the network wants."""
    wanting: dict[tuple[str, str], list[str]] = {}
    for choice in choices:
        for unstated in choice.unstated:
            wanting.setdefault(unstated, []).append(choice.bundle)
    # Networks that want the same of an image say it once.
    return tuple(
        f"{', '.join(dict.fromkeys(bundles))}: nothing says that {image_id} is what {_made(bundles)} "
        f"(not stated: {words})"
        for (image_id, words), bundles in wanting.items()
    )


def _made(bundles: list[str]) -> str:
    return "it was made for" if len(set(bundles)) == 1 else "they were made for"
