"""The page docs/reference/client-errors.md: what the example clients print when something is wrong.

``pytest --write-conformance`` runs the examples and writes what they printed, with placeholders for
all that differs from run to run. A test compares the page with what is seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.examples.languages import LANGUAGES
from tests.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pytest

    from tests.end_to_end.conftest import Place

PAGE: Final = ROOT / "docs" / "reference" / "client-errors.md"
PROPERTY: Final = "client_error"
"""The property of a report that holds what was seen: language, case and text."""

_PROJECT: Final = "projects/P/locations/L"
_DATASET: Final = f"{_PROJECT}/datasets/D"
_STORE: Final = f"{_DATASET}/dicomStores/S"
_NOT_RUN: Final = "*not run*"
_BLOCK: Final = re.compile(r"(<!-- written by the tests -->\n).*(<!-- end -->)", re.DOTALL)
_SECTION: Final = re.compile(r"^### (.+?)\n(.*?)(?=^### |\Z)", re.DOTALL | re.MULTILINE)
_SEEN: Final = re.compile(r"^(\*\*[^\n]+\*\*)\n\n```text\n(.*?)\n```$", re.DOTALL | re.MULTILINE)

Key = tuple[str, str]
"""A language and the title of a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that a user may get wrong, or meet."""

    title: str
    uri: str = "gs://BUCKET/**"
    """What is imported; ``BUCKET`` stands for the test's own."""
    store: str = _STORE
    """Into which DICOM store, as the page writes its name."""
    token: str | None = None
    """Another token than the server's."""
    is_there: bool = True
    """Whether the server is."""
    status: int | None
    """HTTP's; ``None`` where no request was refused."""
    says: tuple[str, ...]
    """What every client says, the cause and the remedy, as the page writes it."""
    own_words: Mapping[str, str] = field(default_factory=dict)
    """What clients say in its stead that never ask the server, by language."""
    remedy: str

    def expected(self, language: str) -> tuple[str, ...]:
        """Give what a client must say."""
        own = self.own_words.get(language)
        return self.says if own is None else (own,)


_PATTERN: Final = "^projects/[^/]+/locations/[^/]+/datasets/[^/]+/dicomStores/[^/]+$"

CASES: Final = (
    Case(
        title="A URI that is none",
        uri="gs:/bucket/*",
        status=400,
        says=("invalid URI 'gs:/bucket/*': it must have the form gs://bucket/object",),
        remedy="Write the URI as the message says.",
    ),
    Case(
        title="A URI of another kind",
        uri="https://storage.example/bucket/*",
        status=400,
        says=(
            "invalid URI 'https://storage.example/bucket/*': unknown scheme 'https'; it must begin"
            " with gs://, s3:// or az://",
        ),
        remedy="Name the bucket and the object, not the address that a browser shows.",
    ),
    Case(
        title="A URI that nothing matches",
        uri="gs://BUCKET/none/**",
        status=None,
        says=("no object matches gs://BUCKET/none/**",),
        remedy="The import began, found nothing, and ended with this error. Compare the pattern"
        " with the keys in the bucket; `*` does not cross a `/`, `**` does.",
    ),
    Case(
        title="A DICOM store that is missing",
        store=f"{_STORE}-absent",
        status=404,
        says=(f"no DICOM store named '{_STORE}-absent'; create it first",),
        remedy="`fileroom dicom-stores list` tells which there are, `fileroom dicom-stores create`"
        " makes one.",
    ),
    Case(
        title="A dataset that is missing",
        store=f"{_DATASET}-absent/dicomStores/S",
        status=403,
        says=(
            "Permission 'healthcare.dicomStores.import' denied on resource"
            f" '{_DATASET}-absent/dicomStores/S' (or it may not exist). See that its dataset is"
            " spelled right and has been created.",
        ),
        remedy="Google's API answers 403 here, and so does Fileroom; its one access token holds"
        " every permission, so that the dataset is what is missing. `fileroom datasets list`"
        " tells which there are.",
    ),
    Case(
        title="A name that is none",
        store="S",
        status=404,
        says=(
            "Method not found. This API has no path '/v1/S:import'; the full name of a DICOM"
            f" store is {_STORE}",
        ),
        own_words={
            "gcloud": "The [dicomStore] resource is not properly specified.",
            "Java": f"Parameter name must conform to the pattern {_PATTERN}",
            "Python": f'Parameter "name" value "S" does not match the pattern "{_PATTERN}"',
        },
        remedy="Give the full name, with project, location and dataset. Some clients see it"
        " themselves and do not ask the server.",
    ),
    Case(
        title="A bucket that is not allowed",
        uri="gs://forbidden/**",
        status=403,
        says=(
            "does not have storage.objects.get access to bucket 'gs://forbidden'",
            "or the bucket does not exist",
            'an operator grants it with allow = ["read"] and this DICOM store among stores under'
            ' [buckets."gs://forbidden"] in the settings, or by making the directory'
            " buckets/forbidden in the data directory",
        ),
        remedy="See whether the bucket's name is right. If it is, who runs the server has to allow"
        " it: the message says how.",
    ),
    Case(
        title="An import that failed in part",
        status=None,
        says=(
            "1 of 2 objects could not be imported (1 NOT_DICOM).",
            f"All failures: http://127.0.0.1:8080/console/{_DATASET}/operations/N/logs",
            'gs://BUCKET/notes.txt: not a DICOM file: no "DICM" at byte 128 (a bare data set must'
            " be written as a DICOM Part 10 file first)",
        ),
        remedy="What could be imported is in the store. [Reason codes](reason-codes.md) tells what"
        " each code asks for; mend these objects and import again: what is there already is"
        " passed over.",
    ),
    Case(
        title="A wrong access token",
        token="wrong",
        status=401,
        says=(
            "Request is missing required authentication credential, or it is not valid. Expected"
            " the access token of this server as 'Authorization: Bearer TOKEN';"
            " `fileroom auth print-access-token` prints it.",
        ),
        own_words={
            "Java": "FILEROOM_TOKEN is not the access token of this server;"
            " `fileroom auth print-access-token` prints it",
        },
        remedy="Take the token from the data directory of the server that is asked. Java does not"
        " read the body of a 401 to a POST; its example says the same in its own words.",
    ),
    Case(
        title="A server that does not answer",
        is_there=False,
        status=None,
        says=("no server answers at http://127.0.0.1:8080",),
        own_words={
            "curl": "connect to 127.0.0.1 port 8080",
            "Go": "dial tcp 127.0.0.1:8080: connect: connection refused",
            "Node.js": "connect ECONNREFUSED 127.0.0.1:8080",
            "Node.js, googleapis": "connect ECONNREFUSED 127.0.0.1:8080",
            "PowerShell": "(127.0.0.1:8080)",
        },
        remedy="See that the server runs, `fileroom serve`, and that the address and the port are"
        " those that it tells when it starts. gcloud by itself tries for half a minute and then"
        " says `gcloud crashed (ConnectionError)`; its example asks for an answer first.",
    ),
)


