"""A DICOM store's content: rows and blobs, kept consistent."""
