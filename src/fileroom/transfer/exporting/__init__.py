"""Instances of a DICOM store become objects of a bucket.

``{uri_prefix}/{study}/{series}/{instance}.dcm``; an object of the same name is overwritten.

References
----------
Cloud Healthcare v1 ``dicomStores.export``.
"""
