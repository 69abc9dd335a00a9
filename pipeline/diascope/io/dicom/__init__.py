"""DICOM: from files to series, volumes and radiographs."""
