"""Shapes that a head has around the brain: a list of ellipsoids in the template's frame.

Places and sizes are those of an average adult in MNI152 millimetres, from anatomy
books and by eye; x < 0 is left. A part with x != 0 has a mirror image.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diascope.demo.tissues import Tissue

Field = NDArray[np.float32]
Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Blob:
    """An ellipsoid that the outline of the head is blended from.

    Attributes:
        centre_ras_mm: Its middle.
        radii_mm: Along x, y, z.
        blend_mm: How softly it joins the rest.
    """

    centre_ras_mm: Point
    radii_mm: Point
    blend_mm: float = 12.0

    def distance_mm(self, x_mm: Field, y_mm: Field, z_mm: Field) -> Field:
        """Estimate the distance from the surface, negative inside; the arguments broadcast."""
        parts = zip((x_mm, y_mm, z_mm), self.centre_ras_mm, self.radii_mm, strict=True)
        squares = [((at - centre) / radius) ** 2 for at, centre, radius in parts]
        norm = np.sqrt(squares[0] + squares[1] + squares[2])
        distance: Field = ((norm - 1) * min(self.radii_mm)).astype(np.float32)
        return distance


@dataclass(frozen=True, slots=True)
class Part:
    """An ellipsoid of one tissue; later parts cover earlier ones.

    Attributes:
        tissue: What it is made of.
        centre_ras_mm: Its middle.
        radii_mm: Along x, y, z.
        share: Which part of it is painted, in grains: air cells of the mastoid.
        grain_mm: Size of the grains.
        min_depth_mm: Nothing is painted nearer to the skin than this.
        below_skull: Painted before the skull, which covers it.
        pitch: How much z changes per mm along y: for what lies aslant.
    """

    tissue: Tissue
    centre_ras_mm: Point
    radii_mm: Point
    share: float = 1.0
    grain_mm: float = 1.0
    min_depth_mm: float = 0.0
    below_skull: bool = False
    pitch: float = 0.0

    def mirrored(self) -> Iterator["Part"]:
        """Give the part, and its mirror image if it lies off the midline."""
        yield self
        x, y, z = self.centre_ras_mm
        if x:
            yield replace(self, centre_ras_mm=(-x, y, z))

    def box_mm(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Give whole-millimetre corners of a box that holds it."""
        rx, ry, rz = self.radii_mm
        reach = (rx, ry, rz + abs(self.pitch) * ry)
        low, high = (
            tuple(int(np.floor(c + sign * r)) for c, r in zip(self.centre_ras_mm, reach, strict=True))
            for sign in (-1, 1)
        )
        return low, high  # type: ignore[return-value]  # three numbers each

    def distance_mm(self, x_mm: Field, y_mm: Field, z_mm: Field) -> Field:
        """Estimate the distance from the surface, negative inside; the arguments broadcast."""
        aslant = z_mm - self.pitch * (y_mm - self.centre_ras_mm[1])
        return Blob(self.centre_ras_mm, self.radii_mm).distance_mm(x_mm, y_mm, aslant)


class SkullLimits:
    """Where the bony shell around the brain is thinner than at the vault."""

    @staticmethod
    def thinning_mm(y_mm: Field, z_mm: Field) -> Field:
        """Give what the base of the skull lacks of the vault's thickness.

        Args:
            y_mm: (1, n, 1) towards the front.
            z_mm: (1, 1, n) towards the top.
        """
        base = np.clip((-18 - z_mm) / 10, 0, 1) * np.clip((y_mm + 60) / 20, 0, 1)
        thinning: Field = (4.4 * base).astype(np.float32)
        return thinning


OUTLINE: tuple[Blob, ...] = (
    Blob((0, 32, -52), (66, 60, 50), 14),  # midface
    Blob((0, 40, -96), (52, 50, 42), 14),  # jaw
    Blob((0, 80, -122), (17, 15, 14), 14),  # chin
    Blob((0, 94, -56), (11, 17, 17), 9),  # nose
    Blob((0, 104, -64), (12, 11, 9), 7),  # tip of the nose
    Blob((0, 78, -20), (40, 18, 14), 10),  # brow
    Blob((0, -34, -118), (58, 60, 75), 16),  # neck
    Blob((-64, 20, -22), (15, 36, 40), 10),  # temple
    Blob((64, 20, -22), (15, 36, 40), 10),  # temple
    Blob((-82, -32, -44), (6, 17, 27), 8),  # ear
    Blob((82, -32, -44), (6, 17, 27), 8),  # ear
)

_T = Tissue

