"""DICOM as values: no files, no network, no SQL, no HTTP."""
