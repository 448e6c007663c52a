"""Who calls, and what they may do to which name.

Two modes. ``token``: one random 256-bit token, made at the first start; its SHA-256 is in the
database and decides, its text is in a file only the owner of the data directory can read. ``none``:
everybody may do everything, which the settings allow on loopback only.
"""
