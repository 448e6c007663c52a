"""Write the dictionary of the console: the keywords of the standard's attributes, by tag.

Usage: python -m tests.console_keywords
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary

from tests.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = ROOT / "src" / "fileroom" / "console" / "static" / "dicom" / "keywords.js"
_HEAD: Final = (
    "// Keywords by tag, of pydicom's dictionary. Written by: python -m tests.console_keywords\n"
)


def keywords_module() -> str:
    """Give the module that the console loads to show attributes."""
    lines = (f"  {json.dumps(tag)}: {json.dumps(keyword)},\n" for tag, keyword in _keywords())
    return f"{_HEAD}\nexport default {{\n{''.join(lines)}}};\n"


def _keywords() -> Iterator[tuple[str, str]]:
    for tag in sorted(DicomDictionary):
        if keyword := DicomDictionary[tag][4]:
            yield f"{tag:08X}", keyword
    for mask in sorted(RepeatersDictionary):
        keyword = RepeatersDictionary[mask][4]
        # The other kind of repeaters, (0020,31xx) and its like, is long retired.
        if keyword and mask[2:4] == "xx":
            yield mask[:4] + mask[4:].upper(), keyword


if __name__ == "__main__":
    PAGE.write_text(keywords_module())
