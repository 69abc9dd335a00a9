import itertools

import numpy as np

from diascope.demo.anatomy import Anatomy
from diascope.demo.tissues import Tissue


def tissue_at(anatomy: Anatomy, place_ras_mm: tuple[float, float, float]) -> Tissue:
    at = np.rint(np.array(place_ras_mm) - np.array(anatomy.first_ras_mm)).astype(int)
    return Tissue(anatomy.tissue[tuple(at)])


def test_a_way_from_the_brain_to_the_air_passes_every_layer_in_order(anatomy: Anatomy) -> None:
    way = [tissue_at(anatomy, (-20.0, -20.0, z)) for z in np.arange(60.0, 118.0, 0.5)]

    layers = [tissue for tissue, _ in itertools.groupby(way)]
    inside_out = [Tissue.BRAIN, Tissue.FLUID, Tissue.BONE, Tissue.MARROW, Tissue.BONE, Tissue.FAT, Tissue.SKIN]
    assert [tissue for tissue in layers if tissue in inside_out] == inside_out
    assert layers[-1] == Tissue.AIR


def test_eyes_are_in_front_and_the_cord_below(anatomy: Anatomy) -> None:
    assert tissue_at(anatomy, (-32, 60, -40)) == tissue_at(anatomy, (32, 60, -40)) == Tissue.VITREOUS
    assert tissue_at(anatomy, (0, -50, -110)) == Tissue.CORD
    assert tissue_at(anatomy, (0, 115, 40)) == Tissue.AIR


def test_the_brain_is_the_templates_own(anatomy: Anatomy) -> None:
    brain = anatomy.brain
    total = brain.grey + brain.white + brain.csf

    np.testing.assert_allclose(total[total > 0], 1, atol=1e-5)
    # 1 mm voxels: ICBM152 is larger than an average head.
    assert 1.6e6 < (anatomy.tissue == Tissue.BRAIN).sum() < 2.1e6
    x, y, z = brain.first_ras_mm
    # The middle of the corpus callosum's body, and of the third ventricle's CSF.
    assert brain.white[0 - x, 0 - y, 24 - z] > 0.8
    assert brain.csf[0 - x, -20 - y, -2 - z] > 0.5