HEAD_PARTS: tuple[Part, ...] = (
    # Soft parts below the skull.
    Part(_T.MUSCLE, (-68, 18, -16), (12, 36, 36), below_skull=True, min_depth_mm=5),  # temporalis
    Part(_T.MUSCLE, (-54, 12, -82), (9, 22, 26), below_skull=True, min_depth_mm=5),  # masseter
    Part(_T.FAT, (-48, 44, -78), (10, 13, 17), share=0.75, grain_mm=2.5, below_skull=True),  # cheek
    Part(_T.GLAND, (-56, -12, -84), (12, 16, 22), below_skull=True, min_depth_mm=5),  # parotid
    Part(_T.MUSCLE, (-28, 16, -72), (10, 16, 16), below_skull=True),  # pterygoids
    Part(_T.MUSCLE, (-17, -78, -96), (13, 17, 34), below_skull=True),  # neck
    Part(_T.MUSCLE, (-40, -62, -96), (12, 20, 36), below_skull=True),  # neck, splenius
    Part(_T.FAT, (0, -92, -96), (6, 9, 30), below_skull=True),  # nape
    # Bones of the face.
    Part(_T.BONE, (0, 42, -58), (46, 32, 38), share=0.42, grain_mm=3.0, min_depth_mm=7),
    Part(_T.BONE, (-48, 64, -48), (14, 9, 9), min_depth_mm=4),  # zygoma
    Part(_T.MARROW, (-48, 64, -48), (11, 6, 6), min_depth_mm=5),
    Part(_T.BONE, (-62, 30, -52), (4, 34, 5), min_depth_mm=4),  # its arch
    Part(_T.BONE, (-44, 16, -92), (5, 15, 30), min_depth_mm=7),  # ramus of the jaw
    Part(_T.MARROW, (-44, 16, -92), (2.4, 11, 26), min_depth_mm=8),
    Part(_T.BONE, (0, 66, -92), (26, 18, 20), min_depth_mm=6),  # jaws and teeth
    Part(_T.MARROW, (0, 68, -88), (22, 12, 7), share=0.5, grain_mm=1.5, min_depth_mm=8),
    Part(_T.MARROW, (0, 74, -116), (20, 8, 8), min_depth_mm=8),  # chin
    Part(_T.MUSCLE, (0, 36, -104), (24, 36, 17), min_depth_mm=6),  # tongue
    # Base of the skull.
    Part(_T.BONE, (-38, -18, -46), (26, 13, 11), min_depth_mm=8),  # petrous bone
    Part(_T.MARROW, (-22, -8, -46), (9, 5, 5)),
    Part(_T.FLUID, (-40, -22, -44), (5, 3, 3), share=0.6),  # inner ear
    Part(_T.AIR, (-58, -40, -54), (13, 15, 20), share=0.45, grain_mm=1.4, min_depth_mm=8),  # mastoid
    Part(_T.AIR, (-68, -20, -48), (20, 2.6, 3.2)),  # ear canal
    Part(_T.BONE, (0, 1, -50), (16, 9, 27), pitch=0.55),  # clivus
    Part(_T.MARROW, (0, 1, -50), (13, 6, 24), pitch=0.55),
    Part(_T.NERVE, (0, 5, -30), (6, 5, 4)),  # pituitary
    # Air and what lines it.
    Part(_T.MUCOSA, (-30, 56, -66), (14, 17, 18), min_depth_mm=9),
    Part(_T.AIR, (-30, 56, -66), (12.6, 15.5, 16.5), min_depth_mm=10),  # maxillary sinus
    Part(_T.MUCOSA, (0, 52, -62), (13, 36, 22), min_depth_mm=4),
    Part(_T.MUSCLE, (0, 52, -60), (1.4, 34, 22), min_depth_mm=4),  # septum
    Part(_T.AIR, (-6, 54, -62), (4.6, 35, 21), share=0.62, grain_mm=2.0, min_depth_mm=3),  # nasal cavity
    Part(_T.MUCOSA, (-7, 54, -34), (6, 24, 9)),
    Part(_T.AIR, (-7, 54, -34), (5.5, 23, 8.5), share=0.7, grain_mm=1.8),  # ethmoid cells
    Part(_T.AIR, (-8, 22, -40), (7, 11, 9)),  # sphenoid sinus
    Part(_T.AIR, (-9, 83, -14), (8, 4, 8), min_depth_mm=8),  # frontal sinus
    Part(_T.MUCOSA, (0, 6, -74), (15, 12, 16)),
    Part(_T.AIR, (0, 8, -72), (11, 8, 13)),  # nasopharynx
    Part(_T.MUCOSA, (0, -6, -108), (14, 9, 34)),
    Part(_T.AIR, (0, -5, -108), (10, 5, 32)),  # pharynx
    # Orbits.
    Part(_T.BONE, (-32, 46, -39), (20, 27, 19), min_depth_mm=4),
    Part(_T.FAT, (-32, 48, -39), (17.5, 25, 16.5), min_depth_mm=3),
    Part(_T.FAT, (-27, 36, -38), (11, 18, 10)),
    Part(_T.NERVE, (-26, 38, -37), (3.0, 18, 3.0)),  # optic nerve
    Part(_T.MUSCLE, (-19, 46, -40), (3.2, 18, 6)),  # medial rectus
    Part(_T.MUSCLE, (-43, 45, -40), (3.2, 16, 6)),  # lateral rectus
    Part(_T.MUSCLE, (-30, 44, -28), (6, 17, 2.6)),  # superior rectus
    Part(_T.MUSCLE, (-30, 44, -51), (6, 17, 2.6)),  # inferior rectus
    Part(_T.SCLERA, (-32, 63, -40), (13.2, 13.2, 13.2)),
    Part(_T.VITREOUS, (-32, 63, -40), (11.8, 11.8, 11.8)),
    Part(_T.LENS, (-32, 71, -40), (4.6, 2.2, 4.6)),
    # Spine.
    Part(_T.BONE, (0, -30, -110), (12, 10, 42)),
    Part(_T.MARROW, (0, -30, -92), (9.5, 8, 10)),
    Part(_T.MARROW, (0, -30, -116), (9.5, 8, 9)),
    Part(_T.BONE, (-20, -40, -84), (10, 10, 7), min_depth_mm=8),  # atlas
    Part(_T.MARROW, (-20, -40, -84), (7, 7, 5), min_depth_mm=8),
    Part(_T.BONE, (0, -70, -104), (5, 13, 6)),  # spinous process
    Part(_T.MARROW, (0, -70, -104), (3, 11, 4)),
    Part(_T.FLUID, (0, -50, -100), (10.5, 9.5, 48)),
    Part(_T.CORD, (0, -50, -104), (6, 4.8, 60)),
    # Vessels of the neck and the base.
    Part(_T.VESSEL, (-26, -12, -96), (3, 3, 30)),
    Part(_T.VESSEL, (-12, 4, -38), (3, 4, 6)),
)
