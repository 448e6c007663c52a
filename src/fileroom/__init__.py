"""Fileroom: a self-hosted DICOM store that speaks the Cloud Healthcare API v1."""
