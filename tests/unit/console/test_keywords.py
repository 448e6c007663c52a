"""The dictionary of the console is pydicom's."""

from __future__ import annotations

from tests import console_keywords


def test_the_console_knows_the_keywords_that_pydicom_knows() -> None:
    written = console_keywords.PAGE.read_text()

    assert written == console_keywords.keywords_module(), "python -m tests.console_keywords"
