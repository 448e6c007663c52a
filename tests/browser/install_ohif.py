"""Fetch the built OHIF viewer from npm: ``python -m tests.browser.install_ohif DIRECTORY``.

Its package cannot be installed, some that it depends on are not published; yet it holds the whole
built viewer. So it is fetched as a file, and held against the hash written here.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

VERSION: Final = "3.13.2"
INTEGRITY: Final = (
    "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
)
_DIST: Final = "package/dist/"


def main(directory: Path) -> None:
    """Leave the files of the viewer in a directory, whole or not at all."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        package = _fetch(Path(scratch))
        unpacked = Path(scratch) / "dist"
        with tarfile.open(package) as tar:
            for member in tar:
                if member.isfile() and member.name.startswith(_DIST):
                    member.name = member.name.removeprefix(_DIST)
                    tar.extract(member, unpacked, filter="data")
        unpacked.rename(directory)


def _fetch(scratch: Path) -> Path:
    command = ["npm", "pack", "--silent", f"--pack-destination={scratch}", f"@ohif/app@{VERSION}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
    [package] = scratch.glob("*.tgz")
    with package.open("rb") as file:
        found = hashlib.file_digest(file, "sha512").digest()
    if f"sha512-{base64.b64encode(found).decode()}" != INTEGRITY:
        raise SystemExit(f"@ohif/app {VERSION} from npm is not what it was: its hash differs")
    return package


if __name__ == "__main__":
    main(Path(sys.argv[1]))
