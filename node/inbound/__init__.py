"""The receiving side: from a DICOM association to a complete study and its volumes."""
