"""Instances of a DICOM store become objects of a bucket.

``{uri_prefix}/{study}/{series}/{instance}.dcm``, or the frames of instances in another form, as
``forms`` names them; an object of the same name is overwritten.

References
----------
Cloud Healthcare v1 ``dicomStores.export``.
"""
