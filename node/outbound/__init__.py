"""The sending side: from findings to DICOM objects that are proved right, stored and confirmed."""
