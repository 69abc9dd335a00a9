"""Label maps that others drew: NIfTI, Slicer's .seg.nrrd, DICOM SEG and RTSTRUCT."""
