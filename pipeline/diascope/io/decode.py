"""From a series to its pixels: the way back to the reader that found it."""

from collections.abc import Mapping

from diascope.errors import InputError
from diascope.io.dicom.reader import DicomReader
from diascope.io.itk import ItkReader
from diascope.io.nifti import NiftiReader
from diascope.io.raster import RasterReader
from diascope.io.reader import Reader
from diascope.io.series import Series
from diascope.volume import ColourImage, Volume


def readers() -> Mapping[str, Reader]:
    """List the readers by name, in the order in which they are asked for a file.

    DICOM comes first: a DICOM file may begin as a TIFF or end in `.img`.
    """
    every: tuple[Reader, ...] = (DicomReader(), NiftiReader(), ItkReader(), RasterReader())
    return {reader.name: reader for reader in every}


def decode(series: Series, at: int = 0) -> Volume | ColourImage:
    """Read the pixels of a series.

    Args:
        series: What the catalogue found.
        at: Which of its volumes, in 4-D.

    Raises:
        InputError: The pixels are not what the headers promised, or there is no such volume.
    """
    if not 0 <= at < series.volumes:
        raise InputError(f"volume {at} was asked for, there are {series.volumes}", code="no_such_volume")
    return readers()[series.reader].decode(series, at)
