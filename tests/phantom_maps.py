"""Maps of uncertainty of the phantoms: a shell of doubt around a ball, known by construction."""

from pathlib import Path

import nibabel as nib
import numpy as np

from diascope.findings import UncertaintyMap
from diascope.geometry import Grid
from tests.phantom_volumes import points_ras_mm

SHELL_MM = 4.0


def write_unsure(
    case: Path, bundle: str, image_id: str, ball: tuple[Grid, tuple[float, float, float], float]
) -> tuple[UncertaintyMap, ...]:
    """Write entropy, a bit on the surface of a ball and none away from it, and a disagreement a tenth of that.

    Args:
        case: Folder of the case.
        bundle: Whose maps.
        image_id: Of which image.
        ball: Grid of the image, centre in RAS mm and radius in mm.
    """
    grid, centre_ras_mm, radius_mm = ball
    off_mm = np.linalg.norm(points_ras_mm(grid) - np.array(centre_ras_mm), axis=-1) - radius_mm
    steps = np.rint(255 * np.exp(-((off_mm / SHELL_MM) ** 2))).astype(np.uint8)
    records = (
        UncertaintyMap(bundle, image_id, "entropy", "", "bit", 1, (), 1.0, 1.0),
        UncertaintyMap(bundle, image_id, "disagreement", "", "bit", 3, ("ensemble", "mirrors"), 0.1, 1.0),
    )
    found = []
    for record in records:
        file = f"{bundle}.uncertainty.{record.kind}.nii.gz"
        image = nib.Nifti1Image(steps, grid.affine)
        image.header.set_slope_inter(record.highest / 255, 0)
        image.header["vox_offset"] = 352
        # nibabel would scale anew: the steps are stored as they are.
        stored = nib.Nifti1Image.from_bytes(image.header.binaryblock + bytes(4) + steps.tobytes(order="F"))
        nib.save(stored, case / file)
        found.append(
            UncertaintyMap(
                bundle,
                image_id,
                record.kind,
                file,
                "bit",
                record.answers,
                record.asked_again,
                record.highest,
                record.limit,
            )
        )
    return tuple(found)
