"""Metadata of instances: told by workers slice by slice, kept by series outside the database.

References
----------
PS3.18 10.4.1.1.2 (metadata resources), F (DICOM JSON Model); PS3.19 A.1 (Native DICOM Model)
"""
