"""Who calls, and what they may do to which name.

Modes combine. ``token``: one random 256-bit token, made at the first start; its SHA-256 is in the
database and decides, its text is in a file only the owner of the data directory can read.
``service-account``: programs that prove who they are by a key file of Google's form. ``oidc``:
whoever an OpenID provider knows. ``none``: everybody may do everything, which the settings allow on
loopback only.

The owner holds every permission. What anybody else may do, policies say: of projects in the
settings, of datasets and DICOM stores in the database.
"""