def with_placeholders(text: str, place: Place, url: str) -> str:
    """Give what a client printed without what differs from run to run."""
    names = (
        (place.dataset, _DATASET),
        (place.dicom_store_id, "S"),
        (place.bucket_id, "BUCKET"),
        (url.rpartition(":")[2], "8080"),
    )
    for name, placeholder in names:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", placeholder, text)
    for pattern, placeholder in (
        (r"(?<=/operations/)\d+", "N"),
        (r"(?<=\bafter )\d+ ms", "N ms"),
        (r"\b0x[0-9a-f]{6,}", "0x…"),
        (r"(?<= from )/\S+/token\b", "DIRECTORY/token"),
    ):
        text = re.sub(pattern, placeholder, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def seen_of(reports: Iterable[pytest.TestReport]) -> dict[Key, str]:
    """Give what the reports of a run say was printed."""
    return {
        (str(value[0]), str(value[1])): str(value[2])
        for report in reports
        for name, value in report.user_properties
        if name == PROPERTY and isinstance(value, list | tuple)
    }


def write(seen: Mapping[Key, str]) -> None:
    """Write the page; what this run left out keeps what was shown last."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page_with(text, shown(text) | dict(seen)), encoding="utf-8")


def page_with(text: str, known: Mapping[Key, str]) -> str:
    """Give the page with other contents between its marks."""
    content = "\n\n".join(_written(known))
    return _BLOCK.sub(lambda block: f"{block[1]}\n{content}\n\n{block[2]}", text)


def shown(text: str) -> dict[Key, str]:
    """Give what the page says was printed."""
    block = _BLOCK.search(text)
    assert block is not None, f"{PAGE} has no place for the table"
    return {
        (language, title): printed
        for title, section in _SECTION.findall(block[0])
        for names, printed in _SEEN.findall(section)
        for language in re.findall(r"\*\*(.+?)\*\*", names)
    }


def _written(known: Mapping[Key, str]) -> Iterator[str]:
    yield _overview()
    for case in CASES:
        status = "" if case.status is None else f" HTTP status {case.status}."
        yield f"### {case.title}\n\n{_call(case)}{status}\n\n{case.remedy}"
        groups: dict[str, list[str]] = {}
        for language in LANGUAGES:
            printed = known.get((language.name, case.title), "")
            groups.setdefault(printed, []).append(f"**{language.name}**")
        for printed, names in groups.items():
            text = f"```text\n{printed}\n```" if printed else _NOT_RUN
            yield f"{' · '.join(names)}\n\n{text}"


def _overview() -> str:
    lines = ["| what is wrong | status | the cause |", "|---|---|---|"]
    for case in CASES:
        link = f"[{case.title}](#{case.title.lower().replace(' ', '-')})"
        cause = " … ".join(case.says).replace("*", "\\*")
        lines.append(f"| {link} | {case.status or '-'} | {cause} |")
    return "\n".join(lines)


def _call(case: Case) -> str:
    call = f"`import {case.store} {case.uri}`"
    if case.token is not None:
        return f"{call}, with another token."
    return f"{call}." if case.is_there else f"{call}, and nothing listens at the address."
