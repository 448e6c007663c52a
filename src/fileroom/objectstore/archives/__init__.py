"""Members of ``.zip``, ``.tar`` and ``.tar.gz`` objects, as objects.

Nothing an archive says is believed: what it declares bounds what is read and never what is
allocated, names are never paths, and what cannot be read is told, not left out.

A zip is listed from its central directory and each member read by ranges. A tar is read once, in
its own order.
"""
