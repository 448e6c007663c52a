"""What Fileroom is made of: pinned by hash, under licences that may be passed on."""

from __future__ import annotations

import re

import pytest
from packaging.utils import canonicalize_name

from tests.licences_page import LOCK, PAGE, locked, needed, rows
from tests.project import ROOT

PAGE_ROWS = dict(re.findall(r"^\| ([\w-]+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE))
PAGE_ROWS.pop("package")


def test_every_package_of_a_server_is_locked_by_hash() -> None:
    assert needed() <= locked().keys()
    entries = re.split(r"\n(?=\w)", LOCK.read_text())[1:]
    assert len([entry for entry in entries if "==" in entry]) == len(locked())
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_the_lock_has_the_versions_that_are_tested() -> None:
    constraints = re.findall(
        r"^([\w.-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    tested = {canonicalize_name(name): version for name, version in constraints}
    assert locked().items() <= tested.items()


def test_the_page_of_licences_is_whole() -> None:
    assert PAGE_ROWS.keys() == locked().keys(), "run: python -m tests.licences_page"
    assert rows().items() <= PAGE_ROWS.items(), "run: python -m tests.licences_page"


@pytest.mark.parametrize("name", sorted(PAGE_ROWS))
def test_no_package_is_under_the_gpl(name: str) -> None:
    told = PAGE_ROWS[name]
    assert told.lower() != "unknown"
    assert not re.search(r"(?<![Ll])(?<!Lesser )(?:A?GPL|General Public License)", told)


def test_what_is_under_the_lgpl_is_known() -> None:
    lesser = {name for name, told in PAGE_ROWS.items() if re.search("LGPL|Lesser", told)}
    assert lesser == {"psycopg", "psycopg-binary"}
