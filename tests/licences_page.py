"""docs/reference/licences.md: what Fileroom needs at run time, and under which licence each is.

``python -m tests.licences_page`` writes it, from what is installed of ``requirements.lock``.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata, requires
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project import ROOT

PAGE: Final = ROOT / "docs" / "reference" / "licences.md"
LOCK: Final = ROOT / "requirements.lock"
EXTRAS: Final = ("", "dask", "parquet", "postgres")
_HEAD: Final = """# Licences

Every package that `requirements.lock` installs beside Fileroom, which is under Apache-2.0, with the
licence that its own metadata tell. Written by `python -m tests.licences_page`; that it is whole,
and that no package is under the GPL, is tested.

A package under the LGPL is an unmodified library, imported as it is published, which whoever runs
Fileroom may replace by another version.

| package | licence |
|---|---|
"""


def locked() -> dict[str, str]:
    """Give the version of each package of the lock."""
    found = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.]+)", LOCK.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def needed() -> set[str]:
    """Give the packages that Fileroom needs here, by its and their own metadata."""
    found: set[str] = set()
    waiting = [("fileroom", extra) for extra in EXTRAS]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needs = canonicalize_name(requirement.name)
                found.add(needs)
                waiting += [(needs, each) for each in ("", *requirement.extras)]
    return found


def licence(name: str) -> str:
    """Give the licence of an installed package, in one line."""
    told = metadata(name)
    if "License-Expression" in told:
        return told["License-Expression"]
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in told.get_all("Classifier") or ()
        if each.startswith("License :: ")
    ]
    plain = [each for each in classifiers if each != "OSI Approved"]
    (text, *_) = told.get_all("License") or [""]
    return ", ".join(plain) or text.strip().partition("\n")[0] or "unknown"


def rows() -> dict[str, str]:
    """Give each package of the lock and its licence, as far as it is installed here."""
    found = {}
    for name in sorted(locked()):
        try:
            found[name] = licence(name)
        except PackageNotFoundError:  # one for another version of Python
            continue
    return found


def page() -> str:
    """Give the text of the page."""
    return _HEAD + "".join(f"| {name} | {told} |\n" for name, told in rows().items())


if __name__ == "__main__":
    PAGE.write_text(page())
