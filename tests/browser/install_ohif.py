"""Fetch the built OHIF viewer from npm: ``python -m tests.browser.install_ohif DIRECTORY``.

Its package cannot be installed, some that it depends on are not published; yet it holds the whole
built viewer. So it is fetched as a file, and held against the hash written here.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Final

VERSION: Final = "3.13.2"
SHA512: Final = (
    "5997719a9986eeba85816f5924b71b82bdd70ad2e2d4a0cd3e831a798e4f3dee"
    "a3e06e1f8c48e393271933a0ba664d85f3b04ac457e9abe8dde715d907d13c10"
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
                    _write(tar.extractfile(member), unpacked / member.name.removeprefix(_DIST))
        shutil.rmtree(directory, ignore_errors=True)
        unpacked.rename(directory)


def _write(content: IO[bytes] | None, path: Path) -> None:
    assert content is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)


def _fetch(scratch: Path) -> Path:
    command = ["npm", "pack", "--silent", f"--pack-destination={scratch}", f"@ohif/app@{VERSION}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
    [package] = scratch.glob("*.tgz")
    with package.open("rb") as file:
        found = hashlib.file_digest(file, "sha512").hexdigest()
    if found != SHA512:
        raise SystemExit(f"@ohif/app {VERSION} from npm is not what it was: its hash differs")
    return package


if __name__ == "__main__":
    main(Path(sys.argv[1]))
