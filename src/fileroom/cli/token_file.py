"""The access token that a server on this machine keeps for the owner of its data directory."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from fileroom.auth.token_file import TOKEN_FILE
from fileroom.client.transport import is_loopback
from fileroom.settings import default_data_directory


def find_token(server: str) -> str | None:
    """Give the token of the local data directory.

    Only for a server on this machine: no other may see it.
    """
    if not is_loopback(urlsplit(server).hostname or ""):
        return None
    data = os.environ.get("FILEROOM_DATA")
    directory = Path(data).expanduser() if data else default_data_directory(os.environ)
    try:
        return (directory / TOKEN_FILE).read_text("ascii").strip() or None
    except (OSError, ValueError):
        return None
