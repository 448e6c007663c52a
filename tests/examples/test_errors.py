"""What each example says when something is wrong: the cause, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import error_table
from tests.end_to_end.conftest import slices
from tests.error_table import CASES
from tests.examples.languages import LANGUAGES, LOCKED
from tests.server import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.end_to_end.conftest import Place
    from tests.error_table import Case
    from tests.examples.languages import Language

STACK_TRACES = ("Traceback", "\tat ", "\n    at ", "goroutine ", "Exception in thread")


@pytest.mark.parametrize("case", CASES, ids=[each.title for each in CASES])
@pytest.mark.parametrize("language", LANGUAGES, ids=[each.name for each in LANGUAGES])
def test_message_leads_to_the_cause(
    language: Language,
    case: Case,
    place: Place,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    place.put("slice.dcm", next(slices(1)))
    place.put("notes.txt", b"no DICOM at all" * 20)
    url = place.server.url if case.is_there else f"http://127.0.0.1:{free_port()}"
    store = case.store.replace("projects/P/locations/L/datasets/D", place.dataset)

    ended = language.run(
        place.server,
        tmp_path,
        "import",
        store.replace("dicomStores/S", f"dicomStores/{place.dicom_store_id}"),
        case.uri.replace("BUCKET", place.bucket_id),
        url=url,
        token=case.token,
    )

    assert ended.returncode == 1, ended.stdout
    printed = error_table.with_placeholders(ended.stderr, place, url)
    unescaped = printed.replace('\\"', '"')
    for said in case.expected(language.name):
        assert said in unescaped
    for mark in STACK_TRACES:
        assert mark not in printed
    if request.config.getoption("--write-conformance"):
        record_property(error_table.PROPERTY, [language.name, case.title, printed])
    elif language.name in LOCKED:
        page = error_table.shown(error_table.PAGE.read_text(encoding="utf-8"))
        assert page.get((language.name, case.title)) == printed, "run: make docs"


def test_page_tells_every_case_of_every_language(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--write-conformance"):
        pytest.skip("the page is being written")
    text = error_table.PAGE.read_text(encoding="utf-8")
    known = error_table.shown(text)
    missing = {
        (language.name, case.title)
        for language in LANGUAGES
        for case in CASES
        if (language.name, case.title) not in known
    }

    assert {name for name, _ in missing} <= {"PowerShell"}, "run: make docs"
    assert error_table.page_with(text, known) == text, "run: make docs"
