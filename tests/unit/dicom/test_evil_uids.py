"""No UID of a file leads an export out of its directory: what is not plain digits is refused."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fileroom.dicom.part10 import Refused, scan
from fileroom.errors import Reason
from tests.corpus import minimal_instance

NAMES: Final = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
_PLAIN: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
EVIL: Final = st.text("./\\0123456789%~\n é*?:", min_size=1, max_size=70)


@pytest.mark.parametrize("name", NAMES)
@given(evil=EVIL)
@example(evil="../../etc/passwd")
@example(evil="1.2.3/../../4")
@example(evil="1.2.3%2f..%2f4")
@example(evil="..")
@example(evil="1..2")
@example(evil=".1.2")
@example(evil="1.2.")
@example(evil="1.2\\1.3")
@example(evil="1" * 65)
def test_a_uid_is_plain_digits_or_the_file_is_refused(name: str, evil: str) -> None:
    found = _found(name, evil)
    if isinstance(found, Reason):
        assert found in {Reason.INVALID_UID, Reason.MISSING_UID}
        return
    assert _PLAIN.fullmatch(found)
    assert len(found) <= 64
    assert found == evil.rstrip(" ").rstrip("\0")


def _found(name: str, evil: str) -> str | Reason:
    """Give the UID that a file is found to have, or why it is refused."""
    overrides: dict[str, Any] = {name: evil}
    try:
        return str(getattr(scan(minimal_instance(**overrides)).attributes, name))
    except Refused as error:
        return error.reason
