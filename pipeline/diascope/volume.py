"""Images and label maps in memory, checked when they are made."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from diascope.errors import GridMismatch, InputError
from diascope.findings import ImageFacts
from diascope.geometry import Space


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A scalar image: one number per voxel.

    Attributes:
        data: (i, j, k) integers or float32, in the order of the file, never
            flipped. A radiograph has one slice. CT is in HU.
        space: Where the voxels lie.
        facts: What is known of the patient and the acquisition, without identity.
        image_id: Keyed id of the image.
        display_window: (centre, width) in the unit of data, from the source's
            VOI LUT or window; None where it names none.
        is_inverted: Whether low numbers are to be shown bright (MONOCHROME1). The
            data keep the stored sense.
    """

    data: NDArray[np.generic]
    space: Space
    facts: ImageFacts
    image_id: str
    display_window: tuple[float, float] | None = None
    is_inverted: bool = False

    def __post_init__(self) -> None:
        """Refuse data that do not fill the space, or that are not numbers."""
        _check_array(self.data, self.space, kinds="iufb")


@dataclass(frozen=True, slots=True, eq=False)
class ColourImage:
    """A colour image; no network of ours takes one, a reviewer may look at it.

    Attributes:
        data: (i, j, k, 3) uint8, RGB.
        space: Where the pixels lie.
        facts: As in Volume.
        image_id: Keyed id of the image.
    """

    data: NDArray[np.uint8]
    space: Space
    facts: ImageFacts
    image_id: str

    def __post_init__(self) -> None:
        """Refuse anything but 8-bit RGB that fills the space."""
        if self.data.dtype != np.uint8 or self.data.shape != (*self.space.shape, 3):
            raise InputError(
                f"a colour image must be uint8 {(*self.space.shape, 3)}, got {self.data.dtype} {self.data.shape}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A label map on the voxels of its image; 0 is background.

    Attributes:
        data: (i, j, k) uint8 or uint16.
        space: Where the voxels lie: the source image's own.
        labels: Name of each label value, background left out.
    """

    data: NDArray[np.unsignedinteger]
    space: Space
    labels: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse other dtypes, and label values without a name."""
        if self.data.dtype not in (np.uint8, np.uint16):
            raise InputError(f"a mask must be uint8 or uint16, got {self.data.dtype}")
        _check_array(self.data, self.space, kinds="u")
        counts = np.zeros(np.iinfo(self.data.dtype).max + 1, dtype=np.int64)
        # bincount takes eight bytes per voxel: not of a whole chest at once, and in the order of the memory.
        for plane in np.moveaxis(self.data, int(np.argmax(self.data.strides)), 0):
            counts += np.bincount(plane.ravel(), minlength=len(counts))
        if nameless := sorted(set(np.flatnonzero(counts).tolist()) - {0} - set(self.labels)):
            raise InputError(f"label values without a name: {nameless}")


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """How much each place speaks for a prediction, on the map's own small grid.

    Attributes:
        data: (i, j, k) float32, raw: never stretched to 0..1.
        space: Where the map's voxels lie.
        target: The class, label or finding that is explained.
        method: Name of the attribution method.
    """

    data: NDArray[np.float32]
    space: Space
    target: str
    method: str

    def __post_init__(self) -> None:
        """Refuse data that do not fill the space."""
        _check_array(self.data, self.space, kinds="f")

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest raw value."""
        return float(self.data.min()), float(self.data.max())


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Numbers from 0 upwards in 255 even steps, on the voxels of an image: small on disk.

    Attributes:
        data: (i, j, k) uint8.
        space: Where the voxels lie.
        top: What 255 stands for; above 0.
    """

    data: NDArray[np.uint8]
    space: Space
    top: float

    def __post_init__(self) -> None:
        """Refuse data that do not fill the space, and steps without a size."""
        _check_array(self.data, self.space, kinds="u")
        if self.data.dtype != np.uint8 or not 0 < self.top < np.inf:
            raise InputError(f"steps must be uint8 up to a number above 0, got {self.data.dtype} up to {self.top}")


def _check_array(data: NDArray[np.generic], space: Space, kinds: str) -> None:
    if data.shape != space.shape:
        raise GridMismatch(f"the array has {data.shape} voxels, its space {space.shape}")
    if data.dtype.kind not in kinds:
        raise InputError(f"the array holds {data.dtype}, which is not a number diascope computes with")
