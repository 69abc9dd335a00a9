"""Files to our types and back; the only place where DICOM's frame and units are converted."""
