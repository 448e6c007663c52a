"""Objects of a bucket become instances of a DICOM store.

References
----------
Cloud Healthcare v1 ``dicomStores.import``; the account of every object is ``metadata.fileroom`` of
the operation.
"""
