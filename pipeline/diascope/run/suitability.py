"""Whether an image may be given to a network: its geometry, and what it shows."""

from collections.abc import Iterable

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


def outside_limits(pairs: Iterable[tuple[BundleInfo, Volume]]) -> tuple[str, ...]:
    """Say of each image that was let pass (`any_field_of_view`) why its result is doubtful."""
    reasons = ((bundle.name, bundle.block.field_of_view.misfit(volume.space)) for bundle, volume in pairs)
    return tuple(f"{name} was not made for this image: {reason}" for name, reason in reasons if reason)


def not_shown_to_suit(choices: Iterable[Choice]) -> tuple[str, ...]:
    """Say of each image that a network was given although nothing tells that it is what the network wants."""
    return tuple(
        f"{choice.bundle}: nothing says that {image_id} is what it was made for (not stated: {words})"
        for choice in choices
        for image_id, words in choice.unstated
    )
