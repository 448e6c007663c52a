"""The console tells cause and remedy of every reason, in every language."""

from __future__ import annotations

import re

import pytest

from fileroom.errors import Reason
from tests.console_keywords import PAGE

_STATIC = PAGE.parent.parent
_FAILURES = (_STATIC / "parts" / "failures.js").read_text()


def test_the_console_offers_every_reason_to_filter_by() -> None:
    listed = re.search(r"const REASONS = \[(.*?)\]", _FAILURES, re.DOTALL)

    assert listed is not None
    assert re.findall(r'"(\w+)"', listed[1]) == list(Reason)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("kind", ["reason", "remedy"])
def test_every_reason_has_its_texts(language: str, kind: str) -> None:
    texts = (_STATIC / "texts" / f"{language}.js").read_text()

    assert re.findall(rf'^  "{kind}\.(\w+)":', texts, re.MULTILINE) == list(Reason)
